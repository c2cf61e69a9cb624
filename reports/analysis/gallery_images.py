"""Images of the gallery with the boxes that are drawn on them under each model."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, WebPImagePlugin

from metrics.measures.error_types import FALSE_POSITIVES, KINDS
from reports.analysis.evaluated_run import EvaluatedRun
from reports.analysis.gallery_choice import GalleryChoice
from reports.analysis.report_data import ReportData
from reports.elements import formatting

MAX_SIDE = 720
"""Longest side of an embedded picture in pixels."""

MAX_BOXES = 150
"""Number of boxes drawn on an image; more would hide it, and the caption has the number of the others."""

MAX_NAME = 24
"""Number of characters of a class's name on a box."""

BoxKind = Literal["tp", "fp", "fn", "truth"]


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box to draw, in pixels of the original image.

    Attributes:
        kind: ``tp`` and ``fp`` are detections, ``fn`` undetected objects and ``truth`` detected ones.
        x, y, w, h: left, top, width, height.
        label: class index.
        text: class, score of a detection, and type of a false positive.
        text_x, text_y, anchor: position of the text within the picture.
        unannotated: whether the image was chosen for this detection, which overlaps no annotation.
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
    unannotated: bool = False


@dataclass(frozen=True, slots=True)
class Tile:
    """One image under one model, with the counts at the model's operating point.

    Attributes:
        number: of the model.
        boxes: in the order in which they are drawn.
        tp, fp, fn: counts.
        types: the false positives by type in words, empty without any: ``2 classification, 1 background``.
        undrawn: number of boxes that are not drawn.
    """

    number: int
    boxes: tuple[DrawnBox, ...]
    tp: int
    fp: int
    fn: int
    types: str
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
        _tile(number, runs[0], choice, size, report.classes) for number, runs in enumerate(report.evaluated)
    )
    return GalleryImage(f"image-{choice.image}", name, choice.reason, size[1], size[0], picture, tiles)


def embed(pixels: Any, max_side: int = MAX_SIDE) -> tuple[str, tuple[int, int]]:
    """Encode a picture as a ``data:`` URL, its longest side at most `max_side`; also return its original (height, width).

    Raises:
        ValueError: not a non-empty (H, W, 3) uint8 array.
    """
    array = np.asarray(pixels)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise ValueError(f"expected an (H, W, 3) uint8 image, got {array.dtype} of shape {array.shape}")
    height, width = array.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(array))
    scale = max_side / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    kind = "webp" if WebPImagePlugin.SUPPORTED else "jpeg"  # its import spares one of all formats
    image.save(buffer, kind.upper(), quality=80, **({"method": 4} if kind == "webp" else {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", (height, width)


def _tile(
    number: int, run: EvaluatedRun, choice: GalleryChoice, size: tuple[int, int], classes: Sequence[str]
) -> Tile:
    truth, detections, outcome, image = run.run.truth, run.run.detections, run.outcome, choice.image
    boxes: list[DrawnBox] = []
    for row in np.flatnonzero((truth.image == image) & outcome.valid).tolist():
        kind: BoxKind = "fn" if run.is_fn[row] else "truth"
        text = formatting.truncate(classes[truth.label[row]], MAX_NAME)
        text = f"undetected {text}" if kind == "fn" else text
        boxes.append(_box(kind, truth.xywh[row], int(truth.label[row]), text, size))
    kept = np.flatnonzero((outcome.image == image) & run.kept & ~outcome.ignored)
    chosen_for = choice.unannotated[number] if choice.unannotated else frozenset()
    for at in kept[np.argsort(-outcome.score[kept], kind="stable")]:
        row = int(outcome.row[at])
        kind = "tp" if outcome.tp[at] else "fp"
        name = formatting.truncate(classes[detections.label[row]], MAX_NAME)
        text = f"{name} {outcome.score[at]:.2f}"
        if kind == "fp":
            text += ", not annotated" if row in chosen_for else f", {KINDS[run.errors.kind[at]]}"
        box = _box(kind, detections.xywh[row], int(detections.label[row]), text, size)
        boxes.append(replace(box, unannotated=row in chosen_for))
    # Errors are drawn last, on top, and of too many boxes the errors are kept.
    rank = {"fn": 0, "fp": 1, "tp": 2, "truth": 3}
    kept_first = sorted(boxes, key=lambda box: (not box.unannotated, rank[box.kind]))[:MAX_BOXES]
    drawn = sorted(kept_first, key=lambda box: -rank[box.kind])
    counts = run.image_counts
    typed = zip(counts.by_type[:, image], FALSE_POSITIVES, strict=True)
    return Tile(
        number,
        tuple(drawn),
        int(counts.tp[image]),
        int(counts.fp[image]),
        int(counts.fn[image]),
        ", ".join(f"{count} {kind}" for count, kind in typed if count),
        len(boxes) - len(drawn),
    )


def _box(kind: BoxKind, xywh: NDArray[np.float64], label: int, text: str, size: tuple[int, int]) -> DrawnBox:
    x, y, w, h = (round(float(number), 1) for number in xywh)
    text_x, text_y, anchor = place_text(x, y, w, size)
    return DrawnBox(kind, x, y, w, h, label, text, text_x, text_y, anchor)


def place_text(x: float, y: float, w: float, size: tuple[int, int]) -> tuple[float, float, str]:
    """Position of a box's text within a picture of (height, width) `size`, and the end at which it is anchored."""
    height, width = size
    right = x + w / 2 > 0.6 * width
    line = max(height, width) / 40
    above = y - line / 4
    return (
        round(min(x + w, width) if right else max(x, 0.0), 1),
        round(above if above > line else min(max(y, 0.0) + line * 1.1, float(height)), 1),
        "end" if right else "start",
    )


def estimate_bytes(image: GalleryImage) -> int:
    """Estimate the size of an image on the page from above."""
    boxes = sum(len(tile.boxes) for tile in image.tiles)
    words = sum(len(box.text.encode()) for tile in image.tiles for box in tile.boxes)
    return len(image.picture) + 420 * boxes + 6 * words + 900 * len(image.tiles) + 6 * len(image.name) + 1200


def text_size(width: int, height: int, lines: int) -> float:
    """Return a font size in pixels of the original such that `lines` lines fill its longest side."""
    return round(max(1.0, max(width, height) / lines), 2) if math.isfinite(width) else 1.0
