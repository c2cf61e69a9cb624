"""Splits of data sets that lack them, by a hash of each image's name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


def hash_split(names: Sequence[str], shares: Sequence[float], seed: int) -> list[Indices]:
    """Split images into one part per share, by a hash of seed and name.

    The part of an image depends only on its name: adding or removing images does not move the others, and the same
    images in another format have the same split. Only if a part would be empty, images are sorted by hash and cut, so
    that each part has at least one image; then an added image can move others.

    Args:
        names: names of I images, at least as many as shares. Images of the same name are in the same part.
        shares: share of each part, positive; only their proportions matter.
        seed: seed of the hash.

    Returns:
        Increasing indices of the images of each part; each image is in exactly one part.
    """
    assert len(names) >= len(shares)
    positions = np.array([_hash_position(name, seed) for name in names])
    limits = np.cumsum(shares)[:-1] / sum(shares)
    part = np.searchsorted(limits, positions, side="right")
    if not np.bincount(part, minlength=len(shares)).all():
        cuts = [0, *(round(float(limit) * len(names)) for limit in limits), len(names)]
        for k in range(1, len(cuts) - 1):
            cuts[k] = max(cuts[k], cuts[k - 1] + 1)
        for k in range(len(cuts) - 2, 0, -1):
            cuts[k] = min(cuts[k], cuts[k + 1] - 1)
        part[np.argsort(positions, kind="stable")] = np.repeat(np.arange(len(shares)), np.diff(cuts))
    return [np.flatnonzero(part == k) for k in range(len(shares))]


def _hash_position(name: str, seed: int) -> float:
    """A number in [0, 1) from a hash of seed and name."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
