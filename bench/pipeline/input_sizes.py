"""Sizes of the network's input in multi-scale training."""

from __future__ import annotations

import math

import numpy as np

MULTIPLE = 32
"""Sides are multiples of this."""

Size = tuple[int, int]


def sizes_around(size: Size, spread: float) -> tuple[Size, ...]:
    """(height, width) of every input between ``1 - spread`` and ``1 + spread`` times `size`, smallest first.

    The longer side takes all multiples of 32 in that range, the other one the nearest multiple by the aspect ratio; of
    a range without one, the size whose longer side is nearest to that of `size`.
    """
    longest = max(size)
    least, most = math.ceil(longest * (1 - spread) / MULTIPLE), math.floor(longest * (1 + spread) / MULTIPLE)
    steps = range(max(least, 1), most + 1) or [max(round(longest / MULTIPLE), 1)]
    height, width = (
        [MULTIPLE * max((2 * step * side + longest) // (2 * longest), 1) for step in steps] for side in size
    )
    return tuple(zip(height, width, strict=True))


def draw_size(sizes: tuple[Size, ...], seed: int, epoch: int, batch: int) -> Size:
    """The size of a batch, each with equal probability; a function of seed, epoch and number of the batch."""
    # Keys of augmentation have at most three numbers.
    key = np.random.SeedSequence(seed, spawn_key=(epoch, batch, 0, 0))
    return sizes[int(key.generate_state(1, np.uint64)[0] % len(sizes))]
