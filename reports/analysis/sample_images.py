"""Sample images of a data set with their boxes: as they are, as the network gets them, and after augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reports.analysis.gallery_images import MAX_BOXES, MAX_NAME, embed, place_text
from reports.elements.formatting import printable, truncate

MAX_SIDE = 480
"""Longest side of an embedded picture in pixels."""


@dataclass(frozen=True, slots=True)
class SampleBox:
    """A box in pixels of its picture.

    Attributes:
        x, y, w, h: left, top, width, height.
        label: class index.
        suspect: whether the image was chosen for this box.
    """

    x: float
    y: float
    w: float
    h: float
    label: int
    suspect: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SampleView:
    """One picture of an image.

    Attributes:
        title: what it shows: ``letterboxed to 320 x 320``.
        pixels: (H, W, 3) uint8.
        boxes: the objects in it.
    """

    title: str
    pixels: NDArray[np.uint8]
    boxes: tuple[SampleBox, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SampleImage:
    """An image of the data set that the page shows.

    Attributes:
        group: chosen for a finding, for a class, or to show the network's input.
        split: name of its split.
        name: its file or id.
        reason: why it was chosen.
        views: its pictures.
    """

    group: Literal["suspicious", "class", "input"]
    split: str
    name: str
    reason: str
    views: tuple[SampleView, ...]


@dataclass(frozen=True, slots=True)
class PageBox:
    """A box as the page draws it.

    Attributes:
        x, y, w, h: left, top, width, height in pixels of the picture.
        label: class index.
        suspect: whether the image was chosen for it.
        text: name of the class.
        text_x, text_y, anchor: position of the text.
    """

    x: float
    y: float
    w: float
    h: float
    label: int
    suspect: bool
    text: str
    text_x: float
    text_y: float
    anchor: str


@dataclass(frozen=True, slots=True)
class PageView:
    """An encoded picture.

    Attributes:
        title: what it shows.
        width, height: in pixels of the view, before it was made smaller.
        picture: ``data:`` URL.
        boxes: at most `MAX_BOXES`, suspicious ones last, on top.
        total: number of boxes, drawn or not.
    """

    title: str
    width: int
    height: int
    picture: str
    boxes: tuple[PageBox, ...]
    total: int


@dataclass(frozen=True, slots=True)
class PageSample:
    """A sample image as the page shows it.

    Attributes:
        split, name, reason: as in `SampleImage`.
        classes: labels of its boxes, each once.
        views: its pictures.
    """

    split: str
    name: str
    reason: str
    classes: tuple[int, ...]
    views: tuple[PageView, ...]


def encode_sample(sample: SampleImage, classes: Sequence[str]) -> PageSample:
    """Encode the pictures of a sample image for the page."""
    views = tuple(_encode(view, classes) for view in sample.views)
    labels = sorted({box.label for view in sample.views for box in view.boxes})
    return PageSample(sample.split, printable(sample.name), printable(sample.reason), tuple(labels), views)


def estimate_sample_bytes(sample: PageSample) -> int:
    """Estimate the size of a sample on the page from above."""
    boxes = sum(len(view.boxes) for view in sample.views)
    words = sum(len(box.text.encode()) for view in sample.views for box in view.boxes)
    pictures = sum(len(view.picture) + 900 for view in sample.views)
    return pictures + 420 * boxes + 6 * words + 6 * len(sample.name) + 6 * len(sample.reason) + 1200


def _encode(view: SampleView, classes: Sequence[str]) -> PageView:
    picture, (height, width) = embed(view.pixels, MAX_SIDE)
    drawn = sorted(
        sorted(view.boxes, key=lambda box: not box.suspect)[:MAX_BOXES], key=lambda box: box.suspect
    )
    boxes = []
    for box in drawn:
        x, y, w, h = (round(float(side), 1) for side in (box.x, box.y, box.w, box.h))
        text = truncate(classes[box.label], MAX_NAME)
        boxes.append(PageBox(x, y, w, h, box.label, box.suspect, text, *place_text(x, y, w, (height, width))))
    return PageView(printable(view.title), width, height, picture, tuple(boxes), len(view.boxes))
