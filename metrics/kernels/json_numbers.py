"""Kernels that read numbers from JSON text, correctly rounded: the same doubles as a full parser.

The text ends with a byte 0, at which every loop stops.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel

UNSURE = -1
"""Returned instead of the end position: no such value, or one that a full parser must read."""

_LARGEST_EXACT = 2**53
_MOST_BEFORE_DIGIT = 922337203685477579  # ten times this plus a digit still fits into 63 bits


class Powers(NamedTuple):
    """Tables of powers: `powers_of_ten` and `powers_of_five`."""

    tens: NDArray[np.float64]
    fives: NDArray[np.uint64]


class Doubles(NamedTuple):
    """A column of doubles, and the same memory as integers."""

    values: NDArray[np.float64]
    bits: NDArray[np.int64]


def make_doubles(size: int) -> Doubles:
    """Memory for a column of doubles."""
    values = np.empty(size)
    return Doubles(values, values.view(np.int64))


def powers_of_ten() -> NDArray[np.float64]:
    """(23,) 10^0 .. 10^22: those that doubles represent exactly."""
    return np.array([float(f"1e{power}") for power in range(23)])


def powers_of_five() -> NDArray[np.uint64]:
    """(651, 2) upper and lower half of 5^q in 128 bits, highest bit set, for q = -342 .. 308 (Lemire 2021, section 5).

    Truncated; from -27 to -1, where the reciprocal is needed to the last bit, rounded up.
    """
    table = np.empty((651, 2), np.uint64)
    for row, q in enumerate(range(-342, 309)):
        if q < 0:
            power = 5**-q
            bits = (1 << power.bit_length() + 127) // power + (q >= -27)
        else:
            power = 5**q
            surplus = power.bit_length() - 128
            bits = power >> surplus if surplus > 0 else power << -surplus
        table[row] = bits >> 64, bits & (2**64 - 1)
    return table


@kernel
def upper_product(a: np.uint64, b: np.uint64) -> int:
    """The upper 64 bits of a 128-bit product."""
    half, rest = np.uint64(32), np.uint64(0xFFFFFFFF)
    low = (a & rest) * (b & rest)
    cross = (a >> half) * (b & rest) + (low >> half)
    other = (a & rest) * (b >> half) + (cross & rest)
    upper: Any = (a >> half) * (b >> half) + (cross >> half) + (other >> half)
    return upper  # type: ignore[no-any-return]  # a uint64


@kernel
def write_scaled(
    digits: int, exponent: int, fives: NDArray[np.uint64], bits: NDArray[np.int64], index: int
) -> int:
    """Write ``digits * 10^exponent``, correctly rounded, to ``bits[index]``: Lemire 2021, algorithm 1.

    Args:
        digits: in [1, 2^63).
        exponent: of ten.
        fives: of `powers_of_five`.
        bits: (N,) doubles, as integers of the same bits.
        index: in [0, N).

    Returns:
        0, or `UNSURE` if the result is not a normal number.
    """
    if exponent < -342 or exponent > 308:
        return UNSURE
    word: Any = np.uint64(digits)
    shift = 0
    for step in (32, 16, 8, 4, 2, 1):
        if word >> np.uint64(64 - step) == np.uint64(0):
            word <<= np.uint64(step)
            shift += step
    upper = fives[exponent + 342, 0]
    high: Any = upper_product(word, upper)
    low: Any = word * upper
    if high & np.uint64(0x1FF) == np.uint64(0x1FF):
        more: Any = upper_product(word, fives[exponent + 342, 1])
        low += more
        if low < more:
            high += np.uint64(1)
    top = high >> np.uint64(63)
    mantissa = high >> (top + np.uint64(9))  # 54 bits, one of them for rounding
    binary: Any = ((217706 * exponent) >> 16) + 63 + np.int64(top) - shift
    if binary < -1022 or binary > 1022:
        return UNSURE
    if (
        low <= np.uint64(1)
        and -4 <= exponent <= 23
        and mantissa & np.uint64(3) == np.uint64(1)
        and mantissa << (top + np.uint64(9)) == high
    ):
        mantissa &= ~np.uint64(1)  # exactly between two doubles: round to even
    mantissa = (mantissa + (mantissa & np.uint64(1))) >> np.uint64(1)
    # a mantissa rounded up to 2^53 carries into the exponent
    bits[index] = ((binary + 1022) << 52) + np.int64(mantissa)
    return 0


@kernel
def read_number(text: NDArray[np.uint8], at: int, powers: Powers, target: Doubles, index: int) -> int:
    """Read the number at `at` into ``target[index]``; return its end, or `UNSURE`."""
    negative = text[at] == 45
    if negative:
        at += 1
    digits: Any = 0
    exponent = 0
    if text[at] == 48:
        at += 1
        if 48 <= text[at] <= 57:
            return UNSURE
    elif 49 <= text[at] <= 57:
        while 48 <= text[at] <= 57:
            if digits > _MOST_BEFORE_DIGIT:
                return UNSURE
            digits = digits * 10 + (np.int64(text[at]) - 48)
            at += 1
    else:
        return UNSURE
    if text[at] == 46:
        at += 1
        first = at
        while 48 <= text[at] <= 57:
            if digits > _MOST_BEFORE_DIGIT:
                return UNSURE
            digits = digits * 10 + (np.int64(text[at]) - 48)
            at += 1
        if at == first:
            return UNSURE
        exponent = first - at
    if text[at] == 101 or text[at] == 69:
        at += 1
        below = text[at] == 45
        if below or text[at] == 43:
            at += 1
        first = at
        power: Any = 0
        while 48 <= text[at] <= 57:
            power = min(power * 10 + (np.int64(text[at]) - 48), 100_000)
            at += 1
        if at == first:
            return UNSURE
        exponent += -power if below else power
    if digits == 0:
        target.values[index] = 0.0
    elif digits <= _LARGEST_EXACT and -22 <= exponent <= 22:
        # both operands are exact, so that one operation rounds once (Clinger 1990)
        tens = powers.tens
        target.values[index] = digits / tens[-exponent] if exponent < 0 else digits * tens[exponent]
    elif write_scaled(digits, exponent, powers.fives, target.bits, index) == UNSURE:
        return UNSURE
    if negative:
        target.values[index] = -target.values[index]
    return at


@kernel
def read_integer(text: NDArray[np.uint8], at: int, target: NDArray[np.int64], index: int) -> int:
    """Read an integer of at most 18 digits into ``target[index]``; return its end, or `UNSURE`."""
    negative = text[at] == 45
    if negative:
        at += 1
    first = at
    value: Any = 0
    while 48 <= text[at] <= 57:
        value = value * 10 + (np.int64(text[at]) - 48)
        at += 1
        if at - first > 18:
            return UNSURE
    if at == first or (text[first] == 48 and at - first > 1):
        return UNSURE
    if text[at] == 46 or text[at] == 101 or text[at] == 69:
        return UNSURE
    target[index] = -value if negative else value
    return at
