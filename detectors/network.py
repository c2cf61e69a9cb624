"""What the networks of all detectors share: settings of prediction, class weights, and the verbs made of other verbs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from detectors.backbones import Backbone
from detectors.detector_config import DetectorConfig
from detectors.losses.class_weights import class_weights
from detectors.nms import NMS, NMSConfig
from detectors.pretrained import load_detector
from detectors.types import Detections, LossSum, Suppression, Targets, divide_sums


class DetectorNetwork(nn.Module):
    """Base of detectors with a backbone; a `detectors.types.Detector` once `forward`, `loss_sums`, `normalizers` and `decode`
    are defined.

    A subclass sets `backbone` and its other parts after this constructor, then calls `_complete`.

    Args:
        config: settings of candidates, NMS and class weights.
        num_classes: C.
    """

    backbone: Backbone
    nms: Suppression

    def __init__(self, config: DetectorConfig, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.nms = NMS(config.nms)
        self.candidates = config.candidates
        self.ignore_overlap = config.ignore_overlap
        self._class_weights = config.class_weights

    def loss_sums(self, output: Any, targets: list[Targets]) -> dict[str, LossSum]:
        """Terms of the loss of a batch; see `detectors.types.Detector`."""
        raise NotImplementedError

    def decode(self, output: Any) -> list[Detections]:
        """Candidates of each image before NMS."""
        raise NotImplementedError

    def losses(self, output: Any, targets: list[Targets]) -> dict[str, Tensor]:
        """Scalar losses: the divided terms of `loss_sums`."""
        return divide_sums(self.loss_sums(output, targets))

    def prepare(self, batches: Iterable[Tensor]) -> bool:
        """Prepare the network once before training, if its settings need it; see `Backbone.prepare`."""
        return self.backbone.prepare(batches)

    @torch.inference_mode()
    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1]; call `eval` first."""
        return [self.nms(candidates) for candidates in self.decode(self(images))]

    def _complete(self, config: DetectorConfig) -> None:
        """Set the memory format of all parts, and load the weights of the settings."""
        self.to(memory_format=torch.channels_last)  # faster on CPU and GPU alike
        load_detector(self, config.weights)

    def _weights_of_classes(self, counts: Sequence[int], names: Sequence[str]) -> Tensor | None:
        """(C,) weights of the class loss on the network's device; None: 1. See `ClassWeightsConfig`.

        Args:
            counts: number of training objects of each of the C classes.
            names: of the classes.

        Raises:
            InputError: the settings have a weight for a class that is not in `names`.
        """
        weights = class_weights(self._class_weights, counts, names)
        return None if weights is None else weights.to(next(self.parameters()).device)

    def _score_threshold(self) -> float:
        """Score threshold of candidates: that of the settings, or that of the current NMS if it is lower."""
        config = getattr(self.nms, "config", None)
        own = self.candidates.score
        return min(own, config.score) if isinstance(config, NMSConfig) else own
