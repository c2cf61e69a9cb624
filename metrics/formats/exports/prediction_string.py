"""ImageNet localization in CSV: ``ImageId,PredictionString`` with ``class x1 y1 x2 y2`` of each object (LOC_train_solution.csv)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.csv_rows import header_of, named_rows
from metrics.formats.fractions import as_fractions
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    file_purpose,
    find_files,
    four_numbers,
)
from metrics.plurals import plural

_NAME, _OBJECTS = "imageid", "predictionstring"
_VALUES = 5


def _files(path: Path) -> list[Path]:
    return find_files(path, ".csv", ("*.csv", "*/*.csv"), _is_ours)


def _is_ours(file: Path) -> bool:
    """Whether a table is of objects without scores, which come in groups of five words and not of six."""
    if header_of(file)[:2] != [_NAME, _OBJECTS] or "sample_submission" in file.name.lower():
        return False
    rows = [
        row[_OBJECTS].split()
        for _, (_, row) in zip(range(20), named_rows(file, (_NAME, _OBJECTS)), strict=False)
    ]
    return any(rows) and all(_are_objects(words) for words in rows)


def _are_objects(words: list[str]) -> bool:
    return len(words) % _VALUES == 0 and not any(_is_number(word) for word in words[::_VALUES])


def _is_number(word: str) -> bool:
    return word.replace(".", "", 1).isdigit()


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        purpose = file_purpose(file, root, files)
        of_file = [
            ImageAnnotation(
                row[_NAME].strip(),
                _boxes(row[_OBJECTS].split(), f"{where}: PredictionString"),
                purpose=purpose,
            )
            for where, row in named_rows(file, (_NAME, _OBJECTS))
        ]
        images += as_fractions(of_file, str(file))
    return images


def _boxes(words: list[str], where: str) -> tuple[Box, ...]:
    if len(words) % _VALUES:
        raise InputError(f"{where}: expected groups of class x1 y1 x2 y2, got {plural(len(words), 'value')}")
    return tuple(
        Box(
            words[k],
            four_numbers(words[k + 1 : k + _VALUES], f"{where}: object {k // _VALUES + 1}", "x1 y1 x2 y2"),
        )
        for k in range(0, len(words), _VALUES)
    )


EXPORT = Export(
    name="prediction_string",
    summary="ImageNet localization: a CSV table with the objects of an image in one text",
    source="kaggle.com/c/imagenet-object-localization-challenge",
    looks_for="a CSV file with the columns ImageId and PredictionString, without scores",
    files=_files,
    read=_read,
    images=("", "images", "train"),
)
