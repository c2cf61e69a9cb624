"""A predictor that also looks at the mirror image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detectors.fusion import fuse
from detectors.types import Detections, Predictor


class Flipped(nn.Module):
    """What a predictor finds in the image and in its mirror image, fused: see `detectors.fusion.fuse`.

    Only for data in which left and right mean nothing; it takes twice the time.

    Args:
        predictor: looks at both.
        iou: above which the same object was found in both.
    """

    def __init__(self, predictor: Predictor, iou: float = 0.55) -> None:
        super().__init__()
        self.predictor = predictor
        self.iou = iou

    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1], by falling score."""
        plain, mirrored = self.predictor.predict(images), self.predictor.predict(images.flip(3))
        return [
            fuse([found, _mirror(other, images.shape[3])], self.iou)
            for found, other in zip(plain, mirrored, strict=True)
        ]


def _mirror(found: Detections, width: int) -> Detections:
    x0, y0, x1, y1 = found.boxes.unbind(dim=1)
    return Detections(torch.stack([width - x1, y0, width - x0, y1], dim=1), found.scores, found.labels)
