"""SSD's random crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from bench.pipeline.augmentation.seen import Seen
from bench.pipeline.objects import IGNORED_REGION
from metrics.iou import box_iou

Boxes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OverlapCrop:
    """SSD's random crop (section 2.2).

    `v2.RandomIoUCrop` makes the same choice, but tries one crop at a time (hundreds for small objects), and does not
    terminate on an image without objects. Here all crops are tried at once, and the view is unchanged if none fits. The
    arithmetic is NumPy's, whose small operations take a third of the time of torch's.

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
        view, boxes, labels = seen.view, seen.boxes.numpy(), seen.labels.numpy()
        room = min(view.size) * self.crop_from >= 2
        objects = np.flatnonzero(labels != IGNORED_REGION)
        if not chosen or not room or not len(objects):
            return seen
        crops, inside, best = self._tries(boxes[objects], view.height, view.width)
        # The additional choice leaves the view unchanged.
        for choice in torch.randperm(len(self.overlaps) + 1).tolist():
            if choice == len(self.overlaps):
                return seen
            fitting = np.flatnonzero(best >= np.float32(self.overlaps[choice]))
            if len(fitting):
                row = int(fitting[0])
                left, top, right, bottom = map(int, crops[row].tolist())
                regions = np.flatnonzero(labels == IGNORED_REGION)
                kept = np.concatenate([objects[inside[row]], regions])
                width, height = right - left, bottom - top
                moved = boxes[kept] - np.array([left, top, left, top], np.float32)
                clipped = np.minimum(np.maximum(moved, 0), np.array([width, height] * 2, np.float32))
                view = view._replace(left=view.left + left, top=view.top + top, width=width, height=height)
                return Seen(view, torch.from_numpy(clipped), torch.from_numpy(labels[kept]))
        return seen

    def _tries(self, boxes: Boxes, height: int, width: int) -> tuple[Boxes, NDArray[np.bool_], Boxes]:
        """Crops (T, 4) xyxy in whole pixels; which of G centres lie in each, (T, G); best IoU with one of those, (T,).

        The IoU is -1 for crops with an aspect ratio beyond 1 : 2 and for crops without a centre.
        """
        drawn = torch.rand(self.tries, 4).numpy()
        whole = np.array([width, height], np.float32)
        sides = np.floor((self.crop_from + (1 - self.crop_from) * drawn[:, :2]) * whole)
        corners = np.floor((whole - sides) * drawn[:, 2:])
        crops = np.concatenate([corners, corners + sides], 1)
        x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
        left, top, right, bottom = crops.T[:, :, None]
        inside = (x > left) & (y > top) & (x < right) & (y < bottom)
        ratio = sides[:, 0] / sides[:, 1]
        inside &= ((ratio >= 0.5) & (ratio <= 2))[:, None]
        best = np.where(inside, box_iou(crops, boxes), np.float32(-1)).max(1)
        return crops, inside, best
