"""Prediction in mixed precision."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from detectors.types import Detections, Detector, Predictor, Segmenter, Suppression


class MixedPrecision(nn.Module):
    """A predictor whose network computes in mixed precision (`torch.autocast`).

    Args:
        predictor: is computed in mixed precision.
        dtype: bfloat16 or float16.
    """

    def __init__(self, predictor: Predictor, dtype: torch.dtype) -> None:
        super().__init__()
        self.predictor = predictor
        self.dtype = dtype

    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1]."""
        with torch.autocast(images.device.type, self.dtype):
            return self.predictor.predict(images)


class MixedPrecisionDetector(MixedPrecision):
    """A detector whose forward pass computes in mixed precision; decoding and NMS are in float32.

    Args:
        detector: a network.
        dtype: bfloat16 or float16.
    """

    def __init__(self, detector: Detector, dtype: torch.dtype) -> None:
        super().__init__(detector, dtype)

    @property
    def detector(self) -> Detector:
        """The detector in float32."""
        return cast(Detector, self.predictor)

    def forward(self, images: Tensor) -> Any:
        """Raw output for (B, 3, H, W) RGB images."""
        with torch.autocast(images.device.type, self.dtype):
            return self.detector(images)

    @property
    def nms(self) -> Suppression:
        """Suppression of the detector."""
        return self.detector.nms

    def decode(self, output: Any) -> list[Detections]:
        """Candidates of each image before NMS."""
        return self.detector.decode(output)

    @torch.inference_mode()
    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1]."""
        return [self.nms(candidates) for candidates in self.decode(self(images))]


class MixedPrecisionSegmenter(MixedPrecisionDetector):
    """A `Segmenter` whose forward pass computes in mixed precision."""

    def class_probabilities(self, output: Any) -> Tensor:
        """Probabilities of background and each class in every pixel."""
        return cast(Segmenter, self.predictor).class_probabilities(output)


def in_mixed_precision(predictor: Predictor | nn.Module, dtype: torch.dtype) -> MixedPrecision:
    """The predictor in mixed precision; a `Detector` or a `Segmenter` if it is one."""
    if isinstance(predictor, nn.Module) and hasattr(predictor, "class_probabilities"):
        return MixedPrecisionSegmenter(cast(Segmenter, predictor), dtype)
    if isinstance(predictor, nn.Module) and hasattr(predictor, "decode"):
        return MixedPrecisionDetector(cast(Detector, predictor), dtype)
    return MixedPrecision(cast(Predictor, predictor), dtype)
