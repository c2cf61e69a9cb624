"""Kernels that put detections in order: by image, by class, and by falling score within a class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel

SMALL = 48
"""Up to this many rows, moving one at a time beats counting digits."""

DIGIT = 11
"""Bits that a pass of the radix sort looks at: 2,048 counters lie in the first cache."""

PATIENCE = 4
"""So many moves per row may be left after two passes of the radix sort, before all digits are sorted."""


@kernel
def count_sort(
    keys: NDArray[np.int32], rows: NDArray[np.int32], start: NDArray[np.int64], order: NDArray[np.int32]
) -> int:
    """Stable order of `rows` by ``keys[row]``.

    Args:
        keys: (N,) in [0, K); a negative key leaves its row out.
        rows: (M,) indices into `keys`.
        start: (K + 1,); becomes the first place of each key in `order`, and then their end.
        order: (M,); becomes the rows, by key.

    Returns:
        How many rows are in the order.
    """
    start[:] = 0
    for row in rows:
        if keys[row] >= 0:
            start[keys[row] + 1] += 1
    for key in range(1, start.size):
        start[key] += start[key - 1]
    for row in rows:
        key = keys[row]
        if key >= 0:
            order[start[key]] = row
            start[key] += 1
    for key in range(start.size - 1, 0, -1):
        start[key] = start[key - 1]
    start[0] = 0
    return int(start[-1])


@kernel
def sort_falling(
    bits: NDArray[np.uint64],
    rows: NDArray[np.int32],
    first: int,
    last: int,
    keys: NDArray[np.uint64],
    other_keys: NDArray[np.uint64],
    other_rows: NDArray[np.int32],
    digits: NDArray[np.int32],
) -> int:
    """Sort ``rows[first:last]`` in place by falling score; ties stay in the order in which they stand.

    Args:
        bits: (N,) the float64 scores, their bits read as integers; no NaN.
        rows: indices into `bits`.
        first: place of the first row to sort.
        last: place after the last.
        keys: scratch of last - first.
        other_keys: likewise.
        other_rows: likewise.
        digits: (2 ** DIGIT,) scratch.
    """
    sign = np.uint64(1) << np.uint64(63)
    size = last - first
    is_sorted = True
    least, most, before = ~np.uint64(0), np.uint64(0), np.uint64(0)
    for place in range(size):
        word = bits[rows[first + place]]
        # The bits of a positive float rise with it, those of a negative one fall; -0.0 is a tie with 0.0.
        key = ~(word | sign)
        if word & sign:
            key = word if word != sign else ~sign
        keys[place] = key
        is_sorted &= key >= before
        least, most, before = min(least, key), max(most, key), key
    if is_sorted:
        return 0
    if size <= SMALL:
        return _insertion_sort(keys, rows, first, size, size * size)
    # Two passes over the digits that tell most keys apart, and few rows are left out of place.
    shift = 0
    while (most - least) >> np.uint64(shift) >= np.uint64(1) << np.uint64(2 * DIGIT):
        shift += 1
    _scatter(keys, rows, first, size, least, shift, digits, other_keys, other_rows, 0)
    _scatter(other_keys, other_rows, 0, size, least, shift + DIGIT, digits, keys, rows, first)
    if _insertion_sort(keys, rows, first, size, PATIENCE * size) < 0:
        for low in range(0, 6 * DIGIT, 2 * DIGIT):
            _scatter(keys, rows, first, size, least, low, digits, other_keys, other_rows, 0)
            _scatter(other_keys, other_rows, 0, size, least, low + DIGIT, digits, keys, rows, first)
    return size


@kernel
def _insertion_sort(
    keys: NDArray[np.uint64], rows: NDArray[np.int32], first: int, size: int, patience: int
) -> int:
    """Sort ``keys[:size]`` and their rows by moving one at a time; -1 where that took more than `patience` moves."""
    moves = 0
    for place in range(1, size):
        key, row = keys[place], rows[first + place]
        hole = place
        while hole > 0 and keys[hole - 1] > key:
            keys[hole] = keys[hole - 1]
            rows[first + hole] = rows[first + hole - 1]
            hole -= 1
        keys[hole] = key
        rows[first + hole] = row
        moves += place - hole
        if moves > patience:
            return -1
    return moves


@kernel
def _scatter(
    keys: NDArray[np.uint64],
    rows: NDArray[np.int32],
    first: int,
    size: int,
    least: int,
    shift: int,
    digits: NDArray[np.int32],
    to_keys: NDArray[np.uint64],
    to_rows: NDArray[np.int32],
    to_first: int,
) -> int:
    """A stable pass by the digit of ``key - least`` at bit `shift`, from one pair of arrays into another."""
    by, mask = np.uint64(shift), np.uint64((1 << DIGIT) - 1)
    digits[:] = 0
    for place in range(size):
        digits[((keys[place] - least) >> by) & mask] += 1
    total = 0
    for digit in range(digits.size):
        total, digits[digit] = total + digits[digit], total
    for place in range(size):
        digit = ((keys[place] - least) >> by) & mask
        target = digits[digit]
        digits[digit] = target + 1
        to_keys[target] = keys[place]
        to_rows[to_first + target] = rows[first + place]
    return size


@kernel
def sort_classes(
    start: NDArray[np.int64],
    classes: NDArray[np.int32],
    bits: NDArray[np.uint64],
    rows: NDArray[np.int32],
    keys: NDArray[np.uint64],
    other_keys: NDArray[np.uint64],
    other_rows: NDArray[np.int32],
    digits: NDArray[np.int32],
) -> int:
    """Sort the rows of each of `classes` by falling score; ties stay as they stand.

    Args:
        start: (K + 1,) where each class begins in `rows`.
        classes: those to sort; the others may be sorted by another thread meanwhile.
        bits: see `sort_falling`.
        rows: (D,) sorted in place.
        keys: scratch as long as the longest of the classes.
        other_keys: likewise.
        other_rows: likewise.
        digits: (2 ** DIGIT,) scratch.
    """
    for label in classes:
        sort_falling(bits, rows, start[label], start[label + 1], keys, other_keys, other_rows, digits)
    return len(classes)
