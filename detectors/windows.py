"""Windows of images: a grid of them at several scales, random ones for training, and their pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torchvision.ops import roi_align

from detectors.config import Config
from detectors.search_range import Choice, Range
from detectors.types import Targets
from metrics.boxes import clip, degenerate
from metrics.iou import box_iou

_TRIES = 16
"""Random windows around an object among which the first with enough IoU is taken."""


class WindowsConfig(Config):
    """Which windows are classified, and which of them are used in training."""

    pixels: Annotated[int, Field(ge=8), Choice(24, 32, 48)] = 32
    """Side to which every window is resized."""
    scale_min: Annotated[float, Field(gt=0, le=1), Range(0.08, 0.3)] = 0.16
    """Side of the smallest square windows, as a fraction of the image's shorter side."""
    scale_max: Annotated[float, Field(gt=0, le=1), Range(0.4, 1.0)] = 0.55
    """Side of the largest square windows, as a fraction of the image's shorter side."""
    scales: Annotated[int, Field(ge=1), Range(2, 8)] = 4
    """Number of scales, in equal ratios from the smallest to the largest."""
    ratios: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (0.67, 1.0, 1.5)
    """Aspect ratios (width / height); windows of one scale have equal areas."""
    stride: Annotated[float, Field(gt=0, le=1), Range(0.2, 0.6)] = 0.5
    """Largest distance between neighbouring windows, as a fraction of their sides."""
    per_image: Annotated[int, Field(ge=1), Range(8, 64, log=True)] = 24
    """Windows that are drawn from each image in a training step."""
    share: Annotated[float, Field(ge=0, le=1), Range(0.1, 0.75)] = 0.5
    """Share of these that are around objects."""
    positive: Annotated[float, Field(ge=0, le=1), Range(0.4, 0.7)] = 0.5
    """Smallest IoU of such a window with its object."""
    negative: Annotated[float, Field(ge=0, le=1), Range(0.1, 0.5)] = 0.3
    """A window of the background has an IoU below this with every object; 0.3 in R-CNN."""
    batch: Annotated[int, Field(ge=1)] = 512
    """Windows that are classified together in prediction; limits the memory."""


class DrawnWindows(NamedTuple):
    """Training windows of a batch of images.

    Attributes:
        windows: of each image (N, 4) xyxy in pixels of the image.
        targets: of each window, in the same order: the object that it overlaps most, in pixels of the resized window; no
            objects if it is background.
    """

    windows: list[Tensor]
    targets: list[Targets]


def window_grid(config: WindowsConfig, image_size: tuple[int, int]) -> list[Tensor]:
    """Windows over the whole image, for each scale and ratio (A, 4) xyxy in pixels, row by row; none beyond the image.

    Neighbouring windows of a scale are equally distant, and the outer ones touch the borders. Sides longer than the
    image's are cut.

    Args:
        config: settings.
        image_size: (height, width).
    """
    height, width = image_size
    grown = config.scale_max / config.scale_min
    levels = []
    for step in range(config.scales):
        side = min(image_size) * config.scale_min * grown ** (step / max(config.scales - 1, 1))
        for ratio in config.ratios:
            w, h = min(side * math.sqrt(ratio), width), min(side / math.sqrt(ratio), height)
            y, x = _starts(height, h, config.stride), _starts(width, w, config.stride)
            top, left = torch.meshgrid(y, x, indexing="ij")
            levels.append(torch.stack([left, top, left + w, top + h], dim=-1).view(-1, 4))
    return levels


def draw_windows(
    config: WindowsConfig, targets: Sequence[Targets], image_size: tuple[int, int], seed: int
) -> DrawnWindows:
    """Draw training windows: some around the objects of each image, the others from the grid, over background.

    The windows of an image depend on `seed` and on its objects, not on the other images of the batch: however a step is
    divided, its loss is the same. The number of windows does not depend on `seed`. There are fewer than
    ``config.per_image`` if the grid has too few windows over background.

    Args:
        config: settings.
        targets: of each image; boxes without width, height or finite corners are ignored.
        image_size: (height, width) of the images.
        seed: of this step.
    """
    grid = torch.cat(window_grid(config, image_size))
    windows, objects = [], []
    for target in targets:
        own, found = _draw(config, _inside(target, image_size), grid, image_size, seed)
        windows.append(own)
        objects += found
    return DrawnWindows(windows, objects)


def cut_windows(images: Tensor, windows: Sequence[Tensor], pixels: int) -> Tensor:
    """Pixels (N, 3, pixels, pixels) of windows, resized bilinearly, and averaged where they are made smaller.

    Args:
        images: (B, 3, H, W).
        windows: of each image (A, 4) xyxy in pixels; N in total.
        pixels: side of the result.
    """
    cut: Tensor = roi_align(images, [each.to(images) for each in windows], pixels, aligned=True)
    return cut


def _starts(side: int, window: float, stride: float) -> Tensor:
    """Positions of the first pixel of windows of length `window`, from border to border."""
    count = math.ceil((side - window) / (stride * window) - 1e-9) + 1
    return torch.linspace(0, side - window, count) if count > 1 else torch.tensor([(side - window) / 2])


def _inside(target: Targets, image_size: tuple[int, int]) -> Targets:
    """The valid objects of an image on the CPU, clipped to it."""
    target = target.to("cpu")
    boxes, labels = target.boxes.detach().float(), target.labels
    finite = boxes.isfinite().all(dim=1)
    boxes, labels = clip(boxes[finite], image_size), labels[finite]
    usable = ~degenerate(boxes)
    return Targets(boxes[usable], labels[usable], ignored=target.ignored)


def _draw(
    config: WindowsConfig, objects: Targets, grid: Tensor, image_size: tuple[int, int], seed: int
) -> tuple[Tensor, list[Targets]]:
    """Windows (N, 4) of one image, and the target of each."""
    key = hash((seed, *objects.boxes.flatten().tolist())) & (2**63 - 1)
    generator = torch.Generator().manual_seed(key)
    found = objects.boxes[:0]
    best = torch.zeros(0, dtype=torch.int64)
    if len(objects.labels):
        number = max(round(config.share * config.per_image), 1)
        found = _around(config, objects.boxes, number, image_size, generator)
        best = box_iou(found, objects.boxes).argmax(dim=1)
        background = (box_iou(grid, objects.boxes) < config.negative).all(dim=1).nonzero().squeeze(1)
    else:
        background = torch.arange(len(grid))
    order = torch.randperm(len(background), generator=generator)[: config.per_image - len(found)]
    of_found = [
        Targets(_relative(objects.boxes[k : k + 1], window, config.pixels), objects.labels[k : k + 1])
        for k, window in zip(best.tolist(), found, strict=True)
    ]
    others = grid[background[order]]
    ignored = objects.ignored
    of_others = [
        Targets(
            objects.boxes[:0],
            objects.labels[:0],
            ignored=None if ignored is None else _relative(ignored, window, config.pixels),
        )
        for window in others
    ]
    return torch.cat([found, others]), of_found + of_others


def _around(
    config: WindowsConfig,
    boxes: Tensor,
    number: int,
    image_size: tuple[int, int],
    generator: torch.Generator,
) -> Tensor:
    """(number, 4) windows around the objects in turn, each moved and scaled at random within the image.

    An object itself is taken if none of some tries has enough IoU with it.
    """
    owner = torch.randperm(len(boxes), generator=generator).repeat(-(-number // len(boxes)))[:number]
    own = boxes[owner, None]  # (number, 1, 4)
    size = own[..., 2:] - own[..., :2]
    noise = 2 * torch.rand(number, _TRIES, 4, generator=generator) - 1
    spread = 1 - config.positive
    centre = (own[..., :2] + own[..., 2:]) / 2 + spread * noise[..., :2] * size
    half = torch.exp(spread * noise[..., 2:]) * size / 2
    tried = torch.cat([clip(torch.cat([centre - half, centre + half], dim=-1), image_size), own], dim=1)
    enough = box_iou(own, tried).squeeze(1) >= config.positive
    enough[:, -1] = True
    return tried[torch.arange(number), enough.int().argmax(dim=1)]


def _relative(boxes: Tensor, window: Tensor, pixels: int) -> Tensor:
    """(N, 4) boxes in pixels of the resized window."""
    size = (window[2:] - window[:2]).repeat(2)
    return (boxes - window[:2].repeat(2)) / size * pixels
