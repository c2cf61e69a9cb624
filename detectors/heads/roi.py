"""Heads on regions of interest: pooling from a feature pyramid, then class logits and box codes of each region."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align


class PyramidRoIAlign:
    """Features of boxes, each pooled by RoIAlign from the level of the pyramid that fits its size.

    He et al. 2017 (Mask R-CNN), section 3; Lin et al. 2017 (FPN), eq. 1: a box whose side, the square root of its area, is
    from `scale` to 2 `scale` strides of a level is pooled from this level; smaller ones from the finest, larger ones from
    the coarsest. The paper's rule, 224 pixels at stride 16, is a scale of 14.

    Args:
        strides: of the levels, finest first, each twice the one before.
        size: rows and columns of bins.
        sampling: points per bin in each direction.
        scale: see above.
        aligned: subtract half a cell from the coordinates, because the centre of the first cell is at half a stride.
    """

    def __init__(
        self,
        strides: Sequence[int],
        size: int = 7,
        sampling: int = 2,
        scale: float = 14.0,
        aligned: bool = True,
    ) -> None:
        self.strides = tuple(strides)
        self.size = size
        self.sampling = sampling
        self.scale = scale
        self.aligned = aligned

    def levels(self, boxes: Tensor) -> Tensor:
        """(K,) index of the level of each box (K, 4) xyxy in pixels of the network's input."""
        side = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1).sqrt()
        # The small number is torchvision's: a side of exactly `scale` strides belongs to the coarser level.
        level = torch.floor(torch.log2(side / (self.scale * self.strides[0])) + 1e-6)
        return level.clamp(min=0, max=len(self.strides) - 1).long()

    def __call__(self, features: Sequence[Tensor], image: Tensor, boxes: Tensor) -> Tensor:
        """Features (K, channels, size, size) of K boxes.

        Args:
            features: levels (B, channels, ...) at `strides`.
            image: (K,) index of each box's image.
            boxes: (K, 4) xyxy in pixels of the network's input.
        """
        rows = torch.cat([image[:, None].to(features[0]), boxes.to(features[0])], dim=1)
        order = self.levels(boxes).sort(stable=True)
        counts = order.values.bincount(minlength=len(self.strides)).tolist()
        parts = zip(features, self.strides, torch.split(rows[order.indices], counts), strict=True)
        pooled = [
            roi_align(feature, of_level, self.size, 1 / stride, self.sampling, self.aligned)
            for feature, stride, of_level in parts
        ]
        return torch.cat(pooled)[order.indices.argsort()]


class RoIHead(nn.Module):
    """Two fully connected layers, then class logits and box codes (Lin et al. 2017, FPN, section 4.2).

    Args:
        channels_in: of the pooled features.
        size: rows and columns of the pooled features.
        hidden: width of the two layers; 1024 in the paper.
        class_channels: per region.
        boxes: box codes per region: one for each class, or 1 for all classes.
        code_channels: per box.
    """

    def __init__(
        self,
        channels_in: int,
        size: int,
        hidden: int,
        class_channels: int,
        boxes: int,
        code_channels: int = 4,
    ) -> None:
        super().__init__()
        self.boxes = boxes
        self.hidden = nn.ModuleList(nn.Linear(width, hidden) for width in (channels_in * size * size, hidden))
        self.class_out = nn.Linear(hidden, class_channels)
        self.box_out = nn.Linear(hidden, boxes * code_channels)
        for layer in self.hidden:
            assert isinstance(layer, nn.Linear)
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)
        # Girshick 2015 (Fast R-CNN), section 2.3
        for layer, deviation in ((self.class_out, 0.01), (self.box_out, 0.001)):
            nn.init.normal_(layer.weight, std=deviation)
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (K, class_channels) and codes (K, boxes, code_channels) from (K, channels_in, size, size)."""
        x = pooled.flatten(1)
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.class_out(x), self.box_out(x).unflatten(1, (self.boxes, -1))
