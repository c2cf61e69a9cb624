"""Drawing with integers: random numbers, forms, textures and lines that are the same bytes on every machine.

The results do not depend on a library's rounding. Random numbers are the raw words of PCG64, which NumPy guarantees
(NEP 19), whereas the distributions of its `Generator` may change between versions. Angles use a table of sines in units of
2^-14; every entry is so far from a half that any mathematics library rounds it in the same way. The rest is addition,
multiplication and shifts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.int32]
Color = tuple[int, int, int]

TURN = 256
"""Angles are counted in 256ths of a full turn."""

UNIT = 2048
"""Half the width, or half the height, of a form in its own coordinates."""

_SINE_BITS = 14
SINE = tuple(round(math.sin(2 * math.pi * k / TURN) * 2**_SINE_BITS) for k in range(TURN))

COVER = 4
"""Coverage of a pixel that is completely within a form: the number of its samples, two by two."""


class RandomIntegers:
    """Random integers from one stream.

    Args:
        seed: seed of the data set.
        key: identifies the stream, such as split and image; streams of different keys are independent.
    """

    def __init__(self, seed: int, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key))
        self._words: list[int] = []

    def below(self, n: int) -> int:
        """An integer in [0, n), uniform up to n / 2^32."""
        if not self._words:
            self._words = self._bits.random_raw(64).tolist()
        return (self._words.pop() >> 32) * n >> 32

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + self.below(high - low + 1)

    def weighted(self, weights: Sequence[int]) -> int:
        """An index of `weights`, with a probability proportional to its weight."""
        left = self.below(sum(weights))
        for index, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return index
        raise AssertionError("the sum of the weights was exceeded")

    def color(self, low: int = 0, high: int = 255) -> Color:
        """Three channels, each from low to high."""
        return self.between(low, high), self.between(low, high), self.between(low, high)

    def bytes(self, n: int) -> NDArray[np.uint8]:
        """(n,) uint8; the same on machines of either byte order."""
        words = self._bits.random_raw(-(-n // 8))
        return words.astype("<u8", copy=False).view(np.uint8)[:n]


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """A shape before it is placed: a window of pixels around its centre.

    Attributes:
        coverage: (h, w) int16, number of samples of each pixel within the form, 0 to `COVER`.
        left, top: corner of the window, in pixels from the centre.
        extent: (x0, y0, x1, y1) from the centre: box around the pixels that are at least half covered.
        u, v: (h, w) coordinates of each pixel in the frame of the form, in units of 1/`UNIT` of half its size.
    """

    coverage: NDArray[np.int16]
    left: int
    top: int
    extent: tuple[int, int, int, int]
    u: Grid
    v: Grid


def _disk(u: Grid, v: Grid) -> NDArray[np.bool_]:
    return u * u + v * v <= UNIT * UNIT


def _ring(u: Grid, v: Grid) -> NDArray[np.bool_]:
    square = u * u + v * v
    return (square <= UNIT * UNIT) & (square >= (UNIT * 9 // 16) ** 2)


def _square(u: Grid, v: Grid) -> NDArray[np.bool_]:
    return np.maximum(np.abs(u), np.abs(v)) <= UNIT


def _triangle(u: Grid, v: Grid) -> NDArray[np.bool_]:
    return (v <= UNIT) & (v >= 2 * np.abs(u) - UNIT)


def _cross(u: Grid, v: Grid) -> NDArray[np.bool_]:
    across, along = np.abs(u), np.abs(v)
    return (np.minimum(across, along) <= UNIT * 5 // 16) & (np.maximum(across, along) <= UNIT)


def _star(u: Grid, v: Grid) -> NDArray[np.bool_]:
    """Pentagram: its points are on the inner side of at least four of its five lines."""
    inner = np.zeros(u.shape, dtype=np.int8)
    for k in range(5):
        angle = TURN * (4 * k + 1) // 20
        distance = (u * SINE[(angle + TURN // 4) % TURN] + v * SINE[angle]) >> _SINE_BITS
        inner += distance <= UNIT * 309 // 1000  # cos 72 degrees: the lines' distance from the centre
    return inner >= 4


def _crescent(u: Grid, v: Grid) -> NDArray[np.bool_]:
    bitten = u - UNIT * 5 // 8
    return (u * u + v * v <= UNIT * UNIT) & (bitten * bitten + v * v > (UNIT * 7 // 8) ** 2)


def _hourglass(u: Grid, v: Grid) -> NDArray[np.bool_]:
    return (np.abs(v) <= UNIT) & (np.abs(u) <= np.abs(v))


def _bar(u: Grid, v: Grid) -> NDArray[np.bool_]:
    return (np.abs(u) <= UNIT) & (np.abs(v) <= UNIT // 6)


def _wedge(u: Grid, v: Grid) -> NDArray[np.bool_]:
    return (u * u + v * v <= UNIT * UNIT) & (u >= 0) & (v >= 0)


def _arc(u: Grid, v: Grid) -> NDArray[np.bool_]:
    return _ring(u, v) & (u + v >= UNIT // 4)


FORMS = {
    "disk": _disk,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "crescent": _crescent,
    "hourglass": _hourglass,
}
"""Shapes of classes: whether a point in the frame of the form is within it."""

FRAGMENTS = {"bar": _bar, "wedge": _wedge, "arc": _arc}
"""Shapes of clutter, which resemble parts of the classes."""


def make_form(name: str, width: int, height: int, angle: int) -> Form:
    """A form of `width` by `height` pixels, rotated by `angle` / `TURN` of a full turn.

    32 bits suffice for sides of 2 to 1024 pixels of which neither is more than eight times the other.
    """
    reach = math.isqrt(width * width + height * height) // 2 + 2
    sine, cosine = SINE[angle % TURN], SINE[(angle + TURN // 4) % TURN]
    # Samples are at odd quarters of a pixel: two by two in each.
    quarters = np.arange(-4 * reach + 1, 4 * reach, 2, dtype=np.int32)
    half_width, half_height = 2 * width, 2 * height  # in quarters
    x_to_u, y_to_u = cosine * UNIT // half_width, sine * UNIT // half_width
    x_to_v, y_to_v = -sine * UNIT // half_height, cosine * UNIT // half_height
    u: Grid = (quarters[None, :] * x_to_u + quarters[:, None] * y_to_u) >> _SINE_BITS
    v: Grid = (quarters[None, :] * x_to_v + quarters[:, None] * y_to_v) >> _SINE_BITS
    inside = (FORMS.get(name) or FRAGMENTS[name])(u, v).view(np.uint8)
    coverage = inside[::2, ::2] + inside[1::2, ::2] + inside[::2, 1::2] + inside[1::2, 1::2]
    solid = coverage >= COVER // 2
    columns, rows = np.flatnonzero(solid.any(0)).tolist(), np.flatnonzero(solid.any(1)).tolist()
    return Form(
        coverage=coverage.astype(np.int16),
        left=-reach,
        top=-reach,
        extent=(columns[0] - reach, rows[0] - reach, columns[-1] + 1 - reach, rows[-1] + 1 - reach),
        u=u[::2, ::2],
        v=v[::2, ::2],
    )


TEXTURES = ("plain", "stripes", "checks", "spots")


def texture(name: str, form: Form, period: int) -> NDArray[np.bool_]:
    """(h, w), where the second colour is. The pattern rotates with the form and repeats `period` times in it."""
    u, v = (form.u + UNIT) * period, (form.v + UNIT) * period
    if name == "stripes":
        return (u & UNIT) > 0
    if name == "checks":
        return ((u ^ v) & UNIT) > 0
    if name == "spots":
        x, y = (u & (2 * UNIT - 1)) - UNIT, (v & (2 * UNIT - 1)) - UNIT
        return x * x + y * y <= UNIT * UNIT // 3
    return np.zeros(u.shape, dtype=np.bool_)


def paint(
    image: NDArray[np.int16],
    form: Form,
    x: int,
    y: int,
    pattern: NDArray[np.bool_],
    first: Color,
    second: Color,
) -> tuple[slice, slice, slice, slice] | None:
    """Draw a form on `image` (3, H, W) in place, with its centre at the corner (x, y) of four pixels.

    Returns:
        Rows and columns of the image, then of the form's window, where the two overlap; None if they do not.
    """
    height, width = image.shape[1:]
    h, w = form.coverage.shape
    left, top = x + form.left, y + form.top
    x0, x1, y0, y1 = max(left, 0), min(left + w, width), max(top, 0), min(top + h, height)
    if x0 >= x1 or y0 >= y1:
        return None
    rows, columns = slice(y0, y1), slice(x0, x1)
    form_rows, form_columns = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    weight = form.coverage[form_rows, form_columns]
    where = pattern[form_rows, form_columns]
    for channel in range(3):
        under = image[channel, rows, columns]
        over = np.where(where, np.int16(second[channel]), np.int16(first[channel]))
        under += ((over - under) * weight) >> 2
    return rows, columns, form_rows, form_columns


def paint_line(image: NDArray[np.int16], ends: tuple[int, int, int, int], width: int, color: Color) -> None:
    """Draw a straight line from (x0, y0) to (x1, y1) on `image` (3, H, W) in place; `width` in half pixels."""
    x0, y0, x1, y1 = ends
    dx, dy = x1 - x0, y1 - y0
    left, right = max(min(x0, x1) - width, 0), min(max(x0, x1) + width, image.shape[2])
    top, bottom = max(min(y0, y1) - width, 0), min(max(y0, y1) + width, image.shape[1])
    if left >= right or top >= bottom:
        return
    xs = np.arange(left, right, dtype=np.int32)[None, :]
    ys = np.arange(top, bottom, dtype=np.int32)[:, None]
    # Twice the distance from the line is 2 |cross| / length; length is rounded down, deterministically.
    near = 2 * np.abs((xs - x0) * dy - (ys - y0) * dx) <= width * max(math.isqrt(dx * dx + dy * dy), 1)
    for channel in range(3):
        image[channel, top:bottom, left:right][near] = color[channel]


def gradient(height: int, width: int, first: Color, second: Color, angle: int) -> NDArray[np.int16]:
    """(3, height, width): linear gradient from one colour to another in the direction of `angle`."""
    dx, dy = SINE[(angle + TURN // 4) % TURN], SINE[angle % TURN]
    xs = (2 * np.arange(width, dtype=np.int64) + 1 - width) * dx
    ys = (2 * np.arange(height, dtype=np.int64) + 1 - height) * dy
    reach = max(abs(dx) * width + abs(dy) * height, 1)
    along = ((xs[None, :] + ys[:, None]) * 64 // reach + 64).astype(np.int16)  # 0 .. 128
    image = np.empty((3, height, width), dtype=np.int16)
    for channel in range(3):
        image[channel] = first[channel] + ((along * (second[channel] - first[channel])) >> 7)
    return image
