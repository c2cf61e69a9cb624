"""Preparation of a detector for its training, by the training images; and what it remarks on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import nn

from bench.data.types import Split
from bench.pipeline.input_sizes import sizes_around
from bench.pipeline.loader import make_loader
from bench.process.log import Log
from bench.settings.config import RunConfig
from metrics.errors import InputError, is_out_of_memory
from metrics.messages import reason


def prepare_detector(
    detector: nn.Module, split: Split, config: RunConfig, accelerator: Accelerator, log: Log, resumed: bool
) -> None:
    """Move a detector to its device, weigh its classes, and show it training images; see `DenseDetector.prepare`.

    Args:
        detector: to train; its weights are equal in all processes afterwards.
        split: training images.
        config: settings of the run.
        accelerator: of the run.
        log: log of events.
        resumed: whether its state is loaded afterwards, so that it need not see images.

    Raises:
        InputError: the detector has no output for images of the network's input size, or for the smallest of multi-scale training.
    """
    detector.to(accelerator.device)
    _require_outputs(detector, config, accelerator.device)
    _weigh_classes(detector, split)
    if resumed:
        return
    _show_images(detector, split, config, accelerator.device, log)
    if accelerator.num_processes > 1:  # processors may have rounded differently
        for tensor in detector.state_dict().values():
            tensor.copy_(broadcast(tensor))


def detector_notes(detector: nn.Module, objects: Sequence[int], config: RunConfig) -> list[str]:
    """Remarks of the detector on its training objects, with its name; see `detectors.types.Detector`.

    Args:
        detector: in training.
        objects: number of objects of each training image.
        config: settings of the run.
    """
    notes = getattr(detector, "training_notes", None)
    remarks = [] if notes is None else notes(objects, config.image.size)
    return [f"{config.variant}: {note}" for note in remarks]


def _require_outputs(detector: nn.Module, config: RunConfig, device: torch.device) -> None:
    """Raise InputError if the detector has no output for the network's input, or for the smallest input of multi-scale training."""
    spread, (height, width) = config.train.multi_scale, config.image.size
    of_input = ((height, width), f"image.size={height},{width}", "use a larger one")
    smallest = (
        sizes_around(config.image.size, spread)[0],
        f"train.multi_scale={spread:g}",
        "lower it, or leave it at 0",
    )
    mode = detector.training
    detector.eval()
    for (high, wide), setting, advice in (of_input, smallest) if spread else (of_input,):
        try:
            with torch.no_grad():
                detector(torch.zeros(1, 3, high, wide, device=device))
        except (RuntimeError, ValueError, AssertionError) as error:
            if is_out_of_memory(error):
                raise
            raise InputError(
                f"{setting}: {config.variant} with these settings has no output for images of "
                f"{high}x{wide} ({reason(error)}); {advice}"
            ) from error
    detector.train(mode)


def _weigh_classes(detector: nn.Module, split: Split) -> None:
    """Set class weights from the number of training objects of each class; see `DenseDetector.weigh_classes`."""
    weigh = getattr(detector, "weigh_classes", None)
    if weigh is not None:
        truth = split.truth
        counts = np.bincount(truth.label[~truth.crowd], minlength=len(truth.catalog.classes))
        weigh(counts.tolist(), truth.catalog.classes)


def _show_images(
    detector: nn.Module, split: Split, config: RunConfig, device: torch.device, log: Log
) -> None:
    """Show the detector training images without augmentation; see `DenseDetector.prepare`."""
    prepare = getattr(detector, "prepare", None)
    if prepare is None:
        return
    loader = make_loader(split, config.image, None, config.train.batch, config.seed, 0, shuffle=True)
    if prepare(batch.images.to(device) for batch in loader):
        log.write("prepared")
