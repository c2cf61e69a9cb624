"""Images that are alike are drawn together: which images belong to one video, patient or scene."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, InputWarning
from metrics.registry import did_you_mean
from metrics.resampling.weights import units_of
from metrics.tables import Catalog, ImageId

ALIKE = re.compile(
    r"(^|[_\W])(video|clip|sequence|seq|scene|patient|subject|case|session|group|camera|slide|site|track)(s|_?ids?)?($|[_\W])",
    re.IGNORECASE,
)
"""Names of columns that tell which images are alike."""


def chosen_groups(
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
        unused = _unused(columns, kept)
        for said in unused:
            warnings.warn(f"groups: {said}", InputWarning, stacklevel=3)
        return *units_of(None, len(ids)), unused
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


def _told(given: list[object], name: str) -> tuple[NDArray[np.intp], int, list[str]]:
    unit, units = units_of(given, len(given))
    return unit, units, [f"{len(given):,} images were drawn in {units:,} groups{name}"]


def _unused(columns: Mapping[str, Sequence[object]], kept: NDArray[np.intp]) -> list[str]:
    said = []
    for name, values in columns.items():
        if not ALIKE.search(name) or len(values) <= kept.max(initial=-1):
            continue
        several = len({values[index] for index in kept})
        if 1 < several < len(kept):
            said.append(
                f"images have a column {name!r} ({several:,} values for {len(kept):,} images) that is not used: images of"
                f" one group are alike, so intervals are too narrow; pass groups={name!r}"
            )
    return said
