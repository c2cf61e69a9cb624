"""8-bit pixels as floating point from 0 to 1, as networks get them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metrics.kernels.compile_cache import kernel

single: Any = np.float32


def to_unit_range(pixels: Tensor) -> Tensor:
    """Pixels divided by 255.

    Args:
        pixels: uint8 of any shape, on the CPU.

    Returns:
        A float32 tensor of the same shape in [0, 1], in one pass over memory: torch converts first and divides then.
    """
    pixels = pixels.contiguous()
    divided = torch.empty(pixels.shape, dtype=torch.float32)
    _divide(pixels.view(-1).numpy(), divided.view(-1).numpy())
    return divided


@kernel
def _divide(pixels: NDArray[np.uint8], divided: NDArray[np.float32]) -> int:
    for k in range(pixels.size):
        divided[k] = single(pixels[k]) / single(255.0)
    return 0
