"""Seeds of the random number generators."""

from __future__ import annotations

import numpy as np
from accelerate.utils import set_seed


def seed_batch(seed: int, epoch: int, batch: int, process: int = 0) -> None:
    """Seed the generators of Python, NumPy and torch for one batch.

    No state of a generator has to be saved: a training that is resumed at a batch draws the same random numbers.
    """
    set_seed(int(np.random.SeedSequence([seed, epoch, batch, process]).generate_state(1)[0]))
