"""What pruning computes of each kind of detector to see which layers depend on which."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from detectors.dense import DenseDetector
from detectors.heads.dense import HeadOutput
from detectors.heads.dual import DualHead
from detectors.heads.mlp import MLPHead
from detectors.localizer import Localizer
from detectors.necks.pool import AttentionPool
from detectors.segmentation import SegmentationDetector
from detectors.set_prediction import SetDetector
from detectors.sliding_window import SlidingWindow
from detectors.two_stage import TwoStageDetector
from metrics.errors import InputError


class TracedOutputs(NamedTuple):
    """Outputs of layers, with their autograd graphs.

    Attributes:
        outputs: of the last layers, which keep their channels, and of the backbone, because layers after some of them may
            be computed in vain.
        features: maps (1, channels, H, W) that are read by something other than the layers before `outputs`, and whose
            channels are kept for that reason.
    """

    outputs: Sequence[Tensor]
    features: Sequence[Tensor] = ()


@singledispatch
def trace_layers(detector: Any, images: Tensor) -> TracedOutputs:
    """Compute the layers of a detector that can be pruned.

    Args:
        detector: in evaluation mode, with gradients.
        images: (1, 3, H, W).

    Raises:
        InputError: this kind of detector is not known.
    """
    raise InputError(
        f"{type(detector).__name__}: this kind of detector cannot be pruned; register a function for it with "
        "`detectors.compression.traced_layers.trace_layers`"
    )


@trace_layers.register
def _(detector: DenseDetector, images: Tensor) -> TracedOutputs:
    features = detector.backbone(images)
    levels = detector.neck(features)
    head = detector.head
    if isinstance(head, DualHead):  # with gradients through all inputs of the second branch
        towers = head.one_to_many.towers(levels)
        output: HeadOutput = head.one_to_many.outputs(towers)._replace(auxiliary=head.one_to_one(towers))
    else:
        output = head(levels)
    return TracedOutputs([*features, *(each for each in output if each is not None)])


@trace_layers.register
def _(detector: Localizer, images: Tensor) -> TracedOutputs:
    neck, head = cast(AttentionPool, detector.neck), cast(MLPHead, detector.head)
    features = detector.backbone(images)
    laterals = [lateral(feature) for lateral, feature in zip(neck.lateral, features, strict=True)]
    vector = torch.zeros(1, neck.channels[0], requires_grad=True)
    branches = [branch(vector) for branch in (head.class_branch, head.box_branch)]
    return TracedOutputs([*features, *branches], laterals)  # pooling reads the laterals


@trace_layers.register
def _(detector: SlidingWindow, images: Tensor) -> TracedOutputs:
    return trace_layers(detector.localizer, images)


@trace_layers.register
def _(detector: SegmentationDetector, images: Tensor) -> TracedOutputs:
    features = detector.backbone(images)
    return TracedOutputs([*features, detector.head(detector.neck([*detector.skips(images), *features]))])


@trace_layers.register
def _(detector: SetDetector, images: Tensor) -> TracedOutputs:
    features = detector.backbone(images)
    return TracedOutputs(features, detector.neck(features))  # attention reads the pyramid


@trace_layers.register
def _(detector: TwoStageDetector, images: Tensor) -> TracedOutputs:
    features = detector.backbone(images)
    levels = detector.neck(features)
    proposals = detector.proposals(levels, (images.shape[2], images.shape[3]))
    outputs = [*features, proposals.logits, proposals.codes]
    pooled = torch.zeros(1, levels[0].shape[1], detector.pool.size, detector.pool.size, requires_grad=True)
    for head in detector.heads:
        outputs += head(pooled)
    return TracedOutputs(outputs, levels)  # regions are pooled from the pyramid


class TracedNetwork(nn.Module):
    """A detector whose features with kept channels are read by one more convolution each, so that they have a reader.

    Args:
        detector: in evaluation mode.
    """

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector
        self.readers = nn.ModuleList()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Outputs of the detector and of the readers."""
        traced = trace_layers(self.detector, images)
        outputs = [
            each.clone() for each in traced.outputs
        ]  # concatenations are recognised only before an output
        return [*outputs, *(reader(each) for reader, each in zip(self.readers, traced.features, strict=True))]

    def add_readers(self, images: Tensor) -> None:
        """Make the readers for features of images (1, 3, H, W)."""
        features = trace_layers(self.detector, images).features
        self.readers = nn.ModuleList(nn.Conv2d(each.shape[1], 1, 1) for each in features)
