"""Tiled prediction of large images, so that small objects keep their size in pixels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.nms import NMS, NMSConfig
from detectors.types import Detections, Predictor, Suppression
from metrics.errors import InputError

_MARGIN = 0.01
"""A box this close to a tile's border inside the image, as a fraction of the tile's side, may have been cut there."""


class Tiled(nn.Module):
    """Detections of a predictor in overlapping tiles, and in the whole image scaled down to one tile.

    Sliced inference (Akyon et al. 2022). Detections that end at a border of a tile inside the image are dropped: an object
    no larger than the overlap is complete in another tile, and a larger one is detected in the whole image. NMS removes
    duplicates.

    Args:
        predictor: is applied to the tiles of a batch of images, one position after the other.
        tile: (height, width) in pixels of the image; images that are not larger are predicted unchanged.
        overlap: smallest overlap of neighbouring tiles, as a fraction of their sides, in [0, 1).
        whole: whether the whole image is predicted too.
        merge: NMS of the detections of all tiles.
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
                f"Tiled: tile {tuple(tile)}, overlap {overlap}; expected sides of at least 1 and an overlap in [0, 1)"
            )
        super().__init__()
        self.predictor = predictor
        self.tile = tile
        self.overlap = overlap
        self.whole = whole
        self.merge = merge or NMS(NMSConfig(score=0.0, iou=0.5, max_dets=300))

    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1], by decreasing score."""
        size = (images.shape[2], images.shape[3])
        if size[0] <= self.tile[0] and size[1] <= self.tile[1]:
            return self.predictor.predict(images)
        tops, lefts = (_starts(side, tile, self.overlap) for side, tile in zip(size, self.tile, strict=True))
        outputs = [self._tile(images, top, left) for top in tops for left in lefts]
        if self.whole:
            outputs.append(self._scaled_down(images))
        return [self.merge(_concatenate(of_image)) for of_image in zip(*outputs, strict=True)]

    def _tile(self, images: Tensor, top: int, left: int) -> list[Detections]:
        """Detections in the tile at this position that it does not cut."""
        part = images[:, :, top : top + self.tile[0], left : left + self.tile[1]]
        height, width = part.shape[2:]
        low = torch.tensor([left, top], device=images.device)
        size = torch.tensor([width, height], device=images.device)
        inner_low = low > 0
        inner_high = low + size < torch.tensor([images.shape[3], images.shape[2]], device=images.device)
        detections = []
        for each in self.predictor.predict(part):
            cut = (each.boxes[:, :2] < _MARGIN * size) & inner_low
            cut |= (each.boxes[:, 2:] > (1 - _MARGIN) * size) & inner_high
            complete = ~cut.any(dim=1)
            boxes = each.boxes[complete] + torch.cat([low, low])
            detections.append(Detections(boxes, each.scores[complete], each.labels[complete]))
        return detections

    def _scaled_down(self, images: Tensor) -> list[Detections]:
        """Detections in the whole images, scaled down to fit a tile."""
        height, width = images.shape[2:]
        factor = max(height / self.tile[0], width / self.tile[1])
        size = (max(1, round(height / factor)), max(1, round(width / factor)))
        small = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        scale = torch.tensor([width / size[1], height / size[0]] * 2, device=images.device)
        return [Detections(f.boxes * scale, f.scores, f.labels) for f in self.predictor.predict(small)]


def _starts(side: int, tile: int, overlap: float) -> list[int]:
    """Start of each tile, so that they cover the side evenly with at least this overlap."""
    if side <= tile:
        return [0]
    step = max(1, math.floor(tile * (1 - overlap)))
    more = math.ceil((side - tile) / step)
    return [math.floor((side - tile) * k / more) for k in range(more + 1)]


def _concatenate(detections: tuple[Detections, ...]) -> Detections:
    return Detections(
        torch.cat([each.boxes for each in detections]),
        torch.cat([each.scores for each in detections]),
        torch.cat([each.labels for each in detections]),
    )
