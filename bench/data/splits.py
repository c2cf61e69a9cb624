"""Splits of data sets that lack them, by a hash of each image's name or group."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Indices = NDArray[np.intp]


def hash_split(
    names: Sequence[str],
    shares: Sequence[float],
    seed: int,
    units: NDArray[np.intp] | None = None,
    required: bool = True,
) -> list[Indices]:
    """Split images into one part per share, by a hash of seed and name.

    The part of an image depends only on its name: adding or removing images does not move the others, and the same
    images in another format have the same split. Only if a part would be empty, images are sorted by hash and cut, so
    that each part has at least one image; then an added image can move others.

    Args:
        names: names of I images, or their groups.
        shares: share of each part, positive; only their proportions matter.
        seed: seed of the hash.
        units: (I,) number of the unit of each image, from 0; a unit is not divided, and its place is that of its first name
            in alphabetical order. By default each image is one.
        required: whether each part must have an image; then there are at least as many units as shares.

    Returns:
        Increasing indices of the images of each part; each image is in exactly one part.
    """
    units = np.arange(len(names)) if units is None else units
    sizes = np.bincount(units)
    assert not required or len(sizes) >= len(shares)
    positions = unit_positions(names, units, seed)
    limits = np.cumsum(shares)[:-1] / sum(shares)
    part = np.searchsorted(limits, positions, side="right")
    if required and not np.bincount(part, minlength=len(shares)).all():
        order = np.argsort(positions, kind="stable")
        before = np.cumsum([0, *sizes[order]])
        nearest = [np.argmin(abs(before - round(float(limit) * len(names)))) for limit in limits]
        cuts = [0, *map(int, nearest), len(sizes)]
        for k in range(1, len(cuts) - 1):
            cuts[k] = max(cuts[k], cuts[k - 1] + 1)
        for k in range(len(cuts) - 2, 0, -1):
            cuts[k] = min(cuts[k], cuts[k + 1] - 1)
        part[order] = np.repeat(np.arange(len(shares)), np.diff(cuts))
    return [np.flatnonzero(part[units] == k) for k in range(len(shares))]


def unit_positions(names: Sequence[str], units: NDArray[np.intp], seed: int) -> NDArray[np.float64]:
    """(U,) a number in [0, 1) for each unit, from a hash of seed and its first name in alphabetical order.

    Args:
        names: of I images, or their groups.
        units: (I,) number of the unit of each image, from 0.
        seed: of the hash.
    """
    first: dict[int, str] = {}
    for unit, name in zip(units.tolist(), names, strict=True):
        first[unit] = min(name, first.get(unit, name))
    return np.array([_hash_position(first[unit], seed) for unit in range(len(first))])


def join_units(*keys: Sequence[Hashable]) -> NDArray[np.intp]:
    """Unit of each image, so that two images with an equal key are in one unit, and so are those that others connect.

    Args:
        *keys: for each kind of key, one key per image.

    Returns:
        (I,) units, numbered from 0 in the order of their first image.
    """
    count = len(keys[0])
    rows: list[int] = []
    columns: list[int] = []
    for of_kind in keys:
        first: dict[Hashable, int] = {}
        for index, key in enumerate(of_kind):
            rows.append(index)
            columns.append(first.setdefault(key, index))
    graph = coo_array((np.ones(len(rows), np.bool_), (rows, columns)), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    _, start, units = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(start), np.intp)
    rank[np.argsort(start)] = np.arange(len(start))
    return rank[units]


def nearest_seed(
    names: Sequence[str], shares: Sequence[float], seed: int, units: NDArray[np.intp], tries: int = 100
) -> tuple[int, list[int]]:
    """The seed of the following ones whose parts are nearest to their shares, and the sizes of its parts."""
    wanted = np.array(shares) / sum(shares) * len(names)
    best: tuple[float, int, list[int]] | None = None
    for candidate in range(seed + 1, seed + 1 + tries):
        sizes = [len(part) for part in hash_split(names, shares, candidate, units)]
        distance = float((abs(np.array(sizes) - wanted) / wanted).max())
        if best is None or distance < best[0]:
            best = (distance, candidate, sizes)
    assert best is not None
    return best[1], best[2]


def _hash_position(name: str, seed: int) -> float:
    """A number in [0, 1) from a hash of seed and name."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
