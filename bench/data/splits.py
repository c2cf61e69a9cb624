"""Train, val and test, where a data set does not have all three: which image falls where, decided by its name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

_PURPOSES = {
    "train": "train",
    "training": "train",
    "trainval": "trainval",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def purpose(name: str) -> str | None:
    """``train``, ``val``, ``test`` or ``trainval``, if a file or folder of that name is for it; otherwise None.

    ``instances_train2017``, ``valid`` and ``test-dev`` are for train, val and test.
    """
    words = [_PURPOSES[word] for word in re.split(r"[^a-z]+", name.lower()) if word in _PURPOSES]
    for candidate in ("test", "trainval", "train", "val"):
        if candidate in words:
            return candidate
    return None


def divide(names: Sequence[str], shares: Sequence[float], seed: int) -> list[Indices]:
    """Images into as many parts as there are shares, by a hash of seed and name.

    An image's part depends on its own name alone: images that are added or taken away do not move the others, and
    the same images in another format are divided alike. Only where that would leave a part empty are the images
    put in the order of their hashes and cut, so that each part has at least one; then an added image can move
    others.

    Args:
        names: of I images, at least as many as shares. Images of the same name fall into the same part.
        shares: of each part, positive; only their proportions count.
        seed: another one gives another division.

    Returns:
        For each share the increasing indices of its images; each image is in one part.
    """
    assert len(names) >= len(shares)
    places = np.array([_place(name, seed) for name in names])
    limits = np.cumsum(shares)[:-1] / sum(shares)
    part = np.searchsorted(limits, places, side="right")
    if not np.bincount(part, minlength=len(shares)).all():
        cuts = [0, *(round(float(limit) * len(names)) for limit in limits), len(names)]
        for k in range(1, len(cuts) - 1):
            cuts[k] = max(cuts[k], cuts[k - 1] + 1)
        for k in range(len(cuts) - 2, 0, -1):
            cuts[k] = min(cuts[k], cuts[k + 1] - 1)
        part[np.argsort(places, kind="stable")] = np.repeat(np.arange(len(shares)), np.diff(cuts))
    return [np.flatnonzero(part == k) for k in range(len(shares))]


def _place(name: str, seed: int) -> float:
    """A number in [0, 1) that seed and name decide."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
