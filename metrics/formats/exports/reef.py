"""Great Barrier Reef (Kaggle): a CSV table of video frames whose column ``annotations`` is a list of boxes as Python writes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.csv_rows import header_of, named_rows
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, file_purpose, find_files, number
from metrics.formats.untrusted import parse_json

_CLASS = "crown-of-thorns starfish"
_COLUMNS = ("video_id", "video_frame", "annotations")
_SIDES = ("x", "y", "width", "height")
_WORD = re.compile("'([a-z_]+)'")


def _files(path: Path) -> list[Path]:
    return find_files(path, ".csv", ("*.csv", "*/*.csv"), lambda file: set(_COLUMNS) <= set(header_of(file)))


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    return [
        ImageAnnotation(_image(row, where), _boxes(row, where), purpose=file_purpose(file, root, files))
        for file in files
        for where, row in named_rows(file, _COLUMNS)
    ]


def _image(row: Mapping[str, str], where: str) -> str:
    video, frame = row["video_id"].strip(), row["video_frame"].strip()
    if not video or not frame.isdecimal():
        raise InputError(
            f"{where}: expected a video_id and the number of a video_frame, got {video[:40]!r} and {frame[:40]!r}"
        )
    return f"video_{video}/{frame}.jpg"


def _boxes(row: Mapping[str, str], where: str) -> tuple[Box, ...]:
    place = f"{where}: annotations"
    objects = parse_json(
        _WORD.sub(r'"\1"', row["annotations"]).encode(), place
    )  # {'x': 1}: JSON but for the quotes
    if not isinstance(objects, list) or not all(isinstance(each, dict) for each in objects):
        raise InputError(
            f"{place}: expected a list of {{'x', 'y', 'width', 'height'}}, got {row['annotations'][:40]!r}"
        )
    boxes = []
    for k, each in enumerate(objects):
        x, y, w, h = (number(each.get(side), f"{place}[{k}]: {side}") for side in _SIDES)
        boxes.append(Box(_CLASS, (x, y, x + w, y + h)))
    return tuple(boxes)


EXPORT = Export(
    name="reef",
    summary="Great Barrier Reef (Kaggle): a CSV table of video frames with lists of boxes",
    source="Liu et al. 2021, arXiv:2111.14311; kaggle.com/competitions/tensorflow-great-barrier-reef",
    looks_for="a CSV file with the columns video_id, video_frame and annotations",
    files=_files,
    read=_read,
    images=("train_images", "images", ""),
)
