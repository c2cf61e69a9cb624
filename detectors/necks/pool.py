"""Pooled features of a whole image as one vector, and where in the image they come from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from detectors.norm import BatchNorm


class AttentionPool(nn.Module):
    """Averages of features and positions over the image, with learned weights (spatial soft-argmax).

    Each of several maps is a distribution over the cells of the finest level, by softmax. With it, features and positions
    are averaged (for positions, Levine et al. 2016, arXiv:1504.00702). The vector also has the standard deviation of the
    positions, and last a box: that of a uniform distribution with the mean and the standard deviation of the first map,
    ``mean +- sqrt(3) * deviation``. It depends on where the object is, which an average of features alone does not.

    Args:
        channels_in: of each level, finest first.
        maps: number of maps, K.
        channels: of the features.
    """

    strides = (1,)
    """One level; its stride has no meaning, because its only cell is the image."""

    def __init__(self, channels_in: Sequence[int], maps: int, channels: int) -> None:
        super().__init__()
        self.channels = (maps * (channels + 4) + 4,)
        self.lateral = nn.ModuleList(nn.Conv2d(each, channels, 1, bias=False) for each in channels_in)
        self.norm = BatchNorm(channels)
        self.maps = nn.Conv2d(channels, maps, 1)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """One map (B, channels, 1, 1) from maps (B, C, H, W); the last four channels are a box, xyxy in parts of the image."""
        size = features[0].shape[2:]
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        mixed = torch.stack([interpolate(level, size) for level in levels]).sum(dim=0)
        mixed = torch.relu(self.norm(mixed))
        weights = self.maps(mixed).flatten(2).softmax(dim=2)
        pooled = weights @ mixed.flatten(2).transpose(1, 2)  # (B, K, channels)
        mean, deviation = _moments(weights, size[0], size[1])
        low, high = mean - math.sqrt(3) * deviation, mean + math.sqrt(3) * deviation
        parts = [*(part.flatten(1) for part in (pooled, mean, deviation)), low[:, 0], high[:, 0]]
        return [torch.cat(parts, dim=1)[..., None, None]]


def _moments(weights: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (B, K, 2) of x and y, in parts of the image, of distributions (B, K, rows * columns) over
    cells; each cell is uniform.
    """
    y = (torch.arange(rows, device=weights.device, dtype=weights.dtype) + 0.5) / rows
    x = (torch.arange(columns, device=weights.device, dtype=weights.dtype) + 0.5) / columns
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    place = torch.stack([grid_x, grid_y], dim=-1).view(-1, 2)
    mean = weights @ place
    in_cell = weights.new_tensor([columns, rows]) ** -2 / 12
    variance = weights @ place**2 - mean**2 + in_cell
    return mean, variance.clamp(min=1e-8).sqrt()
