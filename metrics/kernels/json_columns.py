"""Fast reading of columns from the JSON text of a large, regular list of objects.

A full parser makes a dict of every object, which takes ten times the memory of the file and most of the time.
`metrics.kernels.json_objects` reads the columns instead, on all cores. Where it is unsure, the functions here return
None, and the caller uses the full parser, with the same result.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.kernels import json_objects
from metrics.kernels.json_numbers import UNSURE, Powers, make_doubles, powers_of_five, powers_of_ten
from metrics.kernels.threads import for_each, thread_count

SMALLEST = 2**20
"""Bytes below which the full parser is as fast."""

_BLOCK = 2**20
_LONGEST_OBJECT = 2**26
_SMALLEST_PART = 2**22
_BETWEEN_OBJECTS = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*\{")
_KINDS = {
    "integer": json_objects.INTEGER,
    "number": json_objects.NUMBER,
    "box": json_objects.BOX,
    "span": json_objects.SPAN,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A key of the objects, and the kind of its values.

    Attributes:
        key: in ASCII, without escapes.
        kind: ``integer``: int64. ``number``: float64. ``box``: (4,) float64. ``span``: (2,) int64, range of
            a string in the text, including its quotes.
        required: whether each object has it. Only numbers may be missing; they are then NaN.
    """

    key: str
    kind: Literal["integer", "number", "box", "span"]
    required: bool = True


Columns = dict[str, NDArray[Any]]


def scan_file(path: Path, columns: Sequence[Column]) -> Columns | None:
    """The columns of a file that contains one list of objects; None if it must be parsed in full.

    The file is read in blocks, so that its text is never completely in memory.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_BLOCK)
        start = _list_start(head)
        if start is None:
            return None
        starts = [start]
        parts = min(thread_count(), size // _SMALLEST_PART)
        for part in range(1, parts):
            offset = file.seek(size * part // parts)
            between = _BETWEEN_OBJECTS.search(file.read(_BLOCK))
            if between and offset + between.end() - 1 > starts[-1]:
                starts.append(offset + between.end() - 1)
    sizes = [stop - start for start, stop in zip(starts, [*starts[1:], size], strict=True)]
    stops = [*starts[1:], -1]
    # estimated number of objects; if later objects are shorter, the maximum number
    for density in (1.1 * head.count(f'"{columns[0].key}"'.encode()) / len(head), 1 / _shortest(columns)):
        store = _Store(columns, [int(size * density) + 1000 for size in sizes])
        ends = for_each(partial(_scan_blocks, path, store), list(enumerate(zip(starts, stops, strict=True))))
        if json_objects.FULL not in ends:
            break
    if ends[-1] < 0 or ends[:-1] != starts[1:]:
        return None
    with path.open("rb") as file:
        file.seek(ends[-1])
        if size - ends[-1] > _BLOCK or file.read().strip():
            return None
    return store.columns()


def scan_list(text: NDArray[np.uint8], start: int, columns: Sequence[Column]) -> tuple[Columns, int] | None:
    """The columns of the list of objects at `start`, and its end; None if it must be parsed in full.

    Args:
        text: (n + 1,) bytes in memory, the last of them 0.
        start: position of the list's opening bracket.
        columns: to read.
    """
    first = json_objects.skip_space(text, start + 1)
    if text[start] != ord("[") or text[first] != ord("{"):
        return None
    store = _Store(columns, [(len(text) - first) // _shortest(columns) + 1])
    state = np.array([first, 0], np.int64)
    if store.scan(text, len(text) - 1, -1, 0, state) != json_objects.ENDED:
        return None
    store.counts[0] = int(state[1])
    return store.columns(), int(state[0])


def top_level(
    text: NDArray[np.uint8], lists: dict[str, Sequence[Column]]
) -> dict[str, Columns | slice] | None:
    """The values of one JSON object: those of `lists` as columns, others (and irregular lists) as a slice of the text.

    Args:
        text: (n + 1,) bytes in memory, the last of them 0.
        lists: by key, the columns of lists of objects.

    Returns:
        None if the text must be parsed in full.
    """
    at = json_objects.skip_space(text, 0)
    if text[at] != ord("{"):
        return None
    values: dict[str, Columns | slice] = {}
    at = json_objects.skip_space(text, at + 1)
    while True:
        begin = json_objects.skip_key(text, at)
        if begin < 0:
            return None
        key = text[at:begin].tobytes().rstrip(b" \t\r\n:").strip(b'"').decode("ascii")
        if key in values or "\\" in key:
            return None
        scanned = scan_list(text, begin, lists[key]) if key in lists else None
        if scanned is not None:
            values[key], at = scanned
        else:
            at = json_objects.skip_value(text, begin)
            if at < 0:
                return None
            values[key] = slice(begin, at)
        at = json_objects.skip_space(text, at)
        if text[at] == ord(","):
            at = json_objects.skip_space(text, at + 1)
        elif text[at] == ord("}"):
            return values if json_objects.skip_space(text, at + 1) == len(text) - 1 else None
        else:
            return None


class _Store:
    """Memory of the columns. Each part of the text has its own rows; gaps between them are closed at the end."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[int]) -> None:
        self._columns = columns
        # memory that is never written is not allocated by the system
        self.first = np.concatenate([[0], np.cumsum(rows)]).tolist()
        self.counts = [0] * len(rows)
        self._capacity: int = self.first[-1]
        wide = [2 if column.kind == "span" else 1 for column in columns if column.kind in ("integer", "span")]
        self._integers = np.empty(self._capacity * sum(wide), np.int64)
        self._numbers = make_doubles(self._capacity * sum(column.kind == "number" for column in columns))
        self._boxes = make_doubles(4 * self._capacity * any(column.kind == "box" for column in columns))
        self._slots = []
        used = {"integer": 0, "number": 0, "box": 0}
        for column in columns:
            kind = "integer" if column.kind == "span" else column.kind
            self._slots.append(used[kind])
            used[kind] += 2 if column.kind == "span" else 1

    def scan(self, text: NDArray[np.uint8], end: int, stop: int, part: int, state: NDArray[np.int64]) -> int:
        """Scan one part."""
        keys = np.zeros((len(self._columns), max(len(column.key) for column in self._columns)), np.uint8)
        for row, column in enumerate(self._columns):
            keys[row, : len(column.key)] = list(column.key.encode())
        return json_objects.scan(
            text,
            end,
            stop,
            json_objects.ColumnSpec(
                keys,
                np.array([len(column.key) for column in self._columns]),
                np.array([_KINDS[column.kind] for column in self._columns]),
                np.array(self._slots),
                sum(1 << row for row, column in enumerate(self._columns) if column.required),
                _powers(),
            ),
            json_objects.ColumnValues(self._integers, self._numbers, self._boxes, self._capacity),
            self.first[part + 1],
            state,
        )

    def columns(self) -> Columns:
        """The columns, without gaps between the parts."""
        count = sum(self.counts)
        columns: Columns = {}
        for column, slot in zip(self._columns, self._slots, strict=True):
            if column.kind == "box":
                columns[column.key] = self._close_gaps(self._boxes.values, 4)[: 4 * count].reshape(count, 4)
            elif column.kind == "span":
                halves = [self._close_gaps(self._integers, 1, slot + i)[:count] for i in range(2)]
                columns[column.key] = np.stack(halves, axis=1)
            else:
                values = self._numbers.values if column.kind == "number" else self._integers
                columns[column.key] = self._close_gaps(values, 1, slot)[:count]
        return columns

    def _close_gaps(self, values: NDArray[Any], width: int, slot: int = 0) -> NDArray[Any]:
        column = values[slot * self._capacity * width : (slot + 1) * self._capacity * width]
        row = 0
        for first, count in zip(self.first, self.counts, strict=False):
            # memoryviews move without a copy, even if they overlap
            column.data[row * width : (row + count) * width] = column.data[
                first * width : (first + count) * width
            ]
            row += count
        return column


def _shortest(columns: Sequence[Column]) -> int:
    """Minimum number of bytes of an object: its keys, and a digit for each number."""
    return 2 + sum(
        len(column.key) + (13 if column.kind == "box" else 5) for column in columns if column.required
    )


@cache
def _powers() -> Powers:
    return Powers(powers_of_ten(), powers_of_five())


def _list_start(head: bytes) -> int | None:
    """Position of the first object in a file's list."""
    begin = re.match(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\[[ \t\r\n]*\{", head)
    return begin.end() - 1 if begin else None


def _scan_blocks(path: Path, store: _Store, task: tuple[int, tuple[int, int]]) -> int:
    """Read one part of a file, given its start and stop; return its end, or `FULL` or `UNSURE`."""
    part, (start, stop) = task
    state = np.array([0, store.first[part]], np.int64)
    block = np.empty(_BLOCK + 1, np.uint8)
    filled = 0
    origin = start  # of the block in the file
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while True:
            read = file.readinto(block[filled:-1].data)
            filled += read or 0
            block[filled] = 0
            status = store.scan(block, filled, stop - origin if stop >= 0 else -1, part, state)
            consumed = int(state[0])
            if status in (json_objects.ENDED, json_objects.STOPPED):
                store.counts[part] = int(state[1]) - store.first[part]
                return origin + consumed
            if status in (UNSURE, json_objects.FULL):
                return status
            if not read:
                return UNSURE
            filled -= consumed
            origin += consumed
            if not consumed:
                if len(block) > _LONGEST_OBJECT:
                    return UNSURE
                block = np.concatenate([block, block])
            else:
                block[:filled] = block[consumed : consumed + filled]
            state[0] = 0
