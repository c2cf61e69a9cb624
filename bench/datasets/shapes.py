"""`shapes`: coloured, textured shapes among clutter, drawn from a seed; the same bytes on every machine.

Image i of a split is drawn from a stream of its own, fixed by the seed, the split and i, so that it does not depend
on how many images there are, and no image stands in two splits.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from bench.data.drawing import (
    COVER,
    FORMS,
    FRAGMENTS,
    TEXTURES,
    TURN,
    Color,
    Draws,
    Form,
    gradient,
    make_form,
    paint,
    paint_line,
    texture,
)
from bench.data.types import DATASETS, SPLITS, DataOptions, Dataset, DatasetFormat, Split, require_objects
from metrics.tables import AnnotationTable, Catalog

DRAWING = 1
"""Grows whenever the same settings would draw other bytes: results on the two are not comparable."""

_KEEP_IN_MEMORY = 1 << 30
_OWN_COLORS: Mapping[str, Color] = {
    "disk": (205, 60, 60),
    "ring": (215, 190, 50),
    "square": (60, 165, 75),
    "triangle": (60, 100, 210),
    "cross": (60, 185, 195),
    "star": (190, 70, 190),
    "crescent": (225, 130, 45),
    "hourglass": (120, 120, 120),
}
_OFF_COLOR = 45
_PLACEMENTS = 16
_COLORS = 16

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class ShapesConfig(DataOptions):
    """How many images are drawn, and what is in them."""

    train: Count = 2000
    """Images to train on."""
    val: Count = 150
    """Images by which the best checkpoint is chosen."""
    test: Count = 300
    """Images that results are measured on."""
    size: tuple[Annotated[int, Field(ge=16, le=2048)], Annotated[int, Field(ge=16, le=2048)]] = (128, 128)
    """(height, width) of every image in pixels."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)] = ("disk", "square", "triangle", "ring", "star")
    """Which shapes there are, the commonest first: disk, ring, square, triangle, cross, star, crescent, hourglass."""
    objects: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1, le=1000)]] = (1, 5)
    """Fewest and most objects of an image; fewer where no place is left for more."""
    scale: tuple[Annotated[int, Field(ge=4)], Annotated[int, Field(ge=4, le=1024)]] = (16, 64)
    """Least and greatest size of an object in pixels (square root of width times height, before it is turned);
    small ones are commoner, each octave having as many."""
    aspect: Annotated[float, Field(ge=1, le=4)] = 1.5
    """Greatest ratio of an object's longer side to its shorter, before it is turned."""
    rotation: Share = 0.5
    """How far shapes are turned: 0 upright, 1 any angle."""
    occlusion: Share = 0.35
    """Greatest share of an object's box that one later object may cover."""
    truncation: Share = 0.2
    """Greatest share of an object's width, or height, that may lie beyond the image's border."""
    min_visible: Share = 0.3
    """An object of which less than this share of its pixels is seen is marked as ignored: neither trained on, nor
    asked for, nor held against a detector. One that is not seen at all is left out."""
    clutter: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0, le=1000)]] = (0, 4)
    """Fewest and most lines and fragments (bars, wedges, arcs), which are no objects."""
    color: Share = 0.8
    """How often an object wears its class's own colour, more or less; at 0 colour says nothing of the class."""
    textures: bool = True
    """Stripes, checks and spots, or plain colours only."""
    noise: Annotated[int, Field(ge=0, le=60)] = 16
    """Greatest grey levels that noise adds to or takes from a pixel; each image has its own strength up to this."""
    contrast: Annotated[int, Field(ge=0, le=300)] = 90
    """Least difference between an object's colour and the background's, summed over red, green and blue."""
    imbalance: Annotated[float, Field(ge=1, le=1000)] = 2.0
    """How many times as common the first class is as the last; between them, shares fall harmonically."""

    @field_validator("classes")
    @classmethod
    def _known_and_once(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in classes if name not in FORMS]
        if unknown:
            raise ValueError(f"no shape is called {unknown[0]!r}; there are {', '.join(FORMS)}")
        if len(set(classes)) < len(classes):
            raise ValueError("each shape can be a class only once")
        return classes

    @field_validator("objects", "scale", "clutter")
    @classmethod
    def _low_to_high(cls, pair: tuple[int, int]) -> tuple[int, int]:
        if pair[0] > pair[1]:
            raise ValueError(f"the least must come first; write [{pair[1]}, {pair[0]}]")
        return pair

    @model_validator(mode="after")
    def _objects_fit(self) -> ShapesConfig:
        if self.scale[1] > min(self.size):
            raise ValueError(
                f"scale: objects of {self.scale[1]} px do not fit images of {self.size[0]}x{self.size[1]}; "
                f"lower scale or raise size"
            )
        return self


@dataclass(frozen=True, slots=True)
class DrawnObject:
    """One object of a drawn image.

    Attributes:
        label: index into the classes.
        box: (x0, y0, x1, y1) pixels: the least box around all of the shape that lies within the image, also where
            another hides it.
        visible: share of the whole shape's pixels that is within the image and not hidden.
    """

    label: int
    box: tuple[int, int, int, int]
    visible: float


def draw(config: ShapesConfig, split: str, index: int) -> tuple[NDArray[np.uint8], list[DrawnObject]]:
    """Image `index` of a split and what is in it, in the order in which it was laid down.

    Returns:
        (H, W, 3) uint8 RGB, a view of an array of planes (3, H, W); and the objects, some of them perhaps hidden.
    """
    draws = Draws(config.seed, SPLITS.index(split), index)
    height, width = config.size
    start, end = draws.color(30, 225), draws.color(30, 225)
    image = gradient(height, width, start, end, draws.below(TURN))
    backdrop = start, _between(start, end), end

    pieces = draws.between(*config.clutter)
    lines = draws.between(0, pieces)
    for _ in range(lines):
        ends = draws.below(width), draws.below(height), draws.below(width), draws.below(height)
        paint_line(image, ends, draws.between(1, 4), draws.color())

    # Fragments and objects are laid down in one random order, so that each may hide the other.
    fragments, wanted = pieces - lines, draws.between(*config.objects)
    owner = np.full((height, width), -1, dtype=np.int16)
    placed: list[tuple[int, Form, tuple[int, int, int, int]]] = []
    while fragments or wanted:
        is_object = draws.below(fragments + wanted) < wanted
        if is_object:
            wanted -= 1
            label = draws.weighted(_class_weights(len(config.classes), config.imbalance))
            form = _draw_form(draws, config, config.classes[label], *config.scale)
        else:
            fragments -= 1
            small, large = config.scale
            form = _draw_form(
                draws, config, tuple(FRAGMENTS)[draws.below(len(FRAGMENTS))], small, (small + large) // 2
            )
        place = _find_place(draws, config, form, [box for _, _, box in placed])
        if place is None:
            continue
        own = _OWN_COLORS[config.classes[label]] if is_object and _happens(draws, config.color) else None
        first = _distinct_color(draws, backdrop, config.contrast, own)
        second = _shade(draws, first)
        pattern = texture(TEXTURES[draws.below(len(TEXTURES)) * config.textures], form, draws.between(2, 4))
        met = paint(image, form, *place, pattern, first, second)
        if met is None:
            continue
        rows, columns, own_rows, own_columns = met
        solid = form.coverage[own_rows, own_columns] >= COVER // 2
        if not solid.any():
            continue
        owner[rows, columns][solid] = len(placed) if is_object else -1
        if is_object:
            placed.append((label, form, _bounds(solid, columns.start, rows.start)))

    if config.noise:
        strength = draws.between(0, config.noise)
        grain = draws.bytes(3 * height * width).reshape(3, height, width).astype(np.int16)
        image += ((grain * (2 * strength + 1)) >> 8) - strength
    seen = np.bincount(owner.ravel() + 1, minlength=len(placed) + 1)[1:].tolist()
    objects = [
        DrawnObject(label, box, seen[k] / int(np.count_nonzero(form.coverage >= COVER // 2)))
        for k, (label, form, box) in enumerate(placed)
    ]
    return np.clip(image, 0, 255).astype(np.uint8).transpose(1, 2, 0), objects


def _bounds(solid: NDArray[np.bool_], left: int, top: int) -> tuple[int, int, int, int]:
    """The least box (x0, y0, x1, y1) around what is set, in an array whose corner lies at (left, top)."""
    columns, rows = np.flatnonzero(solid.any(0)), np.flatnonzero(solid.any(1))
    return left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1


def _class_weights(classes: int, imbalance: float) -> list[int]:
    """Integers in the proportion 1 : 1/imbalance from the first class to the last."""
    steps = max(classes - 1, 1)
    return [int(1_000_000 / (1 + k * (imbalance - 1) / steps)) for k in range(classes)]


def _draw_form(draws: Draws, config: ShapesConfig, name: str, small: int, large: int) -> Form:
    # A size's weight is its inverse: as many objects between 16 and 32 pixels as between 32 and 64.
    size = small + draws.weighted([1_000_000 // s for s in range(small, large + 1)])
    # The side's ratio r is drawn in 256ths; width = size * sqrt(r), height = size / sqrt(r).
    ratio = draws.between(256, int(config.aspect * 256))
    longer = max(math.isqrt(size * size * ratio // 256), 2)
    shorter = max(math.isqrt(size * size * 256 // ratio), 2)
    width, height = (longer, shorter) if draws.below(2) else (shorter, longer)
    swing = int(config.rotation * (TURN // 2))
    return make_form(name, width, height, draws.between(-swing, swing))


def _find_place(
    draws: Draws, config: ShapesConfig, form: Form, boxes: list[tuple[int, int, int, int]]
) -> tuple[int, int] | None:
    """A centre at which no earlier box is covered by more than `occlusion`; None where none was found."""
    height, width = config.size
    x0, y0, x1, y1 = form.extent
    beyond = int(config.truncation * 256)
    over_x, over_y = (x1 - x0) * beyond // 256, (y1 - y0) * beyond // 256
    low_x, high_x = -x0 - over_x, width - x1 + over_x
    low_y, high_y = -y0 - over_y, height - y1 + over_y
    if low_x > high_x or low_y > high_y:  # turned, a large shape can be wider than the image
        return None
    share = int(config.occlusion * 1024)
    for _ in range(_PLACEMENTS):
        x, y = draws.between(low_x, high_x), draws.between(low_y, high_y)
        for left, top, right, bottom in boxes:
            w = min(x + x1, right) - max(x + x0, left)
            h = min(y + y1, bottom) - max(y + y0, top)
            if w > 0 and h > 0 and w * h * 1024 > (right - left) * (bottom - top) * share:
                break
        else:
            return x, y
    return None


def _between(a: Color, b: Color) -> Color:
    return (a[0] + b[0]) // 2, (a[1] + b[1]) // 2, (a[2] + b[2]) // 2


def _happens(draws: Draws, share: float) -> bool:
    """Whether something that happens so often does now; what never does draws nothing."""
    return share > 0 and draws.below(256) < int(share * 256)


def _distinct_color(draws: Draws, backdrop: tuple[Color, ...], contrast: int, own: Color | None) -> Color:
    """A colour (near `own`, if given) that far from the backdrop's ends and middle, or the last of a few tries."""
    for _ in range(_COLORS):
        color = _near(draws, own) if own else draws.color()
        if all(sum(abs(a - b) for a, b in zip(color, other, strict=True)) >= contrast for other in backdrop):
            break
    return color


def _near(draws: Draws, color: Color) -> Color:
    red, green, blue = (min(max(c + draws.between(-_OFF_COLOR, _OFF_COLOR), 0), 255) for c in color)
    return red, green, blue


def _shade(draws: Draws, color: Color) -> Color:
    """A lighter or darker neighbour, away from the nearer end of the scale."""
    step = draws.between(40, 90)
    if sum(color) > 3 * 128:
        step = -step
    red, green, blue = (min(max(channel + step, 0), 255) for channel in color)
    return red, green, blue


class _DrawnSplits(Mapping[str, Split]):
    """The three splits, each drawn when it is first asked for."""

    def __init__(self, config: ShapesConfig) -> None:
        self._config = config
        self._drawn: dict[str, Split] = {}

    def __getitem__(self, name: str) -> Split:
        if name not in SPLITS:
            raise KeyError(name)
        if name not in self._drawn:
            self._drawn[name] = require_objects(_draw_split(self._config, name))
        return self._drawn[name]

    def __iter__(self) -> Iterator[str]:
        return iter(SPLITS)

    def __len__(self) -> int:
        return len(SPLITS)


def _draw_split(config: ShapesConfig, name: str) -> Split:
    count = int(getattr(config, name))
    height, width = config.size
    keep = count * height * width * 3 <= _KEEP_IN_MEMORY
    planes = np.empty((count if keep else 0, 3, height, width), dtype=np.uint8)
    rows: list[tuple[int, int, int, int, int, int, bool]] = []
    for index in range(count):
        image, objects = draw(config, name, index)
        if keep:
            planes[index] = image.transpose(2, 0, 1)
        rows += [
            (index, item.label, *item.box, item.visible < config.min_visible)
            for item in objects
            if item.visible > 0
        ]
    table = np.array(rows, dtype=np.int64).reshape(-1, 7)
    xywh = table[:, 2:6].astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    catalog = Catalog.of(
        [f"{name}-{index:06d}" for index in range(count)],
        config.classes,
        np.tile(np.array([height, width], dtype=np.int32), (count, 1)),
    )
    truth = AnnotationTable.of(
        catalog, table[:, 0].astype(np.int32), table[:, 1].astype(np.int32), xywh, ignored=table[:, 6] > 0
    )
    load: Callable[[int], NDArray[np.uint8]] = _Kept(planes) if keep else _Redrawn(config, name)
    return Split(name, truth, load, _fingerprint(config, name), in_memory=keep)


@dataclass(frozen=True, slots=True)
class _Kept:
    planes: NDArray[np.uint8]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self.planes[index]
        return image.transpose(1, 2, 0)


@dataclass(frozen=True, slots=True)
class _Redrawn:
    config: ShapesConfig
    split: str

    def __call__(self, index: int) -> NDArray[np.uint8]:
        return draw(self.config, self.split, index)[0]


def _fingerprint(config: ShapesConfig, what: str) -> str:
    """Settings and version of the drawing say all about the images: nothing needs to be drawn to know them."""
    cause = f"shapes {DRAWING} {what} {config.model_dump_json()}"
    return hashlib.sha256(cause.encode()).hexdigest()


def _open(path: Path | None, files: Sequence[Path], options: ShapesConfig) -> Dataset:
    shares = f"{options.train} train, {options.val} val and {options.test} test images"
    return Dataset(
        name="shapes",
        format="shapes",
        path=None,
        splits=_DrawnSplits(options),
        fingerprint=_fingerprint(options, "all"),
        notes=[
            f"shapes: {shares} of {options.size[0]}x{options.size[1]} pixels, drawn from seed {options.seed}"
        ],
        defaults={**_DEFAULTS, "image.size": options.size},
    )


# Every image is new and of all scales and colours already: to change them further costs time and teaches little.
_DEFAULTS: dict[str, Any] = {
    "image.size": (128, 128),
    "augment.flip": 0.5,
    "augment.flip_vertical": 0.5,
    "augment.zoom_out": 0.0,
    "augment.iou_crop": 0.0,
    "augment.photometric": 0.0,
    "train.epochs": 6,
    "train.weight_decay": 0.05,
}

DATASETS.register(
    "shapes",
    DatasetFormat(
        name="shapes",
        summary="coloured, textured shapes among clutter, drawn from a seed",
        source="drawn by bench.datasets.shapes",
        options=ShapesConfig,
        open=_open,
        defaults=_DEFAULTS,
    ),
)
