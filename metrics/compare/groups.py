"""Images that are alike are drawn together: which images belong to one video, patient or scene."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, InputWarning
from metrics.registry import did_you_mean
from metrics.resampling.weights import unit_index
from metrics.tables import Catalog, ImageId

ALIKE = re.compile(
    r"(^|[_\W])(video|clip|sequence|seq|scene|patient|subject|case|session|group|camera|slide|site|ranking)(s|_?ids?)?($|[_\W])",
    re.IGNORECASE,
)
"""Names of columns that tell which images are alike."""


def resolve_groups(
    groups: str | Sequence[object] | Mapping[object, object] | None,
    image_columns: Mapping[str, Sequence[object]] | None,
    ids: Sequence[ImageId],
    kept: NDArray[np.intp],
) -> tuple[NDArray[np.intp], int, list[str]]:
    """The unit of each image, how many units there are, and what to say of it.

    Args:
        groups: see `metrics.compare.compare`.
        image_columns: name to one value for each image, as the images were given.
        ids: (I,) of the images that are compared.
        kept: (I,) their places among the images as they were given.

    Warns:
        InputWarning: a column says which images are alike, and nobody uses it.

    Raises:
        InputError: no such column, or not one group for each image.
    """
    columns = dict(image_columns or {})
    if groups is None:
        unused = unused_group_columns(columns, kept)
        for said in unused:
            warnings.warn(f"groups: {said}", InputWarning, stacklevel=3)
        return *unit_index(None, len(ids)), unused
    name = ""
    if isinstance(groups, str):
        if groups not in columns:
            raise InputError(f"groups: no column {groups!r} of images{did_you_mean(groups, columns)}")
        name, given = f" by {groups!r}", columns[groups]
    elif isinstance(groups, Mapping):
        missing = [image for image in ids if image not in groups]
        if missing:
            raise InputError(
                f"groups: {len(missing)} images have none, first {missing[0]!r}; give each image one"
            )
        return _told([groups[image] for image in ids], "")
    else:
        given = groups
    if len(given) == len(ids):
        return _told(list(given), name)
    if len(given) <= kept.max():
        raise InputError(f"groups: expected one for each of {len(ids)} images, got {len(given)}")
    return _told([given[index] for index in kept], name)


def groups_by_folder(catalog: Catalog) -> tuple[str, ...]:
    """The folder of each image's file: for data sets that keep each video or scene in a folder of its own.

    Args:
        catalog: whose file names are read.
    """
    return tuple(str(PurePosixPath(name.replace("\\", "/")).parent) for name in catalog.file_names)


def groups_from_csv(path: str | Path, catalog: Catalog) -> dict[object, str]:
    """The group of each image, from a table of two columns: the image (its id or its file's name), and its group.

    Args:
        path: CSV in UTF-8, a heading first; further columns are passed over, and so are images that the catalog lacks.
        catalog: the images.

    Raises:
        InputError: no such table, an image without a group, or with two.
    """
    known: dict[str, ImageId] = {}
    ids: Sequence[ImageId] = catalog.image_ids
    known |= zip(catalog.file_names, ids, strict=True)
    known |= {str(image): image for image in ids}
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({error}); give a CSV of image,group") from error
    groups: dict[object, str] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) < 2 or not row[1]:
            raise InputError(f"{path}: line {line}: expected an image and its group, got {','.join(row)!r}")
        named = known.get(row[0])
        if named is not None and groups.setdefault(named, row[1]) != row[1]:
            raise InputError(f"{path}: line {line}: image {row[0]!r} has a group already, {groups[named]!r}")
    missing = [image for image in catalog.image_ids if image not in groups]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(catalog.image_ids)} images have no group, first {missing[0]!r}; name each by its"
            " id or by its file's name, under a heading"
        )
    return groups


def _told(given: list[object], name: str) -> tuple[NDArray[np.intp], int, list[str]]:
    unit, units = unit_index(given, len(given))
    return unit, units, [f"{len(given):,} images were drawn in {units:,} groups{name}"]


def unused_group_columns(columns: Mapping[str, Sequence[object]], kept: NDArray[np.intp]) -> list[str]:
    """A sentence for each column that names videos, patients or scenes, of which some have several images.

    Args:
        columns: name to one value for each image, as the images were given.
        kept: (I,) places of the images that are compared among them.
    """
    said = []
    for name, values in columns.items():
        if not ALIKE.search(name) or len(values) <= kept.max(initial=-1):
            continue
        several = len({values[index] for index in kept})
        if 1 < several < len(kept):
            said.append(
                f"images have a column {name!r} ({several:,} values for {len(kept):,} images) that is not used: images of"
                f" one group are alike, so intervals are too narrow; pass groups={name!r} (--groups {name})"
            )
    return said
