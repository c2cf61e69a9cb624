"""SSD's random crop, of images with boxes and label maps."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from bench.pipeline.objects import IGNORED_REGION
from metrics.iou import box_iou


class OverlapCrop(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """SSD's random crop (section 2.2).

    `v2.RandomIoUCrop` makes the same choice, but tries one crop at a time (hundreds for small objects), and does not
    terminate on an image without objects. Here all crops are tried at once, and the image is unchanged if none fits.
    """

    tries = 50
    overlaps = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)

    def __init__(self, p: float, crop_from: float) -> None:
        super().__init__()
        self.p = p
        self.crop_from = crop_from

    def forward(self, sample: dict[str, Tensor]) -> dict[str, Tensor]:
        chosen = float(torch.rand(())) < self.p
        height, width = sample["image"].shape[-2:]
        room = min(height, width) * self.crop_from >= 2
        regions = sample["labels"] == IGNORED_REGION
        objects = (~regions).nonzero().squeeze(1)
        if not chosen or not room or not len(objects):
            return sample
        crops, inside, best = self._tries(sample["boxes"].as_subclass(Tensor)[objects], height, width)
        # The additional choice leaves the image unchanged.
        for choice in torch.randperm(len(self.overlaps) + 1).tolist():
            if choice == len(self.overlaps):
                return sample
            fitting = (best >= self.overlaps[choice]).nonzero()
            if len(fitting):
                row = int(fitting[0])
                left, top, right, bottom = crops[row].long().tolist()
                kept = torch.cat([objects[inside[row]], regions.nonzero().squeeze(1)])
                boxes = sample["boxes"]
                window = {"top": top, "left": left, "height": bottom - top, "width": right - left}
                of_pixels = [name for name in ("image", "label_map") if name in sample]
                cropped: dict[str, Tensor] = {
                    name: functional.crop(sample[name], **window) for name in of_pixels
                }
                return cropped | {
                    "boxes": functional.crop(tv_tensors.wrap(boxes[kept], like=boxes), **window),
                    "labels": sample["labels"][kept],
                }
        return sample

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
