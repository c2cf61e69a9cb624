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

from metrics.iou import box_iou
from reports.analysis.evaluated_run import IOU, EvaluatedRun
from reports.analysis.report_data import ReportData
from reports.elements import formatting

GROUPS = (
    ("differ", "Where the models differ most", 5),
    ("decides", "On which the lead rests", 3),
    ("worst", "Most errors", 3),
    ("unfound", "Missed by every model: hard, or not there", 3),
    ("unlabelled", "Found by every model, but not annotated", 3),
    ("typical", "Typical", 2),
    ("best", "Fewest errors", 2),
)
"""Short name, heading, and how many images at most."""

_REASONS = {
    "unfound": ("object that no model found", "objects that no model found"),
    "unlabelled": ("detection that every model has", "detections that every model has"),
}

SIDE = 720
"""Longest side of an embedded picture in pixels."""

DRAWN = 150
"""More boxes than that hide the picture: the surest are drawn, and the caption says how many are not."""

Outcome = Literal["right", "false", "missed", "truth"]


@dataclass(frozen=True, slots=True)
class GalleryChoice:
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


def choose(report: ReportData) -> list[GalleryChoice]:
    """The images to show, the most worthwhile first: each group's first, then each group's second, and so on.

    An image's errors are the false detections and missed objects of each model's first run at its own best F1. Equal
    ones go by image order; each image is chosen once.
    """
    first = [runs[0] for runs in report.scored]
    errors = np.stack([run.images.errors for run in first])
    right = np.stack([run.images.right for run in first]).sum(0)
    total, spread = errors.sum(0), np.ptp(errors, axis=0)
    middle = float(np.median(total)) if total.size else 0.0
    moved = report.influence
    place = {image: at for at, image in enumerate(report.truth.catalog.image_ids)}
    unfound, unlabelled = agreed(first) if len(first) > 1 else np.zeros((2, errors.shape[1]), np.int64)
    orders: dict[str, list[int]] = {
        "differ": _falling(spread) if len(first) > 1 else [],
        "decides": [place[image] for image in moved.top(20)] if moved is not None else [],
        "worst": _falling(total),
        "unfound": _falling(unfound),
        "unlabelled": _falling(unlabelled),
        "typical": [int(at) for at in np.argsort(np.abs(total - middle), kind="stable")],
        # Of what there was to get right or wrong; an image with nothing in it is no achievement.
        "best": [int(at) for at in np.lexsort((-right, total / np.maximum(total + right, 1) + (right == 0)))],
    }
    reasons = {"unfound": unfound, "unlabelled": unlabelled}
    taken: set[int] = set()
    choices = []
    for step in range(max(most for _, _, most in GROUPS)):
        for name, _, most in GROUPS:
            image = next((at for at in orders[name] if at not in taken), None)
            if step < most and image is not None:
                taken.add(image)
                why = _why(name, errors[:, image], report.labels)
                if name in reasons:
                    why = f"{formatting.plural(int(reasons[name][image]), *_REASONS[name])}"
                elif name == "decides" and moved is not None:
                    gain = abs(float(moved.of_images[image]))
                    which = "it" if len(moved.influence) == len(moved.unit) else "its group"
                    why = f"without {which} {report.labels[0]}'s lead is {formatting.points(gain, 2)} points smaller"
                choices.append(GalleryChoice(image, name, why))
    return choices


def agreed(runs: Sequence[EvaluatedRun]) -> NDArray[np.int64]:
    """(2, I) objects that no run found, and false detections that every run has; each at its own operating point.

    Two detections are the same where they have one class and an IoU of at least 0.5. Both are often errors of the
    truth and not of the models.
    """
    truth = runs[0].run.truth
    size = len(truth.catalog.image_ids)
    unfound = np.bincount(truth.image[np.all([run.missed for run in runs], axis=0)], minlength=size)
    rows = [run.false_rows for run in runs]
    alike = np.ones(len(rows[0]), np.bool_)
    mine = runs[0].run.detections
    boxes = mine.boxes[rows[0]]
    for run, theirs in zip(runs[1:], rows[1:], strict=True):
        other = run.run.detections
        by_image = _by_image(other.image[theirs], size)
        other_boxes, other_label = other.boxes[theirs], other.label[theirs]
        for at in np.flatnonzero(alike):
            near = by_image[mine.image[rows[0][at]]]
            near = near[other_label[near] == mine.label[rows[0][at]]]
            alike[at] = len(near) > 0 and bool((box_iou(boxes[at : at + 1], other_boxes[near]) >= IOU).any())
    return np.stack([unfound, np.bincount(mine.image[rows[0][alike]], minlength=size)])


def _by_image(image: NDArray[np.int32], size: int) -> list[NDArray[np.intp]]:
    """For each image the places at which it stands."""
    order = np.argsort(image, kind="stable")
    return np.split(order, np.searchsorted(image[order], np.arange(1, size)))


def _falling(values: NDArray[np.int64]) -> list[int]:
    """Images by falling value, equal ones by their order; those of value 0 are left out."""
    return [int(at) for at in np.argsort(-values, kind="stable") if values[at] > 0]


def _why(group: str, errors: NDArray[np.int64], labels: Sequence[str]) -> str:
    if group == "differ":
        low, high = int(np.argmin(errors)), int(np.argmax(errors))
        return f"{labels[low]} {formatting.plural(int(errors[low]), 'error')}, {labels[high]} {errors[high]}"
    total = int(errors.sum())
    return formatting.plural(total, "error") + (" over all models" if len(errors) > 1 else "")


def shoot(report: ReportData, choice: GalleryChoice) -> Shot | Unreadable:
    """The image of a choice with all boxes; `Unreadable` where its pixels cannot be had."""
    catalog = report.truth.catalog
    image_id = catalog.image_ids[choice.image]
    name = formatting.printable(catalog.file_names[choice.image] or str(image_id))
    assert report.images is not None
    try:
        pixels = report.images(image_id)
        picture, size = embed(pixels)
    except Exception as error:  # whatever a user's reader raises: the page says so and goes on
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return Unreadable(name, formatting.truncate(report.private(reason), 160))
    tiles = tuple(
        _tile(number, runs[0], choice.image, size, report.classes)
        for number, runs in enumerate(report.scored)
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


def _tile(number: int, run: EvaluatedRun, image: int, size: tuple[int, int], classes: Sequence[str]) -> Tile:
    truth, found, outcome = run.run.truth, run.run.detections, run.outcome
    boxes: list[Box] = []
    objects = np.flatnonzero((truth.image == image) & outcome.valid)
    for row in objects:
        kind: Outcome = "missed" if run.missed[row] else "truth"
        boxes.append(_box(kind, truth.xywh[row], int(truth.label[row]), classes, None, size))
    walked = np.flatnonzero((outcome.image == image) & run.kept & ~outcome.ignored)
    for at in walked[np.argsort(-outcome.score[walked], kind="stable")]:
        row = outcome.row[at]
        kind = "right" if outcome.tp[at] else "false"
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
    name = formatting.truncate(classes[label], 24)
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
