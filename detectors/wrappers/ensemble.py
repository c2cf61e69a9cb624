"""Ensemble of predictors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detectors.fusion import fuse
from detectors.types import Detections, Predictor
from metrics.errors import InputError


class Ensemble(nn.Module):
    """Fused detections of several predictors; see `detectors.fusion.fuse`.

    Args:
        predictors: at least one, for the same classes.
        iou: IoU threshold of detections of the same object.
    """

    def __init__(self, predictors: Sequence[Predictor], iou: float = 0.55) -> None:
        if not predictors:
            raise InputError("Ensemble: no predictors; give at least one")
        super().__init__()
        self.predictors = tuple(predictors)
        self.networks = nn.ModuleList(each for each in predictors if isinstance(each, nn.Module))
        self.iou = iou

    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1], by decreasing score."""
        outputs = [predictor.predict(images) for predictor in self.predictors]
        return [fuse(of_image, self.iou) for of_image in zip(*outputs, strict=True)]
