"""SSD's random crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.pipeline.augmentation.seen import Seen
from bench.pipeline.objects import IGNORED_REGION
from metrics.iou import box_iou


@dataclass(frozen=True, slots=True)
class OverlapCrop:
    """SSD's random crop (section 2.2).

    `v2.RandomIoUCrop` makes the same choice, but tries one crop at a time (hundreds for small objects), and does not
    terminate on an image without objects. Here all crops are tried at once, and the view is unchanged if none fits.

    Attributes:
        probability: of trying.
        crop_from: smallest side of a crop, as a fraction of the view's.
    """

    tries: ClassVar[int] = 50
    overlaps: ClassVar[tuple[float, ...]] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)

    probability: float
    crop_from: float

    def __call__(self, seen: Seen) -> Seen:
        chosen = float(torch.rand(())) < self.probability
        view, boxes, labels = seen
        room = min(view.size) * self.crop_from >= 2
        regions = labels == IGNORED_REGION
        objects = (~regions).nonzero().squeeze(1)
        if not chosen or not room or not len(objects):
            return seen
        crops, inside, best = self._tries(boxes[objects], view.height, view.width)
        # The additional choice leaves the view unchanged.
        for choice in torch.randperm(len(self.overlaps) + 1).tolist():
            if choice == len(self.overlaps):
                return seen
            fitting = (best >= self.overlaps[choice]).nonzero()
            if len(fitting):
                row = int(fitting[0])
                left, top, right, bottom = crops[row].long().tolist()
                kept = torch.cat([objects[inside[row]], regions.nonzero().squeeze(1)])
                width, height = right - left, bottom - top
                moved = boxes[kept] - torch.tensor([left, top, left, top])
                clipped = moved.clamp(min=0).minimum(torch.tensor([width, height, width, height]))
                view = view._replace(left=view.left + left, top=view.top + top, width=width, height=height)
                return Seen(view, clipped, labels[kept])
        return seen

    def _tries(self, boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Crops (T, 4) xyxy in whole pixels; which of G centres lie in each, (T, G); best IoU with one of those, (T,).

        The IoU is -1 for crops with an aspect ratio beyond 1 : 2 and for crops without a centre.
        """
        drawn = torch.rand(self.tries, 4)
        whole = torch.tensor([width, height])
        sides = ((self.crop_from + (1 - self.crop_from) * drawn[:, :2]) * whole).floor()
        corners = ((whole - sides) * drawn[:, 2:]).floor()
        crops = torch.cat([corners, corners + sides], 1)
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = ((centers > crops[:, None, :2]) & (centers < crops[:, None, 2:])).all(2)
        ratio = sides[:, 0] / sides[:, 1]
        inside &= ((ratio >= 0.5) & (ratio <= 2))[:, None]
        best = torch.where(inside, box_iou(crops, boxes), -1.0).amax(1)
        return crops, inside, best
