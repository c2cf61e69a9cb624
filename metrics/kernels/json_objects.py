"""Kernels that read columns from the JSON text of a list of objects with known keys, byte by byte.

They read what detectors and tools usually write, with the same result as a full parser to the last bit. For anything
else (an escape in a key, a repeated key, a number of more than 18 digits, invalid JSON) they return `UNSURE`, and the
caller uses a full parser, which also reports errors.

The text ends with a byte 0, which never occurs in JSON: every loop stops there, and only then checks for the end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel
from metrics.kernels.json_numbers import UNSURE, Doubles, Powers, read_integer, read_number

MORE = -2
"""The text ends within an object."""

FULL = -3
"""There are more objects than rows."""

STOPPED = 1
ENDED = 2

_LONGEST_VALUE = 2**20

INTEGER, NUMBER, BOX, SPAN = 0, 1, 2, 3
"""Kinds of columns: an integer, a number, four numbers, the range of a string's bytes."""


class ColumnSpec(NamedTuple):
    """The columns to read.

    Attributes:
        keys: (K, L) bytes of the keys.
        lengths: (K,) number of bytes of each key.
        kinds: (K,) kind of each column.
        slots: (K,) index of the column among those of its kind.
        required: bit k tells whether each object has key k. A number that is not required is NaN where missing.
        powers: tables for reading numbers.
    """

    keys: NDArray[np.uint8]
    lengths: NDArray[np.int64]
    kinds: NDArray[np.int64]
    slots: NDArray[np.int64]
    required: int
    powers: Powers


class ColumnValues(NamedTuple):
    """Memory of the columns.

    Attributes:
        integers: one column after another, each of `capacity` rows; a span takes two.
        numbers: one column after another, each of `capacity` rows.
        boxes: (4 * capacity,).
        capacity: rows of a column.
    """

    integers: NDArray[np.int64]
    numbers: Doubles
    boxes: Doubles
    capacity: int


@kernel
def skip_space(text: NDArray[np.uint8], at: int) -> int:
    """Position of the next byte that is not white space."""
    while text[at] == 32 or text[at] == 10 or text[at] == 13 or text[at] == 9:
        at += 1
    return at


@kernel
def skip_string(text: NDArray[np.uint8], at: int) -> int:
    """Position after the closing quote of a string with first byte `at`; `UNSURE` for an invalid escape."""
    while True:
        byte = text[at]
        if byte == 34:
            return at + 1
        if byte < 32 or byte > 126:  # non-ASCII must be valid UTF-8: the full parser checks it
            return UNSURE
        at += 1
        if byte == 92:
            escape = text[at]
            at += 1
            if escape == 117:
                for _ in range(4):
                    digit = text[at]
                    if not (48 <= digit <= 57 or 65 <= digit <= 70 or 97 <= digit <= 102):
                        return UNSURE
                    if digit == 100 or digit == 68:  # possibly half of a surrogate pair
                        return UNSURE
                    at += 1
            elif not (
                escape == 34
                or escape == 92
                or escape == 47
                or escape == 98
                or escape == 102
                or escape == 110
                or escape == 114
                or escape == 116
            ):
                return UNSURE


@kernel
def skip_digits(text: NDArray[np.uint8], at: int) -> int:
    """Position after a run of digits."""
    while 48 <= text[at] <= 57:
        at += 1
    return at


@kernel
def skip_scalar(text: NDArray[np.uint8], at: int) -> int:
    """Position after the number, true, false, null or string at `at`, or `UNSURE`."""
    byte = text[at]
    if byte == 34:
        return skip_string(text, at + 1)
    if byte == 116 and text[at + 1] == 114 and text[at + 2] == 117 and text[at + 3] == 101:
        return at + 4
    if byte == 110 and text[at + 1] == 117 and text[at + 2] == 108 and text[at + 3] == 108:
        return at + 4
    if (
        byte == 102
        and text[at + 1] == 97
        and text[at + 2] == 108
        and text[at + 3] == 115
        and text[at + 4] == 101
    ):
        return at + 5
    if byte == 45:
        at += 1
    if text[at] == 48:
        at += 1
    else:
        first = at
        at = skip_digits(text, at)
        if at == first:
            return UNSURE
    if text[at] == 46:
        first = at + 1
        at = skip_digits(text, first)
        if at == first:
            return UNSURE
    if text[at] == 101 or text[at] == 69:
        at += 1
        if text[at] == 45 or text[at] == 43:
            at += 1
        # a longer exponent may be infinite, which the full parser refuses
        first = at
        at = skip_digits(text, at)
        if at == first or at - first > 2:
            return UNSURE
    return at


@kernel
def skip_value(text: NDArray[np.uint8], at: int) -> int:
    """Position after the value of any kind at `at`; `UNSURE` if it is invalid or nested more than 60 levels deep."""
    depth = 0
    objects = 0  # bit d tells whether the container at depth d is an object
    while True:
        # start of a value
        byte = text[at]
        if byte == 91 or byte == 123:
            depth += 1
            if depth > 60:
                return UNSURE
            is_object = byte == 123
            objects = objects | (1 << depth) if is_object else objects & ~(1 << depth)
            at = skip_space(text, at + 1)
            if text[at] == (125 if is_object else 93):
                depth -= 1
                at += 1
            else:
                if is_object:
                    at = skip_key(text, at)
                    if at < 0:
                        return UNSURE
                continue
        else:
            at = skip_scalar(text, at)
            if at < 0:
                return UNSURE
        # end of a value, and of the containers that end with it
        while True:
            if depth == 0:
                return at
            at = skip_space(text, at)
            is_object = (objects >> depth) & 1 == 1
            if text[at] == 44:
                at = skip_space(text, at + 1)
                if is_object:
                    at = skip_key(text, at)
                    if at < 0:
                        return UNSURE
                break
            if text[at] != (125 if is_object else 93):
                return UNSURE
            depth -= 1
            at += 1


@kernel
def skip_key(text: NDArray[np.uint8], at: int) -> int:
    """Position after a key, its colon and white space, or `UNSURE`."""
    if text[at] != 34:
        return UNSURE
    at = skip_string(text, at + 1)
    if at < 0:
        return UNSURE
    at = skip_space(text, at)
    if text[at] != 58:
        return UNSURE
    return skip_space(text, at + 1)


@kernel
def find_key(text: NDArray[np.uint8], first: int, last: int, columns: ColumnSpec, guess: int) -> int:
    """Index of the key that equals bytes ``first:last``, or -1; `guess` is compared first."""
    count = len(columns.lengths)
    for step in range(count):
        which = (guess + step) % count
        if columns.lengths[which] == last - first:
            offset = 0
            while offset < last - first and columns.keys[which, offset] == text[first + offset]:
                offset += 1
            if offset == last - first:
                return which
    return -1


@kernel
def scan(
    text: NDArray[np.uint8],
    end: int,
    stop: int,
    columns: ColumnSpec,
    values: ColumnValues,
    last_row: int,
    state: NDArray[np.int64],
) -> int:
    """Read consecutive objects into columns.

    Args:
        text: bytes.
        end: position of the final 0.
        stop: position at which another scan begins, and which must be between two objects; -1 for none.
        columns: to read.
        values: is written.
        last_row: rows below it may be written.
        state: (2,) position of an object's ``{``, and the next row; becomes those after the last complete object.

    Returns:
        `STOPPED` at `stop`, `ENDED` at the end of the list (state is after its bracket), `MORE`, `FULL`, or `UNSURE`.
    """
    lengths, kinds, slots = columns.lengths, columns.kinds, columns.slots
    integers, numbers, boxes, capacity = values.integers, values.numbers, values.boxes, values.capacity
    at, row = state[0], state[1]
    guess = 0
    while True:
        at = skip_space(text, at)  # a block may begin within the white space between two objects
        state[0], state[1] = at, row
        if at == stop:
            return STOPPED
        if stop >= 0 and at > stop:
            return UNSURE
        if row >= last_row:
            return FULL
        if text[at] != 123:
            return MORE if at >= end else UNSURE
        for which in range(len(lengths)):
            if kinds[which] == NUMBER:
                numbers.values[slots[which] * capacity + row] = np.nan
        seen = 0
        at = skip_space(text, at + 1)
        while True:
            if text[at] != 34:
                return MORE if at >= end else UNSURE
            at += 1
            first = at
            while text[at] != 34 and text[at] >= 32 and text[at] != 92 and text[at] < 127:
                at += 1
            if text[at] != 34:
                return MORE if at >= end else UNSURE
            which = find_key(text, first, at, columns, guess)
            at = skip_space(text, at + 1)
            if text[at] != 58:
                return MORE if at >= end else UNSURE
            at = skip_space(text, at + 1)
            before = at
            if which < 0:
                at = skip_value(text, at)
            else:
                guess = which + 1
                if (seen >> which) & 1 == 1:
                    return UNSURE
                seen |= 1 << which
                if kinds[which] == INTEGER:
                    at = read_integer(text, at, integers, slots[which] * capacity + row)
                elif kinds[which] == NUMBER:
                    at = read_number(text, at, columns.powers, numbers, slots[which] * capacity + row)
                elif kinds[which] == SPAN:
                    integers[slots[which] * capacity + row] = at
                    at = skip_string(text, at + 1) if text[at] == 34 else UNSURE
                    integers[(slots[which] + 1) * capacity + row] = at
                elif text[at] == 91:
                    for side in range(4):
                        at = skip_space(text, at + 1)
                        at = read_number(text, at, columns.powers, boxes, 4 * row + side)
                        if at < 0:
                            break
                        at = skip_space(text, at)
                        if text[at] != (93 if side == 3 else 44):
                            at = UNSURE
                            break
                    at = at + 1 if at >= 0 else UNSURE
                else:
                    at = UNSURE
            if at < 0:
                # cut off or irregular: the latter, if enough text follows
                return MORE if end - before < _LONGEST_VALUE else UNSURE
            at = skip_space(text, at)
            if text[at] == 44:
                at = skip_space(text, at + 1)
            elif text[at] == 125:
                break
            else:
                return MORE if at >= end else UNSURE
        if seen & columns.required != columns.required:
            return UNSURE
        at = skip_space(text, at + 1)
        row += 1
        if text[at] == 44:
            at += 1
        elif text[at] == 93:
            state[0], state[1] = at + 1, row
            return ENDED
        else:
            return MORE if at >= end else UNSURE
