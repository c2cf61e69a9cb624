"""How a kernel becomes machine code: Numba, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function of arrays and numbers that returns a number; it runs without the interpreter's lock.

    Divisions follow IEEE 754 (x / 0 is inf or NaN), as in the reference.
    """
    return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))
