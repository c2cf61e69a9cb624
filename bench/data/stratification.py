"""Stratified division of images: parts in which every class has its share of objects, and nested subsets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from bench.data.splits import Indices, unit_positions
from metrics.tables import AnnotationTable

_SCALE = 2**24
"""Weights are integers in this unit, so that every machine divides images alike."""

_SHARE_UNITS = 1000


def stratified_parts(
    truth: AnnotationTable, shares: Sequence[float], positions: NDArray[np.float64], units: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Divide images into parts so that each part has its share of the objects of every class, and of the images.

    Units are placed one by one, those of the rarest class first, each in the part where it adds least to the chi-square
    distance of the parts' counts from their shares.

    Args:
        truth: of I images; crowd regions and ignored objects do not count.
        shares: share of each part, positive; only their proportions matter, to a thousandth.
        positions: (U,) numbers that order units that are otherwise alike; see `unit_positions`.
        units: (I,) number of the unit of each image, from 0; a unit is not divided. At least as many units as parts.

    Returns:
        (I,) part of each image; each part has at least one unit.

    Source: Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification of multi-label data", for the order; units of
    several images and the distance are ours.
    """
    count = int(units.max(initial=-1)) + 1
    assert count >= len(shares)
    valid = ~(truth.crowd | truth.ignored)
    rows = np.concatenate([units, units[truth.image[valid]]])
    columns = np.concatenate([np.zeros(len(units), np.intp), 1 + truth.label[valid]])
    shape = (count, 1 + len(truth.catalog.classes))
    counts = coo_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape).tocsr()
    counts.sum_duplicates()
    totals = np.asarray(counts.sum(axis=0), np.int64)
    weights = _SCALE // np.maximum(totals, 1)
    start, column, amount = counts.indptr, counts.indices, counts.data
    rarity = np.where(column > 0, totals[column], np.iinfo(np.int64).max)
    rarest = np.minimum.reduceat(rarity, start[:-1])
    sizes = np.add.reduceat(amount, start[:-1])
    relative = np.maximum(1, np.round(_SHARE_UNITS * np.array(shares) / max(shares)).astype(np.int64))
    held = np.zeros((len(shares), shape[1]), np.int64)
    part = np.empty(count, np.intp)
    for unit in np.lexsort((positions, -sizes, rarest)).tolist():
        at = slice(start[unit], start[unit + 1])
        added = amount[at]
        distance = (weights[column[at]] * added * (2 * held[:, column[at]] + added)).sum(1)
        part[unit] = np.argmin(distance / relative)
        held[part[unit], column[at]] += added
    for empty in np.flatnonzero(np.bincount(part, minlength=len(shares)) == 0).tolist():
        largest = int(np.argmax(np.bincount(part, minlength=len(shares))))
        members = np.flatnonzero(part == largest)
        part[members[np.argmin(sizes[members])]] = empty
    return part[units]


def first_images(truth: AnnotationTable, names: Sequence[str], count: int, seed: int) -> Indices:
    """The first images of a stratified order: a smaller number gives a subset of a larger one.

    The images are halved by `stratified_parts` again and again; the first images are whole halves, and the first ones of
    the next half.

    Args:
        truth: of I images.
        names: of the images; the order depends on them and not on that of `truth`.
        count: from 1 to I.
        seed: of the order.

    Returns:
        (count,) increasing indices.
    """
    chosen: list[Indices] = []
    rest = np.arange(len(names))
    while count:
        if len(rest) <= 1:
            chosen.append(rest)
            break
        units = np.arange(len(rest))
        positions = unit_positions([names[i] for i in rest.tolist()], units, seed)
        part = stratified_parts(truth.select(rest), (1, 1), positions, units)
        first, second = rest[part == 0], rest[part == 1]
        if count < len(first):
            rest = first
        else:
            chosen.append(first)
            count -= len(first)
            rest = second
    return np.sort(np.concatenate(chosen))
