"""Test-time augmentation by a horizontal flip."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detectors.fusion import fuse
from detectors.types import Detections, Predictor


class Flipped(nn.Module):
    """Fused detections of a predictor in the image and in its mirror image; see `detectors.fusion.fuse`.

    Takes twice the time. Unsuitable for data in which left and right differ, such as text.

    Args:
        predictor: is applied to both images.
        iou: IoU threshold of detections of the same object.
    """

    def __init__(self, predictor: Predictor, iou: float = 0.55) -> None:
        super().__init__()
        self.predictor = predictor
        self.iou = iou

    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1], by decreasing score."""
        plain, mirrored = self.predictor.predict(images), self.predictor.predict(images.flip(3))
        return [
            fuse([one, _mirror(other, images.shape[3])], self.iou)
            for one, other in zip(plain, mirrored, strict=True)
        ]


def _mirror(detections: Detections, width: int) -> Detections:
    x0, y0, x1, y1 = detections.boxes.unbind(dim=1)
    boxes = torch.stack([width - x1, y0, width - x0, y1], dim=1)
    return Detections(boxes, detections.scores, detections.labels)
