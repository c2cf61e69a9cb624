"""Sorting of detections by image, by class, and by falling score within a class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel

SMALL = 48
"""Up to this many rows, insertion sort is faster than radix sort."""

DIGIT = 11
"""Bits per pass of the radix sort: 2,048 counters fit into the first-level cache."""

PATIENCE = 4
"""Moves per row that may be left after two passes of the radix sort, before all digits are sorted."""


class SortScratch(NamedTuple):
    """Memory that sorting by score works in.

    Attributes:
        keys: uint64.
        other_keys: uint64.
        other_rows: int32.
        digits: (2 ** DIGIT,) int32.
    """

    keys: NDArray[np.uint64]
    other_keys: NDArray[np.uint64]
    other_rows: NDArray[np.int32]
    digits: NDArray[np.int32]


def make_scratch(size: int) -> SortScratch:
    """Memory for sorting up to `size` rows."""
    keys, other_keys = np.empty((2, size), np.uint64)
    return SortScratch(keys, other_keys, np.empty(size, np.int32), np.empty(1 << DIGIT, np.int32))


def group_rows(
    keys: NDArray[np.int32], rows: NDArray[np.int32] | None, count: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The rows, stably sorted by ``keys[row]``, and where each key begins.

    Args:
        keys: (N,) in [0, count); rows with a negative key are left out.
        rows: (M,) indices into `keys`; by default all.
        count: number of keys.
    """
    rows = np.arange(len(keys), dtype=np.int32) if rows is None else rows
    order, start = np.empty(len(rows), np.int32), np.empty(count + 1, np.int64)
    kept = count_sort(keys, rows, start, order)
    return order[:kept], start


@kernel
def count_sort(
    keys: NDArray[np.int32], rows: NDArray[np.int32], start: NDArray[np.int64], order: NDArray[np.int32]
) -> int:
    """Sort `rows` stably by ``keys[row]``.

    Args:
        keys: (N,) in [0, K); rows with a negative key are left out.
        rows: (M,) indices into `keys`.
        start: (K + 1,); becomes the position in `order` at which each key begins, and the end.
        order: (M,); becomes the rows, by key.

    Returns:
        Number of rows in `order`.
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
    bits: NDArray[np.uint64], rows: NDArray[np.int32], first: int, last: int, scratch: SortScratch
) -> int:
    """Sort ``rows[first:last]`` in place by falling score; ties keep their order.

    Args:
        bits: (N,) the float64 scores as integers of the same bits; no NaN.
        rows: indices into `bits`.
        first: position of the first row to sort.
        last: position after the last.
        scratch: for at least ``last - first`` rows.
    """
    keys = scratch.keys
    sign = np.uint64(1) << np.uint64(63)
    size = last - first
    is_sorted = True
    least, most, before = ~np.uint64(0), np.uint64(0), np.uint64(0)
    for position in range(size):
        word = bits[rows[first + position]]
        # the bits of a positive float rise with it, those of a negative one fall; -0.0 and 0.0 are a tie
        key = ~(word | sign)
        if word & sign:
            key = word if word != sign else ~sign
        keys[position] = key
        is_sorted &= key >= before
        least, most, before = min(least, key), max(most, key), key
    if is_sorted:
        return 0
    if size <= SMALL:
        return _insertion_sort(keys, rows, first, size, size * size)
    # two passes over the digits that separate most keys; few rows are then out of place
    shift = 0
    while (most - least) >> np.uint64(shift) >= np.uint64(1) << np.uint64(2 * DIGIT):
        shift += 1
    _two_passes(scratch, rows, first, size, least, shift)
    if _insertion_sort(keys, rows, first, size, PATIENCE * size) < 0:
        for low in range(0, 6 * DIGIT, 2 * DIGIT):
            _two_passes(scratch, rows, first, size, least, low)
    return size


@kernel
def _insertion_sort(
    keys: NDArray[np.uint64], rows: NDArray[np.int32], first: int, size: int, max_moves: int
) -> int:
    """Sort ``keys[:size]`` and their rows; return the number of moves, or -1 after more than `max_moves` of them."""
    moves = 0
    for position in range(1, size):
        key, row = keys[position], rows[first + position]
        hole = position
        while hole > 0 and keys[hole - 1] > key:
            keys[hole] = keys[hole - 1]
            rows[first + hole] = rows[first + hole - 1]
            hole -= 1
        keys[hole] = key
        rows[first + hole] = row
        moves += position - hole
        if moves > max_moves:
            return -1
    return moves


@kernel
def _two_passes(
    scratch: SortScratch, rows: NDArray[np.int32], first: int, size: int, least: int, shift: int
) -> int:
    """Sort stably by two digits of ``key - least``, from bit `shift` on: into the other arrays and back."""
    keys, other_keys, other_rows = scratch.keys, scratch.other_keys, scratch.other_rows
    digits = scratch.digits
    mask = np.uint64((1 << DIGIT) - 1)
    by = np.uint64(shift)
    _count_digits(keys, size, least, by, digits)
    for position in range(size):
        digit = ((keys[position] - least) >> by) & mask
        target = digits[digit]
        digits[digit] = target + 1
        other_keys[target] = keys[position]
        other_rows[target] = rows[first + position]
    by = np.uint64(shift + DIGIT)
    _count_digits(other_keys, size, least, by, digits)
    for position in range(size):
        digit = ((other_keys[position] - least) >> by) & mask
        target = digits[digit]
        digits[digit] = target + 1
        keys[target] = other_keys[position]
        rows[first + target] = other_rows[position]
    return size


@kernel
def _count_digits(keys: NDArray[np.uint64], size: int, least: int, by: int, digits: NDArray[np.int32]) -> int:
    """For each value of a digit the position at which its keys begin."""
    mask = np.uint64((1 << DIGIT) - 1)
    digits[:] = 0
    for position in range(size):
        digits[((keys[position] - least) >> by) & mask] += 1
    total = 0
    for digit in range(digits.size):
        total, digits[digit] = total + digits[digit], total
    return total


@kernel
def sort_classes(
    start: NDArray[np.int64],
    classes: NDArray[np.int32],
    bits: NDArray[np.uint64],
    rows: NDArray[np.int32],
    scratch: SortScratch,
) -> int:
    """Sort the rows of each of `classes` by falling score; ties keep their order.

    Args:
        start: (K + 1,) where each class begins in `rows`.
        classes: those to sort; other threads may sort the others at the same time.
        bits: see `sort_falling`.
        rows: (D,) sorted in place.
        scratch: for the largest of the classes.
    """
    for label in classes:
        sort_falling(bits, rows, start[label], start[label + 1], scratch)
    return len(classes)
