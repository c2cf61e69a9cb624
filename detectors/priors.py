"""Priors of dense detectors: default boxes (SSD), anchors (RetinaNet), points (anchor-free)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from metrics.plurals import plural

Side = Annotated[float, Field(gt=0)]
Sizes = tuple[tuple[tuple[Side, Side], ...], ...]
"""Setting: (width, height) in pixels of the priors of each level."""

Shapes = Sequence[Sequence[tuple[float, float]]]
"""(width, height) of the priors of each level."""

Unit = Literal["pixel", "stride", "image", "sides"]
Spacing = Literal["stride", "fit", "floor"]


class GridPriors:
    """Priors of fixed shapes around every cell of the feature map of every level.

    Args:
        shapes: for each level the (width, height) of its priors, in `unit`.
        strides: of each level, in pixels of the network's input.
        unit: ``pixel``; ``stride`` of the level; ``image``: the square root of the image's area, so that a ratio
            holds in pixels; ``sides``: the image's width and height, so that boxes stretch with the image.
        spacing: of neighbouring cells: the ``stride``; ``fit``: the image's side divided by the number of cells
            (SSD, section 2.2); ``floor``: that, rounded down (torchvision's anchors).
        offset: of the first cell's centre, in cells: 0.5 is the middle of the cell.
    """

    def __init__(
        self,
        shapes: Shapes,
        strides: Sequence[int],
        unit: Unit = "pixel",
        spacing: Spacing = "stride",
        offset: float = 0.5,
    ) -> None:
        if len(shapes) != len(strides):
            raise ValueError(
                f"priors: {plural(len(shapes), 'level')} of shapes for {plural(len(strides), 'level')} of strides {tuple(strides)}; "
                "give one list of shapes per level"
            )
        self.shapes = tuple(tuple((float(w), float(h)) for w, h in level) for level in shapes)
        self.strides = tuple(strides)
        self.unit = unit
        self.spacing = spacing
        self.offset = offset
        self._made: dict[tuple[object, ...], Tensor] = {}

    @property
    def per_cell(self) -> tuple[int, ...]:
        """Number of priors per cell of each level."""
        return tuple(len(level) for level in self.shapes)

    def __call__(
        self,
        grids: Sequence[tuple[int, int]],
        image_size: tuple[int, int],
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Priors of an image, level by level, row by row, cell by cell.

        Args:
            grids: (rows, columns) of each level's feature map.
            image_size: (height, width) of the network's input.
            device: of the result.

        Returns:
            (A, 4) float32 xyxy in pixels; they can extend beyond the image. The tensor is cached and must not be modified.
        """
        if torch.compiler.is_compiling():
            return self._make(grids, image_size, device)
        key = (*grids, image_size, str(device))
        if key not in self._made:
            if len(self._made) >= 16:  # many input sizes: limit the memory
                self._made.clear()
            with torch.inference_mode(False):  # training uses them too
                self._made[key] = self._make(grids, image_size, device)
        return self._made[key]

    def _make(
        self, grids: Sequence[tuple[int, int]], image_size: tuple[int, int], device: torch.device | str
    ) -> Tensor:
        height, width = image_size
        levels = []
        for shapes, stride, (rows, columns) in zip(self.shapes, self.strides, grids, strict=True):
            step_y, step_x = self._step(height, rows, stride), self._step(width, columns, stride)
            y = (torch.arange(rows, device=device, dtype=torch.float32) + self.offset) * step_y
            x = (torch.arange(columns, device=device, dtype=torch.float32) + self.offset) * step_x
            centre_y, centre_x = torch.meshgrid(y, x, indexing="ij")
            centre = torch.stack([centre_x, centre_y], dim=-1).view(-1, 1, 2)
            half = (
                torch.tensor(shapes, device=device)
                * torch.tensor(self._scale(image_size, stride), device=device)
                / 2
            )
            levels.append(torch.cat([centre - half, centre + half], dim=-1).view(-1, 4))
        return torch.cat(levels)

    def _step(self, side: int, cells: int, stride: int) -> float:
        if self.spacing == "stride":
            return stride
        return side / cells if self.spacing == "fit" else side // cells

    def _scale(self, image_size: tuple[int, int], stride: int) -> tuple[float, float]:
        height, width = image_size
        match self.unit:
            case "pixel":
                return 1.0, 1.0
            case "stride":
                return float(stride), float(stride)
            case "image":
                return math.sqrt(height * width), math.sqrt(height * width)
            case "sides":
                return float(width), float(height)


def default_boxes(
    levels: int,
    scale_min: float = 0.2,
    scale_max: float = 0.9,
    ratios: Sequence[Sequence[float]] = ((2.0, 3.0),),
    scales: Sequence[float] = (),
) -> list[list[tuple[float, float]]]:
    """Default boxes of SSD, relative to the image (Liu et al. 2016, section 2.2).

    Args:
        levels: number of feature maps, m.
        scale_min: s_min of eq. 4, the scale of the finest level.
        scale_max: s_max of eq. 4, the scale of the coarsest level.
        ratios: for each level, aspect ratios r > 1 (width / height); each adds r and 1/r to two squares. A single list is
            used for all levels.
        scales: m + 1 scales instead of the rule; the last is for the extra square of the coarsest level.

    Returns:
        For each level (width, height) of: the square of scale s_k, the square of scale sqrt(s_k s_{k+1}), and for
        each ratio the wide and the tall box. The scale after the coarsest level is 1. No side is above 1.
    """
    if not scales:
        step = (scale_max - scale_min) / max(1, levels - 1)
        scales = [scale_min + step * k for k in range(levels)] + [1.0]
    if len(scales) != levels + 1:
        raise ValueError(
            f"scales: {len(scales)} given for {plural(levels, 'level')}; give {levels + 1}, one more than levels"
        )
    if len(ratios) == 1:
        ratios = list(ratios) * levels
    if len(ratios) != levels:
        raise ValueError(
            f"ratios: {plural(len(ratios), 'list')} given for {plural(levels, 'level')}; give one, or one per level"
        )
    shapes = []
    for k in range(levels):
        extra = math.sqrt(scales[k] * scales[k + 1])
        level = [(scales[k], scales[k]), (extra, extra)]
        for ratio in ratios[k]:
            wide, tall = scales[k] * math.sqrt(ratio), scales[k] / math.sqrt(ratio)
            level += [(wide, tall), (tall, wide)]
        shapes.append([(min(w, 1.0), min(h, 1.0)) for w, h in level])
    return shapes


def octave_anchors(
    strides: Sequence[int],
    scale: float = 4.0,
    octaves: int = 3,
    ratios: Sequence[float] = (0.5, 1.0, 2.0),
    rounded: bool = False,
) -> list[list[tuple[float, float]]]:
    """Anchors of RetinaNet, in pixels (Lin et al. 2017, section 4).

    Args:
        strides: of the feature maps.
        scale: side of the smallest square, in strides; 4 in the paper (32 pixels at stride 8).
        octaves: number of sizes within a factor of two: scale * 2 ** (i / octaves).
        ratios: height over width.
        rounded: round sizes, and half the width and height, to whole pixels, as in torchvision.

    Returns:
        For each level (width, height), ratio by ratio, from small to large.
    """
    shapes = []
    for stride in strides:
        sizes = [stride * scale * 2 ** (i / octaves) for i in range(octaves)]
        if rounded:
            sizes = [float(int(size)) for size in sizes]
        level = [(size / math.sqrt(ratio), size * math.sqrt(ratio)) for ratio in ratios for size in sizes]
        shapes.append([(2.0 * round(w / 2), 2.0 * round(h / 2)) for w, h in level] if rounded else level)
    return shapes


def points(levels: int) -> list[list[tuple[float, float]]]:
    """For each level one square with the side of one stride: a point and the stride of its level (FCOS)."""
    return [[(1.0, 1.0)]] * levels
