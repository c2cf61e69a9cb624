"""Random numbers of an image's augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def randomness_of(seed: int) -> Iterator[None]:
    """Context in which torch's CPU generator has the given seed; its state is restored afterwards.

    Augmentation draws from torch's global generator. The generator of an accelerator is not seeded, because that
    would repeat the dropout masks of every step.

    Args:
        seed: 0 .. 2^63 - 1.
    """
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
