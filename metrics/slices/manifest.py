"""The user's own slices of images: a CSV file with a key and one column per axis."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path

from metrics.errors import InputError, InputWarning
from metrics.formats.untrusted import read_text
from metrics.slices.axes import Axis
from metrics.tables import Catalog

MANY = 50
"""Slices of one axis; with more than these it is probably a number that should have been binned."""

SHOWN = 5


def read_manifest(path: str | Path, catalog: Catalog) -> list[Axis]:
    """The axes of a manifest, one for each column but the first.

    The first column is called ``key`` and holds image ids or file names; each further column is an axis, and its words
    are the slices. Images without a line, and empty cells, are in the slice ``__unassigned__``::

        key,weather,time
        000000000139.jpg,rain,day
        000000000285.jpg,,night

    Args:
        path: UTF-8, with commas.
        catalog: of the truth.

    Raises:
        InputError: no such file, no ``key``, a line of another length, two lines for one image, or an axis twice.

    Warns:
        InputWarning: keys that are no image, with their number and the first of them; an axis of more than 50 slices.
    """
    place = {str(image): number for number, image in enumerate(catalog.image_ids)}
    by_name = {name: number for number, name in enumerate(catalog.file_names) if name}
    lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(lines, [])]
        _check_header(path, header)
        words: list[list[str | None]] = [[None] * len(catalog.image_ids) for _ in header[1:]]
        line_of: dict[int, int] = {}
        unknown: list[str] = []
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"{path}:{lines.line_num}: has {len(cells)} cells, expected {len(header)}: {', '.join(header)}"
                )
            key = cells[0].strip()
            image = place.get(key, by_name.get(key, -1))
            if image < 0:
                unknown.append(key)
                continue
            if image in line_of:
                raise InputError(
                    f"{path}:{lines.line_num}: image {key!r} is there already, in line {line_of[image]}; remove one"
                )
            line_of[image] = lines.line_num
            for column, cell in zip(words, cells[1:], strict=True):
                column[image] = cell.strip()
    except csv.Error as error:
        raise InputError(f"{path}:{lines.line_num}: is not CSV: {error}") from error
    axes = [Axis.from_names(name, "image", column) for name, column in zip(header[1:], words, strict=True)]
    _warn(path, unknown, axes)
    return axes


def _check_header(path: str | Path, header: list[str]) -> None:
    if not header or header[0] != "key":
        first = repr(header[0]) if header else "an empty file"
        raise InputError(f"{path}:1: expected a first line like key,weather,time, found {first}")
    if len(header) < 2:
        raise InputError(f"{path}:1: there is no axis beside the key; add a column")
    for number, name in enumerate(header):
        if not name or name in header[:number]:
            raise InputError(f"{path}:1: column {number + 1} is {name!r}; each axis needs a name of its own")


def _warn(path: str | Path, unknown: list[str], axes: list[Axis]) -> None:
    if unknown:
        shown = ", ".join(map(repr, unknown[:SHOWN]))
        more = ", ..." if len(unknown) > SHOWN else ""
        warnings.warn(
            f"{path}: {len(unknown)} keys are neither id nor file name of an image: {shown}{more}",
            InputWarning,
            stacklevel=3,
        )
    for axis in axes:
        if len(axis.values) > MANY:
            warnings.warn(
                f"{path}: {axis.name!r} has {len(axis.values)} slices; group its values into fewer",
                InputWarning,
                stacklevel=3,
            )
