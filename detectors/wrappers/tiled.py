"""A predictor that looks at a large image tile by tile, so that small objects stay as large as in training."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.nms import NMS, NMSConfig
from detectors.types import Detections, Predictor, Suppression
from metrics.errors import InputError

_NEAR = 0.01
"""What ends within such a share of a tile's side of a border within the image may have been cut there."""


class Tiled(nn.Module):
    """What a predictor finds in overlapping tiles, and in the whole image made as small as one of them.

    Sliced inference (Akyon et al. 2022), merged without guessing: a detection that ends at a border where the image
    goes on is left out, because an object no larger than the overlap lies whole in another tile, and a larger one is
    seen in the whole image. What was found twice is suppressed.

    Args:
        predictor: looks at the tiles, all positions of a batch of images one after the other.
        tile: (height, width) in pixels of the image; an image that is not larger is looked at as it is.
        overlap: of neighbouring tiles, at least, as a share of their sides; in [0, 1).
        whole: whether to look at the whole image, too.
        merge: suppression of what was found twice.
    """

    def __init__(
        self,
        predictor: Predictor,
        tile: tuple[int, int],
        overlap: float = 0.25,
        whole: bool = True,
        merge: Suppression | None = None,
    ) -> None:
        if min(tile) < 1 or not 0 <= overlap < 1:
            raise InputError(
                f"Tiled: tile {tuple(tile)}, overlap {overlap}; expected sides from 1 on and an overlap in [0, 1)"
            )
        super().__init__()
        self.predictor = predictor
        self.tile = tile
        self.overlap = overlap
        self.whole = whole
        self.merge = merge or NMS(NMSConfig(score=0.0, iou=0.5, max_dets=300))

    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1], by falling score."""
        size = (images.shape[2], images.shape[3])
        if size[0] <= self.tile[0] and size[1] <= self.tile[1]:
            return self.predictor.predict(images)
        tops, lefts = (_starts(side, tile, self.overlap) for side, tile in zip(size, self.tile, strict=True))
        looks = [self._tile(images, top, left) for top in tops for left in lefts]
        if self.whole:
            looks.append(self._smaller(images))
        return [self.merge(_joined(of_image)) for of_image in zip(*looks, strict=True)]

    def _tile(self, images: Tensor, top: int, left: int) -> list[Detections]:
        """What is in the tile that begins there, and not cut by it."""
        part = images[:, :, top : top + self.tile[0], left : left + self.tile[1]]
        height, width = part.shape[2:]
        low = torch.tensor([left, top], device=images.device)
        size = torch.tensor([width, height], device=images.device)
        inner_low = low > 0
        inner_high = low + size < torch.tensor([images.shape[3], images.shape[2]], device=images.device)
        found = []
        for each in self.predictor.predict(part):
            cut = (each.boxes[:, :2] < _NEAR * size) & inner_low
            cut |= (each.boxes[:, 2:] > (1 - _NEAR) * size) & inner_high
            stays = ~cut.any(dim=1)
            boxes = each.boxes[stays] + torch.cat([low, low])
            found.append(Detections(boxes, each.scores[stays], each.labels[stays]))
        return found

    def _smaller(self, images: Tensor) -> list[Detections]:
        """What is in the whole images, shrunk to fit a tile."""
        height, width = images.shape[2:]
        factor = max(height / self.tile[0], width / self.tile[1])
        size = (max(1, round(height / factor)), max(1, round(width / factor)))
        small = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        scale = torch.tensor([width / size[1], height / size[0]] * 2, device=images.device)
        return [Detections(f.boxes * scale, f.scores, f.labels) for f in self.predictor.predict(small)]


def _starts(side: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin so that they cover the side, evenly, and overlap at least so much."""
    if side <= tile:
        return [0]
    step = max(1, math.floor(tile * (1 - overlap)))
    more = math.ceil((side - tile) / step)
    return [math.floor((side - tile) * k / more) for k in range(more + 1)]


def _joined(found: tuple[Detections, ...]) -> Detections:
    return Detections(
        torch.cat([each.boxes for each in found]),
        torch.cat([each.scores for each in found]),
        torch.cat([each.labels for each in found]),
    )
