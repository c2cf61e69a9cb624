"""Images of the gallery: which are worth a look, and which boxes are drawn on them under each model."""

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
    ("differ", "Largest differences between models", 5),
    ("decides", "Largest influence on the lead", 3),
    ("worst", "Most errors", 3),
    ("all_miss", "Missed by all models: hard objects or annotation errors", 3),
    ("all_detect", "Detected by all models but not annotated", 3),
    ("typical", "Typical images", 2),
    ("best", "Fewest errors", 2),
)
"""Short name, heading and maximum number of images."""

_REASONS = {
    "all_miss": ("object missed by all models", "objects missed by all models"),
    "all_detect": ("false positive shared by all models", "false positives shared by all models"),
}

MAX_SIDE = 720
"""Longest side of an embedded picture in pixels."""

MAX_BOXES = 150
"""Number of boxes drawn on an image; more would hide it, and the caption has the number of the others."""

BoxKind = Literal["tp", "fp", "fn", "truth"]


@dataclass(frozen=True, slots=True)
class GalleryChoice:
    """An image to show.

    Attributes:
        image: index in the catalog.
        group: one of `GROUPS`.
        reason: why it was chosen, in a few words.
    """

    image: int
    group: str
    reason: str


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box to draw, in pixels of the original image.

    Attributes:
        kind: ``tp`` and ``fp`` are detections, ``fn`` missed objects and ``truth`` detected ones.
        x, y, w, h: left, top, width, height.
        label: class index.
        text: class, and score of a detection.
        text_x, text_y, anchor: position of the text within the picture.
    """

    kind: BoxKind
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
    """One image under one model, with the counts at the model's operating point."""

    number: int
    boxes: tuple[DrawnBox, ...]
    tp: int
    fp: int
    fn: int
    undrawn: int


@dataclass(frozen=True, slots=True)
class GalleryImage:
    """One image under all models.

    Attributes:
        slug: unique on the page.
        name: the file's name, or the id.
        reason: why it was chosen.
        width, height: pixels of the original.
        picture: ``data:`` URL.
        tiles: one per model.
    """

    slug: str
    name: str
    reason: str
    width: int
    height: int
    picture: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class UnreadableImage:
    """An image whose pixels could not be read, and why."""

    name: str
    error: str


def choose(report: ReportData) -> list[GalleryChoice]:
    """Choose the images to show: the first of each group, then the second of each group, and so on.

    Errors are the false positives and false negatives of each model's first run at its highest F1. Ties go by image
    order; each image is chosen once.
    """
    first = [runs[0] for runs in report.evaluated]
    errors = np.stack([run.image_counts.errors for run in first])
    tp = np.stack([run.image_counts.tp for run in first]).sum(0)
    total, spread = errors.sum(0), np.ptp(errors, axis=0)
    middle = float(np.median(total)) if total.size else 0.0
    influence = report.influence
    index = {image: at for at, image in enumerate(report.truth.catalog.image_ids)}
    all_miss, all_detect = (
        shared_errors(first) if len(first) > 1 else np.zeros((2, errors.shape[1]), np.int64)
    )
    orders: dict[str, list[int]] = {
        "differ": _falling(spread) if len(first) > 1 else [],
        "decides": [index[image] for image in influence.top(20)] if influence is not None else [],
        "worst": _falling(total),
        "all_miss": _falling(all_miss),
        "all_detect": _falling(all_detect),
        "typical": [int(at) for at in np.argsort(np.abs(total - middle), kind="stable")],
        # By the share of errors; an image without a true positive comes last.
        "best": [int(at) for at in np.lexsort((-tp, total / np.maximum(total + tp, 1) + (tp == 0)))],
    }
    shared = {"all_miss": all_miss, "all_detect": all_detect}
    taken: set[int] = set()
    choices = []
    for step in range(max(most for _, _, most in GROUPS)):
        for name, _, most in GROUPS:
            image = next((at for at in orders[name] if at not in taken), None)
            if step < most and image is not None:
                taken.add(image)
                reason = _reason(name, errors[:, image], report.labels)
                if name in shared:
                    reason = formatting.plural(int(shared[name][image]), *_REASONS[name])
                elif name == "decides" and influence is not None:
                    gain = abs(float(influence.of_images[image]))
                    unit = "image" if len(influence.influence) == len(influence.unit) else "group"
                    reason = f"without this {unit}, the lead of {report.labels[0]} is {formatting.points(gain, 2)} points smaller"
                choices.append(GalleryChoice(image, name, reason))
    return choices


def shared_errors(runs: Sequence[EvaluatedRun]) -> NDArray[np.int64]:
    """Count, per image, objects that all runs miss and false positives that all runs share: (2, I).

    Each run is at its own operating point. False positives are shared if they have the same class and an IoU of at
    least 0.5. Both counts often point to errors in the annotations.
    """
    truth = runs[0].run.truth
    size = len(truth.catalog.image_ids)
    all_miss = np.bincount(truth.image[np.all([run.is_fn for run in runs], axis=0)], minlength=size)
    rows = [run.outcome.row[run.is_fp] for run in runs]
    shared = np.ones(len(rows[0]), np.bool_)
    first = runs[0].run.detections
    boxes = first.boxes[rows[0]]
    for run, other_rows in zip(runs[1:], rows[1:], strict=True):
        other = run.run.detections
        by_image = _by_image(other.image[other_rows], size)
        other_boxes, other_label = other.boxes[other_rows], other.label[other_rows]
        for at in np.flatnonzero(shared):
            near = by_image[first.image[rows[0][at]]]
            near = near[other_label[near] == first.label[rows[0][at]]]
            shared[at] = len(near) > 0 and bool((box_iou(boxes[at : at + 1], other_boxes[near]) >= IOU).any())
    return np.stack([all_miss, np.bincount(first.image[rows[0][shared]], minlength=size)])


def _by_image(image: NDArray[np.int32], size: int) -> list[NDArray[np.intp]]:
    """For each image the indices at which it occurs."""
    order = np.argsort(image, kind="stable")
    return np.split(order, np.searchsorted(image[order], np.arange(1, size)))


def _falling(values: NDArray[np.int64]) -> list[int]:
    """Images by descending value, ties by their order, without those of value 0."""
    return [int(at) for at in np.argsort(-values, kind="stable") if values[at] > 0]


def _reason(group: str, errors: NDArray[np.int64], labels: Sequence[str]) -> str:
    if group == "differ":
        low, high = int(np.argmin(errors)), int(np.argmax(errors))
        return (
            f"{labels[low]}: {formatting.plural(int(errors[low]), 'error')}, {labels[high]}: {errors[high]}"
        )
    total = int(errors.sum())
    return formatting.plural(total, "error") + (" in total" if len(errors) > 1 else "")


def load_image(report: ReportData, choice: GalleryChoice) -> GalleryImage | UnreadableImage:
    """Load a chosen image with its boxes under every model."""
    catalog = report.truth.catalog
    image_id = catalog.image_ids[choice.image]
    name = formatting.printable(catalog.file_names[choice.image] or str(image_id))
    assert report.images is not None
    try:
        pixels = report.images(image_id)
        picture, size = embed(pixels)
    except Exception as error:  # a user's reader may raise anything; the page reports it
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return UnreadableImage(name, formatting.truncate(report.private(message), 160))
    tiles = tuple(
        _tile(number, runs[0], choice.image, size, report.classes)
        for number, runs in enumerate(report.evaluated)
    )
    return GalleryImage(f"image-{choice.image}", name, choice.reason, size[1], size[0], picture, tiles)


def embed(pixels: Any) -> tuple[str, tuple[int, int]]:
    """Encode a picture as a ``data:`` URL, its longest side at most `MAX_SIDE`; also return its original (height, width).

    Raises:
        ValueError: not a non-empty (H, W, 3) uint8 array.
    """
    array = np.asarray(pixels)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise ValueError(f"expected an (H, W, 3) uint8 image, got {array.dtype} of shape {array.shape}")
    height, width = array.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(array))
    scale = MAX_SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    kind = "webp" if features.check("webp") else "jpeg"
    image.save(buffer, kind.upper(), quality=80, **({"method": 4} if kind == "webp" else {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", (height, width)


def _tile(number: int, run: EvaluatedRun, image: int, size: tuple[int, int], classes: Sequence[str]) -> Tile:
    truth, detections, outcome = run.run.truth, run.run.detections, run.outcome
    boxes: list[DrawnBox] = []
    objects = np.flatnonzero((truth.image == image) & outcome.valid)
    for row in objects:
        kind: BoxKind = "fn" if run.is_fn[row] else "truth"
        boxes.append(_box(kind, truth.xywh[row], int(truth.label[row]), classes, None, size))
    kept = np.flatnonzero((outcome.image == image) & run.kept & ~outcome.ignored)
    for at in kept[np.argsort(-outcome.score[kept], kind="stable")]:
        row = outcome.row[at]
        kind = "tp" if outcome.tp[at] else "fp"
        boxes.append(
            _box(
                kind,
                detections.xywh[row],
                int(detections.label[row]),
                classes,
                float(outcome.score[at]),
                size,
            )
        )
    # Errors are drawn last, on top, and of too many boxes the errors are kept.
    rank = {"fn": 0, "fp": 1, "tp": 2, "truth": 3}
    drawn = sorted(sorted(boxes, key=lambda box: rank[box.kind])[:MAX_BOXES], key=lambda box: -rank[box.kind])
    counts = run.image_counts
    return Tile(
        number,
        tuple(drawn),
        int(counts.tp[image]),
        int(counts.fp[image]),
        int(counts.fn[image]),
        len(boxes) - len(drawn),
    )


def _box(
    kind: BoxKind,
    xywh: NDArray[np.float64],
    label: int,
    classes: Sequence[str],
    score: float | None,
    size: tuple[int, int],
) -> DrawnBox:
    x, y, w, h = (round(float(number), 1) for number in xywh)
    name = formatting.truncate(classes[label], 24)
    text = f"{name} {score:.2f}" if score is not None else f"missed {name}" if kind == "fn" else name
    height, width = size
    right = x + w / 2 > 0.6 * width
    line = max(height, width) / 40
    above = y - line / 4
    return DrawnBox(
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


def estimate_bytes(image: GalleryImage) -> int:
    """Estimate the size of an image on the page from above."""
    boxes = sum(len(tile.boxes) for tile in image.tiles)
    words = sum(len(box.text.encode()) for tile in image.tiles for box in tile.boxes)
    return len(image.picture) + 420 * boxes + 6 * words + 900 * len(image.tiles) + 6 * len(image.name) + 1200


def text_size(width: int, height: int, lines: int) -> float:
    """Return a font size in pixels of the original such that `lines` lines fill its longest side."""
    return round(max(1.0, max(width, height) / lines), 2) if math.isfinite(width) else 1.0
