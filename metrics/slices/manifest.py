"""User-defined axes of images from a CSV file with a key column and one column per axis."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path

from metrics.errors import InputError, InputWarning
from metrics.formats.untrusted import read_text
from metrics.plurals import plural
from metrics.slices.axes import Axis
from metrics.tables import Catalog

MAX_SLICES = 50
"""Number of slices above which a column is probably a number that should be binned."""

MAX_KEYS = 5
"""Number of unknown keys that a warning lists."""


def read_manifest(path: str | Path, catalog: Catalog) -> list[Axis]:
    """Read axes from a manifest, one per column except the first.

    The first column is called ``key`` and has image ids or file names; each further column is an axis, and its values are
    the slices. Images without a line and empty cells are in the slice ``__unassigned__``::

        key,weather,time
        000000000139.jpg,rain,day
        000000000285.jpg,,night

    Args:
        path: CSV in UTF-8, separated by commas.
        catalog: the images.

    Raises:
        InputError: no such file, no ``key`` column, a line with the wrong number of cells, two lines for one image, or two
            axes with the same name.

    Warns:
        InputWarning: keys that match no image, or an axis with more than 50 slices.
    """
    by_id = {str(image): number for number, image in enumerate(catalog.image_ids)}
    by_name = {name: number for number, name in enumerate(catalog.file_names) if name}
    lines = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(lines, [])]
        _check_header(path, header)
        columns: list[list[str | None]] = [[None] * len(catalog.image_ids) for _ in header[1:]]
        line_of: dict[int, int] = {}
        unknown: list[str] = []
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"{path}:{lines.line_num}: has {plural(len(cells), 'cell')}, expected {len(header)}: {', '.join(header)}"
                )
            key = cells[0].strip()
            image = by_id.get(key, by_name.get(key, -1))
            if image < 0:
                unknown.append(key)
                continue
            if image in line_of:
                raise InputError(
                    f"{path}:{lines.line_num}: image {key!r} already has line {line_of[image]}; remove one of the two"
                )
            line_of[image] = lines.line_num
            for column, cell in zip(columns, cells[1:], strict=True):
                column[image] = cell.strip()
    except csv.Error as error:
        raise InputError(f"{path}:{lines.line_num}: is not valid CSV: {error}") from error
    axes = [Axis.from_names(name, "image", column) for name, column in zip(header[1:], columns, strict=True)]
    _warn(path, unknown, axes)
    return axes


def _check_header(path: str | Path, header: list[str]) -> None:
    if not header or header[0] != "key":
        first = repr(header[0]) if header else "an empty file"
        raise InputError(f"{path}:1: expected a first line like key,weather,time, got {first}")
    if len(header) < 2:
        raise InputError(f"{path}:1: there is no axis besides the key; add a column")
    for number, name in enumerate(header):
        if not name or name in header[:number]:
            raise InputError(f"{path}:1: column {number + 1} is {name!r}; each axis needs a unique name")


def _warn(path: str | Path, unknown: list[str], axes: list[Axis]) -> None:
    if unknown:
        shown = ", ".join(map(repr, unknown[:MAX_KEYS]))
        more = ", ..." if len(unknown) > MAX_KEYS else ""
        warnings.warn(
            f"{path}: {plural(len(unknown), 'key is', 'keys are')} neither the id nor the file name of an image: {shown}{more}",
            InputWarning,
            stacklevel=3,
        )
    for axis in axes:
        if len(axis.values) > MAX_SLICES:
            warnings.warn(
                f"{path}: {axis.name!r} has {plural(len(axis.values), 'slice')}; group its values into fewer",
                InputWarning,
                stacklevel=3,
            )
