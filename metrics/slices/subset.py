"""Matches of a subset of images or objects, without matching again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError
from metrics.matching import Matches


def select_images(matches: Matches, images: ArrayLike) -> Matches:
    """Return the matches of some images; equal to matching their tables alone, because images are independent.

    Args:
        matches: of all images.
        images: (I,) mask over the catalog's images, or indices into them.

    Raises:
        InputError: a mask of the wrong length, or an index that is out of range or repeated.
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
    """Return the matches in which only some objects are valid ground truth.

    Detections that match another object are ignored. False positives belong to no object, so all of them count in every
    slice (Hoiem et al. 2012).

    Args:
        matches: of all objects.
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
    """New index of each row that is kept."""
    return (np.cumsum(kept) - 1).astype(np.int32)
