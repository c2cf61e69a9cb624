"""The matches of a slice, made from those of the whole: nothing is matched again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError
from metrics.matching import Matches


def select_images(matches: Matches, images: ArrayLike) -> Matches:
    """The matches of some images: what matching their tables alone gives, for images do not know each other.

    Args:
        matches: of the whole.
        images: (I,) mask over the catalog's images, or indices into them.

    Raises:
        InputError: a mask of another length, an index that is none or is there twice.
    """
    catalog = matches.truth.catalog
    chosen = np.zeros(len(catalog.image_ids), np.bool_)
    chosen[catalog.image_indices(images)] = True
    objects, rows = chosen[matches.truth.image], chosen[matches.detections.image]
    new_object, new_row = _renumbered(objects), _renumbered(rows)
    walked, paired = rows[matches.row], rows[matches.pair_row]
    before = np.append(0, np.cumsum(walked))
    return replace(
        matches,
        truth=matches.truth.select(chosen),
        detections=matches.detections.select(chosen),
        start=before[matches.start],
        row=new_row[matches.row[walked]],
        valid=matches.valid[objects],
        inside=matches.inside[rows],
        pair_row=new_row[matches.pair_row[paired]],
        pair_object=new_object[matches.pair_object[paired]],
        pair_rank=matches.pair_rank[paired],
        pair_iou=matches.pair_iou[paired],
        pair_bits=matches.pair_bits[paired],
    )


def select_objects(matches: Matches, objects: ArrayLike) -> Matches:
    """The matches in which only some objects are asked for.

    Detections that found another object are ignored. Those that found none count wherever they are: nothing says which
    slice a detection on nothing belongs to, so all false positives count in every slice (Hoiem et al. 2012).

    Args:
        matches: of the whole.
        objects: (G,) mask over the rows of the truth.

    Raises:
        InputError: not such a mask.
    """
    mask = np.asarray(objects)
    if mask.dtype != np.bool_ or mask.shape != (len(matches.truth),):
        raise InputError(
            f"objects: expected a mask of shape ({len(matches.truth)},), got {mask.dtype} {mask.shape}"
        )
    return replace(matches, valid=matches.valid * mask.astype(matches.valid.dtype))


def _renumbered(kept: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The new row of each old one that is kept."""
    return (np.cumsum(kept) - 1).astype(np.int32)
