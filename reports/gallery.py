"""Which images a reader should look at, and what is drawn on them: the same images under every model."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from reports import shown
from reports.comparison import Comparison
from reports.scored import Scored

GROUPS = (
    ("differ", "Where the models differ most", 6),
    ("worst", "Most errors", 5),
    ("typical", "Typical", 3),
    ("best", "Fewest errors", 2),
)
"""Short name, heading, and how many images at most."""

SIDE = 720
"""Longest side of an embedded picture in pixels."""

DRAWN = 150
"""More boxes than that hide the picture: the surest are drawn, and the caption says how many are not."""

Outcome = Literal["right", "false", "missed", "truth"]


@dataclass(frozen=True, slots=True)
class Choice:
    """An image worth a look.

    Attributes:
        image: its index in the catalog.
        group: one of `GROUPS`.
        why: a few words.
    """

    image: int
    group: str
    why: str


@dataclass(frozen=True, slots=True)
class Box:
    """A box to draw, in pixels of the original image.

    Attributes:
        kind: ``right`` and ``false`` detections; ``missed`` objects and found ones (``truth``).
        x, y, w, h: left, top, width, height.
        label: class index.
        text: class, and score of a detection.
        text_x, text_y, anchor: where the text stands, so that it stays in the picture.
    """

    kind: Outcome
    x: float
    y: float
    w: float
    h: float
    label: int
    text: str
    text_x: float
    text_y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One image under one model; counts are at the model's operating point."""

    number: int
    boxes: tuple[Box, ...]
    right: int
    false: int
    missed: int
    undrawn: int


@dataclass(frozen=True, slots=True)
class Shot:
    """One image under all models.

    Attributes:
        slug: unique on the page.
        name: the file's name, or the id.
        why: why it was chosen.
        width, height: pixels of the original.
        picture: ``data:`` address.
        tiles: one a model.
    """

    slug: str
    name: str
    why: str
    width: int
    height: int
    picture: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image that could not be had, and what was said."""

    name: str
    reason: str


def choose(comparison: Comparison) -> list[Choice]:
    """The images to show, the most worthwhile first: each group's first, then each group's second, and so on.

    An image's errors are the false detections and missed objects of each model's first run at its own best F1. Equal
    ones go by image order; each image is chosen once.
    """
    errors = np.stack([runs[0].images.errors for runs in comparison.scored])
    right = np.stack([runs[0].images.right for runs in comparison.scored]).sum(0)
    total, spread = errors.sum(0), np.ptp(errors, axis=0)
    middle = float(np.median(total)) if total.size else 0.0
    orders: dict[str, list[int]] = {
        "differ": [int(at) for at in np.argsort(-spread, kind="stable") if spread[at] > 0],
        "worst": [int(at) for at in np.argsort(-total, kind="stable") if total[at] > 0],
        "typical": [int(at) for at in np.argsort(np.abs(total - middle), kind="stable")],
        # Of what there was to get right or wrong; an image with nothing in it is no achievement.
        "best": [int(at) for at in np.lexsort((-right, total / np.maximum(total + right, 1) + (right == 0)))],
    }
    if len(comparison.models) == 1:
        orders["differ"] = []
    taken: set[int] = set()
    chosen: dict[str, list[int]] = {name: [] for name, _, _ in GROUPS}
    for step in range(max(most for _, _, most in GROUPS)):
        for name, _, most in GROUPS:
            after = next((at for at in orders[name] if at not in taken), None)
            if step < most and after is not None:
                taken.add(after)
                chosen[name].append(after)
    return [
        Choice(images[step], name, _why(name, errors[:, images[step]], comparison.labels))
        for step in range(max(map(len, chosen.values()), default=0))
        for name, images in chosen.items()
        if step < len(images)
    ]


def _why(group: str, errors: NDArray[np.int64], labels: Sequence[str]) -> str:
    if group == "differ":
        low, high = int(np.argmin(errors)), int(np.argmax(errors))
        return f"{labels[low]} {shown.plural(int(errors[low]), 'error')}, {labels[high]} {errors[high]}"
    total = int(errors.sum())
    return shown.plural(total, "error") + (" over all models" if len(errors) > 1 else "")


def shoot(comparison: Comparison, choice: Choice) -> Shot | Unreadable:
    """The image of a choice with all boxes; `Unreadable` where its pixels cannot be had."""
    catalog = comparison.truth.catalog
    image_id = catalog.image_ids[choice.image]
    name = shown.literal(catalog.file_names[choice.image] or str(image_id))
    assert comparison.images is not None
    try:
        pixels = comparison.images(image_id)
        picture, size = embed(pixels)
    except Exception as error:  # whatever a user's reader raises: the page says so and goes on
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return Unreadable(name, shown.short(comparison.private(reason), 160))
    tiles = tuple(
        _tile(number, runs[0], choice.image, size, comparison.classes)
        for number, runs in enumerate(comparison.scored)
    )
    slug = f"shot-{choice.image}"
    return Shot(slug, name, choice.why, size[1], size[0], picture, tiles)


def embed(pixels: Any) -> tuple[str, tuple[int, int]]:
    """A picture as a ``data:`` address, its longest side at most `SIDE`, and its original (height, width).

    Raises:
        ValueError: not an (H, W, 3) uint8 array of at least one pixel.
    """
    array = np.asarray(pixels)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise ValueError(f"expected an (H, W, 3) uint8 image, got {array.dtype} of shape {array.shape}")
    height, width = array.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(array))
    scale = SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    kind = "webp" if features.check("webp") else "jpeg"
    image.save(buffer, kind.upper(), quality=80, **({"method": 4} if kind == "webp" else {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", (height, width)


def _tile(number: int, run: Scored, image: int, size: tuple[int, int], classes: Sequence[str]) -> Tile:
    truth, found, outcome = run.run.truth, run.run.found, run.outcome
    boxes: list[Box] = []
    objects = np.flatnonzero((truth.image == image) & outcome.asked)
    for row in objects:
        kind: Outcome = "missed" if run.missed[row] else "truth"
        boxes.append(_box(kind, truth.xywh[row], int(truth.label[row]), classes, None, size))
    walked = np.flatnonzero((outcome.image == image) & run.kept & ~outcome.ignored)
    for at in walked[np.argsort(-outcome.score[walked], kind="stable")]:
        row = outcome.row[at]
        kind = "right" if outcome.true[at] else "false"
        boxes.append(
            _box(kind, found.xywh[row], int(found.label[row]), classes, float(outcome.score[at]), size)
        )
    # Errors last, so that they lie on top; of too many boxes the right ones go first.
    rank = {"missed": 0, "false": 1, "right": 2, "truth": 3}
    drawn = sorted(sorted(boxes, key=lambda box: rank[box.kind])[:DRAWN], key=lambda box: -rank[box.kind])
    counts = run.images
    return Tile(
        number,
        tuple(drawn),
        int(counts.right[image]),
        int(counts.false[image]),
        int(counts.missed[image]),
        len(boxes) - len(drawn),
    )


def _box(
    kind: Outcome,
    xywh: NDArray[np.float64],
    label: int,
    classes: Sequence[str],
    score: float | None,
    size: tuple[int, int],
) -> Box:
    x, y, w, h = (round(float(number), 1) for number in xywh)
    name = shown.short(classes[label], 24)
    text = f"{name} {score:.2f}" if score is not None else f"missed {name}" if kind == "missed" else name
    height, width = size
    right = x + w / 2 > 0.6 * width
    line = max(height, width) / 40
    above = y - line / 4
    return Box(
        kind,
        x,
        y,
        w,
        h,
        label,
        text,
        text_x=round(min(x + w, width) if right else max(x, 0.0), 1),
        text_y=round(above if above > line else min(max(y, 0.0) + line * 1.1, float(height)), 1),
        anchor="end" if right else "start",
    )


def weight(shot: Shot) -> int:
    """About how many bytes the shot takes on the page; never less than it does."""
    boxes = sum(len(tile.boxes) for tile in shot.tiles)
    words = sum(len(box.text.encode()) for tile in shot.tiles for box in tile.boxes)
    return len(shot.picture) + 420 * boxes + 6 * words + 900 * len(shot.tiles) + 6 * len(shot.name) + 1200


def text_size(width: int, height: int, lines: int) -> float:
    """Height of the letters in pixels of the original, so that `lines` of them fill its longest side."""
    return round(max(1.0, max(width, height) / lines), 2) if math.isfinite(width) else 1.0
