"""Kernels that put detections in order: by image, by class, and by falling score within a class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.engine.compiling import kernel

SMALL = 48
"""Up to this many elements, moving one at a time beats counting digits."""

DIGIT = 11
"""Bits that a pass of the radix sort looks at: 2,048 counters lie in the first cache."""


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
def falling_keys(
    bits: NDArray[np.uint64], rows: NDArray[np.int32], first: int, last: int, keys: NDArray[np.uint64]
) -> int:
    """Unsigned integers that rise as the scores of ``rows[first:last]`` fall.

    Args:
        bits: (N,) the float64 scores, their bits read as integers; no NaN.
        keys: (M,); ``keys[first:last]`` is written.
    """
    sign = np.uint64(1) << np.uint64(63)
    for place in range(first, last):
        word = bits[rows[place]]
        if word == sign:  # -0.0 is a tie with 0.0
            word = np.uint64(0)
        # The bits of a positive float rise with it, those of a negative one fall.
        keys[place] = word if word & sign else ~(word | sign)
    return last - first


@kernel
def sort_segment(
    keys: NDArray[np.uint64],
    rows: NDArray[np.int32],
    first: int,
    last: int,
    other_keys: NDArray[np.uint64],
    other_rows: NDArray[np.int32],
    count: NDArray[np.int32],
) -> int:
    """Sort ``rows[first:last]`` and their keys in place by rising key, ties in the order in which they stand.

    Args:
        other_keys, other_rows: scratch as long as `keys`.
        count: (2 ** DIGIT,) scratch.
    """
    if last - first <= SMALL:
        for place in range(first + 1, last):
            key, row = keys[place], rows[place]
            before = place - 1
            while before >= first and keys[before] > key:
                keys[before + 1] = keys[before]
                rows[before + 1] = rows[before]
                before -= 1
            keys[before + 1] = key
            rows[before + 1] = row
        return 0
    varying = np.uint64(0)  # bits in which the keys differ; scores that were float32 leave half of them
    for place in range(first + 1, last):
        varying |= keys[place] ^ keys[first]
    mask = np.uint64((1 << DIGIT) - 1)
    passes = 0
    for shift in range(0, 64, DIGIT):
        digit = np.uint64(shift)
        if (varying >> digit) & mask == 0:
            continue
        count[:] = 0
        for place in range(first, last):
            count[(keys[place] >> digit) & mask] += 1
        total = first
        for value in range(count.size):
            total, count[value] = total + count[value], total
        for place in range(first, last):
            value = (keys[place] >> digit) & mask
            target = count[value]
            count[value] = target + 1
            other_keys[target] = keys[place]
            other_rows[target] = rows[place]
        keys, other_keys = other_keys, keys
        rows, other_rows = other_rows, rows
        passes += 1
    if passes % 2 == 1:  # the result lies in the scratch
        other_keys[first:last] = keys[first:last]
        other_rows[first:last] = rows[first:last]
    return passes


@kernel
def sort_classes(
    start: NDArray[np.int64],
    classes: NDArray[np.int32],
    bits: NDArray[np.uint64],
    rows: NDArray[np.int32],
    keys: NDArray[np.uint64],
    other_keys: NDArray[np.uint64],
    other_rows: NDArray[np.int32],
    count: NDArray[np.int32],
) -> int:
    """Sort the rows of each of `classes` by falling score; ties stay as they stand.

    Args:
        start: (K + 1,) where each class begins in `rows`.
        classes: those to sort: the others may be sorted by another thread meanwhile.
        rows: (D,) sorted in place.
        keys, other_keys, other_rows: scratch of D; count: scratch of 2 ** DIGIT.
    """
    for label in classes:
        first, last = start[label], start[label + 1]
        falling_keys(bits, rows, first, last, keys)
        sort_segment(keys, rows, first, last, other_keys, other_rows, count)
    return len(classes)
