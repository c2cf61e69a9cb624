"""Writers of other tools' layouts by name: each writes the same scene as its tool does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiny_data import CLASSES, Box, Picture


@dataclass(frozen=True)
class Scene:
    """Pictures by split, and their classes."""

    splits: Mapping[str, Sequence[Picture]]
    classes: tuple[str, ...] = CLASSES

    @property
    def pictures(self) -> list[Picture]:
        """All of them."""
        return [picture for of in self.splits.values() for picture in of]

    def objects(self) -> Iterator[tuple[str, Picture, str, Box]]:
        """Split, picture, class and corners of each object."""
        for split, of in self.splits.items():
            for picture in of:
                for label, box in picture.objects:
                    yield split, picture, self.classes[label], box


@dataclass(frozen=True)
class TruthLayout:
    """A layout of ground truth.

    Attributes:
        name: its name.
        format: the name that `--format` knows it by.
        write: writes a scene into an empty folder.
        splits: whether it has train, val and test.
        renamed: classes that it always has, by those of the scene.
        tolerance: of coordinates in pixels, for rounding in text.
        empty: whether it lists images without objects.
        options: for opening, where the layout needs them.
    """

    name: str
    format: str
    write: Callable[[Path, Scene], None]
    splits: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 1e-6
    empty: bool = True
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A detection: its picture, label, corners and score."""

    picture: Picture
    label: int
    box: Box
    score: float


@dataclass(frozen=True)
class DetectionsLayout:
    """A layout of detections.

    Attributes:
        name: its name.
        write: writes detections into an empty folder, given all pictures, and returns the path to read.
        tolerance: of coordinates in pixels, for rounding in text.
    """

    name: str
    write: Callable[[Path, Sequence[Picture], Sequence[Found]], Path]
    tolerance: float = 1e-6


TRUTH: dict[str, TruthLayout] = {}
DETECTIONS: dict[str, DetectionsLayout] = {}


def truth(name: str, format: str, **options: Any) -> Callable[[Callable[[Path, Scene], None]], Any]:
    """Register a writer of ground truth."""

    def register(write: Callable[[Path, Scene], None]) -> Callable[[Path, Scene], None]:
        TRUTH[name] = TruthLayout(name, format, write, **options)
        return write

    return register


def detections(name: str, **options: Any) -> Callable[[Callable[..., Path]], Any]:
    """Register a writer of detections."""

    def register(write: Callable[..., Path]) -> Callable[..., Path]:
        DETECTIONS[name] = DetectionsLayout(name, write, **options)
        return write

    return register


def write_json(file: Path, value: Any) -> Path:
    """Write JSON, with the folders above it."""
    return write_text(file, json.dumps(value))


def write_lines(file: Path, lines: Sequence[Sequence[object]], separator: str = " ") -> Path:
    """Write lines of values, with the folders above the file."""
    return write_text(file, "".join(separator.join(map(str, line)) + "\n" for line in lines))


def write_text(file: Path, text: str) -> Path:
    """Write text, with the folders above the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def centre(box: Box, picture: Picture) -> tuple[float, float, float, float]:
    """Centre and size in fractions of the picture."""
    (x0, y0, x1, y1), (height, width) = box, picture.size
    return (x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height


def xywh(box: Box) -> list[float]:
    """Corner and size."""
    x0, y0, x1, y1 = box
    return [x0, y0, x1 - x0, y1 - y0]


def relative(box: Box, picture: Picture) -> list[float]:
    """Corners in fractions of the picture."""
    (x0, y0, x1, y1), (height, width) = box, picture.size
    return [x0 / width, y0 / height, x1 / width, y1 / height]
