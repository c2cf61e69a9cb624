"""Groups of dependent images (of one video, patient or scene) that are resampled as a whole."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, InputWarning
from metrics.messages import reason
from metrics.notes import Note
from metrics.plurals import agree, plural
from metrics.registry import did_you_mean
from metrics.resampling.weights import unit_index
from metrics.tables import Catalog, ImageId

Groups = str | Sequence[object] | Mapping[object, object] | None
"""The name of an image column, one group per image, a mapping from image id to group, or None for no groups."""

SPLIT_GROUPS = "data.groups"
"""Image column of the groups that a data set's splits keep together; ground truth that has it is resampled by it."""

GROUP_COLUMN = re.compile(
    r"(^|[_\W])(video|clip|sequence|seq|scene|patient|subject|case|session|group|camera|slide|site|track)(s|_?ids?)?($|[_\W])",
    re.IGNORECASE,
)
"""Names of columns that probably group dependent images."""


def resolve_groups(
    groups: Groups,
    image_columns: Mapping[str, Sequence[object]] | None,
    ids: Sequence[ImageId],
    kept: NDArray[np.intp],
) -> tuple[NDArray[np.intp], int, list[Note]]:
    """Return the resampling unit of each image, the number of units, and notes about them.

    Args:
        groups: see `metrics.compare.compare`.
        image_columns: name to one value per image, for the images as given.
        ids: (I,) ids of the compared images.
        kept: (I,) indices of the compared images among those given.

    Warns:
        InputWarning: a column seems to group dependent images but is not used.

    Raises:
        InputError: no such column, or not one group per image.
    """
    columns = dict(image_columns or {})
    if groups is None:
        unused = unused_group_columns(columns, kept)
        for note in unused:
            warnings.warn(f"groups: {note}", InputWarning, stacklevel=3)
        return *unit_index(None, len(ids)), unused
    name, given = "", groups
    if isinstance(groups, str):
        if groups not in columns:
            raise InputError(f"groups: no image column {groups!r}{did_you_mean(groups, columns)}")
        name, given = groups, columns[groups]
    elif isinstance(groups, Mapping):
        missing = [image for image in ids if image not in groups]
        if missing:
            raise InputError(
                f"groups: {plural(len(missing), 'image has', 'images have')} no group, the first is {missing[0]!r}; assign a group to each image"
            )
        given = [groups[image] for image in ids]
    if len(given) != len(ids):
        if len(given) <= kept.max():
            raise InputError(
                f"groups: expected one group for each of {plural(len(ids), 'image')}, got {len(given)}"
            )
        given = [given[index] for index in kept]
    unit, units = unit_index(list(given), len(given))
    by = f" by {name!r}" if name else ""
    text = f"{plural(len(given), 'image was', 'images were')} resampled in {plural(units, 'group')}{by}"
    return unit, units, [Note("groups", text, name, {"images": len(given), "groups": units})]


def groups_by_folder(catalog: Catalog) -> tuple[str, ...]:
    """Return the folder of each image file, for data sets that keep each video or scene in a folder.

    Args:
        catalog: provides the file names.
    """
    return tuple(str(PurePosixPath(name.replace("\\", "/")).parent) for name in catalog.file_names)


def groups_from_csv(path: str | Path, catalog: Catalog) -> dict[object, str]:
    """Read the group of each image from a table of two columns: image (id or file name), group.

    Args:
        path: CSV in UTF-8 with a header line; further columns and images missing from the catalog are ignored.
        catalog: the images.

    Raises:
        InputError: no such table, an image without a group, or an image with two groups.
    """
    known: dict[str, ImageId] = {}
    ids: Sequence[ImageId] = catalog.image_ids
    known |= zip(catalog.file_names, ids, strict=True)
    known |= {str(image): image for image in ids}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        cause = (error.strerror if isinstance(error, OSError) else None) or reason(error)
        raise InputError(
            f"{path}: cannot be read as a table ({cause}); expected a CSV with columns image,group"
        ) from error
    groups: dict[object, str] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) < 2 or not row[1]:
            raise InputError(f"{path}: line {line}: expected an image and its group, got {','.join(row)!r}")
        image = known.get(row[0])
        if image is not None and groups.setdefault(image, row[1]) != row[1]:
            raise InputError(f"{path}: line {line}: image {row[0]!r} already has group {groups[image]!r}")
    missing = [image for image in catalog.image_ids if image not in groups]
    if missing:
        raise InputError(
            f"{path}: {len(missing):,} of {plural(len(catalog.image_ids), 'image')} {agree(len(missing), 'has', 'have')} no group, the first is {missing[0]!r}; add a line"
            " for each, with its id or file name, below the header line"
        )
    return groups


def unused_group_columns(columns: Mapping[str, Sequence[object]], kept: NDArray[np.intp]) -> list[Note]:
    """Return a note of kind ``unused_group_column`` for each column that seems to group dependent images.

    Args:
        columns: name to one value per image, for the images as given.
        kept: (I,) indices of the compared images among those given.
    """
    notes = []
    for name, values in columns.items():
        if not GROUP_COLUMN.search(name) or len(values) <= kept.max(initial=-1):
            continue
        groups = len({values[index] for index in kept})
        if 1 < groups < len(kept):
            text = (
                f"the image column {name!r} ({plural(groups, 'value')} for {plural(len(kept), 'image')}) is not used: images of one group are"
                f" dependent, so intervals are too narrow; pass groups={name!r} (--groups {name})"
            )
            notes.append(Note("unused_group_column", text, name, {"groups": groups, "images": len(kept)}))
    return notes
