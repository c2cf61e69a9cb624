"""Seeds of the random number generators."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import torch
from accelerate.utils import set_seed


def seed_batch(seed: int, epoch: int, batch: int, process: int = 0) -> None:
    """Seed the generators of Python, NumPy and torch for one batch.

    No state of a generator has to be saved: a training that is resumed at a batch draws the same random numbers.
    """
    value = int(np.random.SeedSequence([seed, epoch, batch, process]).generate_state(1)[0])
    if _has_accelerator():
        set_seed(value)
        return
    # For devices that are absent, `set_seed` and `torch.manual_seed` note a traceback in every step.
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002, transforms of other packages may draw from it
    torch.default_generator.manual_seed(value)


@cache
def _has_accelerator() -> bool:
    return torch.accelerator.is_available()
