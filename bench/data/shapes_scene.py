"""Scenes of coloured, textured shapes among clutter: their settings, and the drawing of one image from a seed.

Image i of a split is drawn from its own random stream, which is determined by the seed, the split and i: it does not depend
on the number of images, and no image is in two splits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

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
    Form,
    RandomIntegers,
    gradient,
    make_form,
    paint,
    paint_line,
    texture,
)
from bench.data.types import SPLITS, DataOptions
from metrics.pixel_labels import IGNORED

_CLASS_COLORS: Mapping[str, Color] = {
    "disk": (205, 60, 60),
    "ring": (215, 190, 50),
    "square": (60, 165, 75),
    "triangle": (60, 100, 210),
    "cross": (60, 185, 195),
    "star": (190, 70, 190),
    "crescent": (225, 130, 45),
    "hourglass": (120, 120, 120),
}
_COLOR_DEVIATION = 45
_PLACEMENT_TRIES = 16
_COLOR_TRIES = 16

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class ShapesConfig(DataOptions):
    """Number of images, and what they show."""

    train: Count = 2000
    """Training images."""
    val: Count = 150
    """Validation images."""
    test: Count = 300
    """Test images."""
    size: tuple[Annotated[int, Field(ge=16, le=2048)], Annotated[int, Field(ge=16, le=2048)]] = (128, 128)
    """(height, width) of every image in pixels."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)] = ("disk", "square", "triangle", "ring", "star")
    """Shapes, the most frequent first, of disk, ring, square, triangle, cross, star, crescent, hourglass."""
    objects: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1, le=1000)]] = (1, 5)
    """Smallest and largest number of objects per image; fewer if there is no space for more."""
    scale: tuple[Annotated[int, Field(ge=4)], Annotated[int, Field(ge=4, le=1024)]] = (16, 64)
    """Smallest and largest size of an object in pixels (square root of width times height, before rotation); each octave
    is equally frequent."""
    aspect: Annotated[float, Field(ge=1, le=4)] = 1.5
    """Largest aspect ratio of an object, before rotation."""
    rotation: Share = 0.5
    """Range of rotation: 0 upright, 1 any angle."""
    occlusion: Share = 0.35
    """Largest fraction of an object's box that one later object may cover."""
    truncation: Share = 0.2
    """Largest fraction of an object's width or height that may be outside the image."""
    min_visible: Share = 0.3
    """Objects with a smaller visible fraction of their pixels are ignored in training and evaluation; invisible ones are
    left out."""
    clutter: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0, le=1000)]] = (0, 4)
    """Smallest and largest number of lines and fragments (bars, wedges, arcs), which are not objects."""
    color: Share = 0.8
    """Probability that an object has approximately the colour of its class; at 0, colour does not depend on class."""
    textures: bool = True
    """Draw stripes, checks and spots; otherwise only plain colours."""
    noise: Annotated[int, Field(ge=0, le=60)] = 16
    """Largest noise amplitude in grey levels; the amplitude of each image is random up to this."""
    contrast: Annotated[int, Field(ge=0, le=300)] = 90
    """Smallest difference between the colours of object and background, summed over red, green and blue."""
    imbalance: Annotated[float, Field(ge=1, le=1000)] = 2.0
    """Frequency of the first class relative to the last; the frequencies between them decrease harmonically."""

    @field_validator("classes")
    @classmethod
    def _known_and_unique(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in classes if name not in FORMS]
        if unknown:
            raise ValueError(f"unknown shape {unknown[0]!r}; known: {', '.join(FORMS)}")
        if len(set(classes)) < len(classes):
            raise ValueError("each shape can be a class only once")
        return classes

    @field_validator("objects", "scale", "clutter")
    @classmethod
    def _increasing(cls, pair: tuple[int, int]) -> tuple[int, int]:
        if pair[0] > pair[1]:
            raise ValueError(f"the smaller number must be first; write [{pair[1]}, {pair[0]}]")
        return pair

    def ignores(self, drawn: DrawnObject) -> bool:
        """Whether an object is ignored in training and evaluation, because too little of it is visible."""
        return drawn.visible < self.min_visible

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
        label: index of the class.
        box: (x0, y0, x1, y1) in pixels, around all of the shape that is within the image, including hidden parts.
        visible: fraction of the shape's pixels that is within the image and not hidden.
    """

    label: int
    box: tuple[int, int, int, int]
    visible: float


class DrawnImage(NamedTuple):
    """A drawn image and what it shows.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, a view of an array of planes (3, H, W).
        objects: in the order of drawing, also those that are hidden.
        owner: (H, W) int16 index of the object that each pixel shows; -1 for background and clutter. A pixel shows what at
            least half covers it and was drawn last.
    """

    pixels: NDArray[np.uint8]
    objects: list[DrawnObject]
    owner: NDArray[np.int16]


def draw_image(config: ShapesConfig, split: str, index: int) -> DrawnImage:
    """Draw image `index` of a split."""
    rng = RandomIntegers(config.seed, SPLITS.index(split), index)
    height, width = config.size
    start, end = rng.color(30, 225), rng.color(30, 225)
    image = gradient(height, width, start, end, rng.below(TURN))
    backdrop = start, _between(start, end), end

    pieces = rng.between(*config.clutter)
    lines = rng.between(0, pieces)
    for _ in range(lines):
        ends = rng.below(width), rng.below(height), rng.below(width), rng.below(height)
        paint_line(image, ends, rng.between(1, 4), rng.color())

    # Fragments and objects are drawn in one random order, so that each may hide the other.
    fragments, wanted = pieces - lines, rng.between(*config.objects)
    owner = np.full((height, width), -1, dtype=np.int16)
    placed: list[tuple[int, Form, tuple[int, int, int, int]]] = []
    while fragments or wanted:
        is_object = rng.below(fragments + wanted) < wanted
        if is_object:
            wanted -= 1
            label = rng.weighted(_class_weights(len(config.classes), config.imbalance))
            form = _draw_form(rng, config, config.classes[label], *config.scale)
        else:
            fragments -= 1
            small, large = config.scale
            form = _draw_form(
                rng, config, tuple(FRAGMENTS)[rng.below(len(FRAGMENTS))], small, (small + large) // 2
            )
        center = _find_center(rng, config, form, [box for _, _, box in placed])
        if center is None:
            continue
        own = _CLASS_COLORS[config.classes[label]] if is_object and _happens(rng, config.color) else None
        first = _distinct_color(rng, backdrop, config.contrast, own)
        second = _shade(rng, first)
        pattern = texture(TEXTURES[rng.below(len(TEXTURES)) * config.textures], form, rng.between(2, 4))
        met = paint(image, form, *center, pattern, first, second)
        if met is None:
            continue
        rows, columns, form_rows, form_columns = met
        solid = form.coverage[form_rows, form_columns] >= COVER // 2
        if not solid.any():
            continue
        owner[rows, columns][solid] = len(placed) if is_object else -1
        if is_object:
            placed.append((label, form, _bounds(solid, columns.start, rows.start)))

    if config.noise:
        strength = rng.between(0, config.noise)
        grain = rng.bytes(3 * height * width).reshape(3, height, width).astype(np.int16)
        image += ((grain * (2 * strength + 1)) >> 8) - strength
    seen = np.bincount(owner.ravel() + 1, minlength=len(placed) + 1)[1:].tolist()
    objects = [
        DrawnObject(label, box, seen[k] / int(np.count_nonzero(form.coverage >= COVER // 2)))
        for k, (label, form, box) in enumerate(placed)
    ]
    return DrawnImage(np.clip(image, 0, 255).astype(np.uint8).transpose(1, 2, 0), objects, owner)


def draw_label_map(config: ShapesConfig, split: str, index: int) -> NDArray[np.uint8]:
    """Label map (H, W) of image `index` of a split: 0 background, 1 + label, 255 where an ignored object is visible."""
    drawn = draw_image(config, split, index)
    values = [IGNORED if config.ignores(each) else 1 + each.label for each in drawn.objects]
    table = np.array([*values, 0], dtype=np.uint8)  # the last entry is that of index -1
    return table[drawn.owner]


def _bounds(solid: NDArray[np.bool_], left: int, top: int) -> tuple[int, int, int, int]:
    """Box (x0, y0, x1, y1) around the set pixels of an array whose corner is at (left, top)."""
    columns, rows = np.flatnonzero(solid.any(0)), np.flatnonzero(solid.any(1))
    return left + int(columns[0]), top + int(rows[0]), left + int(columns[-1]) + 1, top + int(rows[-1]) + 1


def _class_weights(classes: int, imbalance: float) -> list[int]:
    """Integers in the proportion 1 : 1/imbalance from the first class to the last."""
    steps = max(classes - 1, 1)
    return [int(1_000_000 / (1 + k * (imbalance - 1) / steps)) for k in range(classes)]


def _draw_form(rng: RandomIntegers, config: ShapesConfig, name: str, small: int, large: int) -> Form:
    # A size's weight is its inverse: as many objects between 16 and 32 pixels as between 32 and 64.
    size = small + rng.weighted([1_000_000 // s for s in range(small, large + 1)])
    # The side's ratio r is drawn in 256ths; width = size * sqrt(r), height = size / sqrt(r).
    ratio = rng.between(256, int(config.aspect * 256))
    longer = max(math.isqrt(size * size * ratio // 256), 2)
    shorter = max(math.isqrt(size * size * 256 // ratio), 2)
    width, height = (longer, shorter) if rng.below(2) else (shorter, longer)
    swing = int(config.rotation * (TURN // 2))
    return make_form(name, width, height, rng.between(-swing, swing))


def _find_center(
    rng: RandomIntegers, config: ShapesConfig, form: Form, boxes: list[tuple[int, int, int, int]]
) -> tuple[int, int] | None:
    """A centre where no earlier box is covered by more than `occlusion`; None if a few tries found none."""
    height, width = config.size
    x0, y0, x1, y1 = form.extent
    beyond = int(config.truncation * 256)
    over_x, over_y = (x1 - x0) * beyond // 256, (y1 - y0) * beyond // 256
    low_x, high_x = -x0 - over_x, width - x1 + over_x
    low_y, high_y = -y0 - over_y, height - y1 + over_y
    if low_x > high_x or low_y > high_y:  # a rotated large shape can be wider than the image
        return None
    share = int(config.occlusion * 1024)
    for _ in range(_PLACEMENT_TRIES):
        x, y = rng.between(low_x, high_x), rng.between(low_y, high_y)
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


def _happens(rng: RandomIntegers, share: float) -> bool:
    """Draw an event of probability `share`; probability 0 consumes no random number."""
    return share > 0 and rng.below(256) < int(share * 256)


def _distinct_color(
    rng: RandomIntegers, backdrop: tuple[Color, ...], contrast: int, own: Color | None
) -> Color:
    """A colour (near `own`, if given) with enough contrast to the backdrop, or the last of a few tries."""
    for _ in range(_COLOR_TRIES):
        color = _near(rng, own) if own else rng.color()
        if all(sum(abs(a - b) for a, b in zip(color, other, strict=True)) >= contrast for other in backdrop):
            break
    return color


def _near(rng: RandomIntegers, color: Color) -> Color:
    red, green, blue = (min(max(c + rng.between(-_COLOR_DEVIATION, _COLOR_DEVIATION), 0), 255) for c in color)
    return red, green, blue


def _shade(rng: RandomIntegers, color: Color) -> Color:
    """A lighter colour for a dark one, a darker colour for a light one."""
    step = rng.between(40, 90)
    if sum(color) > 3 * 128:
        step = -step
    red, green, blue = (min(max(channel + step, 0), 255) for channel in color)
    return red, green, blue
