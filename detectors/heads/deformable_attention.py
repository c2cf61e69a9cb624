"""Deformable attention of queries to the levels of a feature pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metrics.errors import InputError
from metrics.plurals import plural


class Memory(NamedTuple):
    """Features of all levels of B images, in one sequence of N cells.

    Attributes:
        cells: (B, N, channels), level by level, row by row.
        grids: (rows, columns) of each level.
        spans: of each level, the fractions (x, y) of its map that the image covers: 1, or less where the last column or row
            of cells extends beyond the image.
    """

    cells: Tensor
    grids: tuple[tuple[int, int], ...]
    spans: tuple[tuple[float, float], ...]


def memory_of(features: Sequence[Tensor], strides: Sequence[int], image_size: tuple[int, int]) -> Memory:
    """Memory of the levels (B, channels, rows, columns) with these strides, of images of (height, width)."""
    height, width = image_size
    grids = tuple((feature.shape[2], feature.shape[3]) for feature in features)
    spans = tuple(
        (width / (columns * stride), height / (rows * stride))
        for (rows, columns), stride in zip(grids, strides, strict=True)
    )
    return Memory(
        torch.cat([feature.flatten(2) for feature in features], dim=2).transpose(1, 2), grids, spans
    )


class DeformableAttention(nn.Module):
    """Multi-scale deformable attention, Zhu et al. 2021, eq. 3, with boxes as references (appendix A.4).

    Each head of each query reads a few points of every level, around the centre of the query's reference box and in
    proportion to its size, and adds them up by weights that the query determines.

    Args:
        channels: of queries and features.
        levels: number of levels.
        heads: among which the channels are divided.
        points: per head and level.

    Raises:
        InputError: the channels cannot be divided among the heads.
    """

    def __init__(self, channels: int, levels: int, heads: int = 4, points: int = 4) -> None:
        super().__init__()
        if channels % heads:
            raise InputError(
                f"heads: {plural(channels, 'channel')} cannot be divided among {plural(heads, 'head')}; give a divisor of {channels}"
            )
        self.levels = levels
        self.heads = heads
        self.points = points
        self.value = nn.Linear(channels, channels)
        self.offsets = nn.Linear(channels, heads * levels * points * 2)
        self.weights = nn.Linear(channels, heads * levels * points)
        self.out = nn.Linear(channels, channels)
        self._start()

    def forward(self, queries: Tensor, references: Tensor, memory: Memory) -> Tensor:
        """Attended features (B, Q, channels) of Q queries.

        Args:
            queries: (B, Q, channels).
            references: (B, Q, 4) cxcywh, as fractions of the image's sides.
            memory: of the levels.
        """
        batch, number, channels = queries.shape
        shape = (batch, number, self.heads, self.levels, self.points)
        offsets = self.offsets(queries).view(*shape, 2)
        weights = self.weights(queries).view(*shape[:3], -1).softmax(dim=-1).view(shape)
        boxes = references[:, :, None, None, None, :]
        locations = boxes[..., :2] + offsets * boxes[..., 2:] * (0.5 / self.points)
        places = _by_head(2 * locations * locations.new_tensor(memory.spans)[:, None] - 1)
        weights = _by_head(weights)
        values = self.value(memory.cells).split([rows * columns for rows, columns in memory.grids], dim=1)
        attended = queries.new_zeros(batch * self.heads, channels // self.heads, number)
        for level, (value, grid) in enumerate(zip(values, memory.grids, strict=True)):
            maps = value.transpose(1, 2).reshape(batch * self.heads, channels // self.heads, *grid)
            sampled = F.grid_sample(maps, places[:, :, level].to(maps.dtype), align_corners=False)
            attended = attended + (sampled * weights[:, None, :, level]).sum(dim=-1)
        result: Tensor = self.out(attended.view(batch, channels, number).transpose(1, 2))
        return result

    def _start(self) -> None:
        """Initial points lie on a ray in a direction of its own for each head, 1, 2, ... steps from the centre."""
        angles = torch.arange(self.heads) * (2 * math.pi / self.heads)
        rays = torch.stack([angles.cos(), angles.sin()], dim=-1)
        rays = rays / rays.abs().amax(dim=-1, keepdim=True)
        steps = torch.arange(1, self.points + 1).view(1, 1, -1, 1)
        points = (rays[:, None, None] * steps).expand(-1, self.levels, -1, -1)
        with torch.no_grad():
            self.offsets.bias.copy_(points.flatten())
        for layer in (self.offsets.weight, self.weights.weight, self.weights.bias):
            nn.init.zeros_(layer)
        for projection in (self.value, self.out):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)


def _by_head(x: Tensor) -> Tensor:
    """(B, Q, heads, ...) to (B * heads, Q, ...)."""
    return x.transpose(1, 2).flatten(0, 1)
