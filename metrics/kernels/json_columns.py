"""Columns straight from JSON text: the fast way to read a large, regular list of objects.

A full parser makes a dict of every object, which costs ten times the memory of the file and most of the time.
`metrics.kernels.json_objects` reads the columns instead, on all cores. Where it is unsure of anything, the functions
here return None, and the caller asks the full parser: what is read is the same.
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
from metrics.kernels.json_numbers import UNSURE, powers_of_five, powers_of_ten
from metrics.kernels.threads import for_each, thread_count

SMALLEST = 2**20
"""Bytes below which the full parser is as fast, and needs no compiled code."""

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
    """A key of the objects, and what is under it.

    Attributes:
        key: in ASCII, without escapes.
        kind: ``integer``: int64. ``number``: float64. ``box``: (4,) float64. ``span``: where a string stands in the
            text, its quotes included, (2,) int64.
        required: whether each object has it. Only a number may be missing; it is NaN then.
    """

    key: str
    kind: Literal["integer", "number", "box", "span"]
    required: bool = True


Columns = dict[str, NDArray[Any]]


def scan_file(path: Path, columns: Sequence[Column]) -> Columns | None:
    """The columns of a file that holds one list of objects; None where it must be parsed in full.

    The file is read in blocks, so that the text is never whole in memory.
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
            place = file.seek(size * part // parts)
            between = _BETWEEN_OBJECTS.search(file.read(_BLOCK))
            if between and place + between.end() - 1 > starts[-1]:
                starts.append(place + between.end() - 1)
    sizes = [stop - start for start, stop in zip(starts, [*starts[1:], size], strict=True)]
    stops = [*starts[1:], -1]
    # about how many objects there are, and only where they grow shorter further down, how many there can be
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
    """The columns of the list of objects at `start`, and where it ends; None where it must be parsed in full.

    Args:
        text: (n + 1,) bytes in memory, the last of them 0.
        start: the place of the list's opening bracket.
        columns: what to read.
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
    """The values of one JSON object: those of `lists` as columns, others (and lists that need it) as a slice of text.

    Args:
        text: (n + 1,) bytes in memory, the last of them 0.
        lists: for some keys the columns of the list of objects there.

    Returns:
        None where the text must be parsed in full.
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
    """The columns as they fill, part by part of the text: each part has rows of its own, closed up in the end."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[int]) -> None:
        self._wanted = columns
        # memory that is never written is never taken
        self.first = np.concatenate([[0], np.cumsum(rows)]).tolist()
        self.counts = [0] * len(rows)
        self._capacity: int = self.first[-1]
        wide = [2 if column.kind == "span" else 1 for column in columns if column.kind in ("integer", "span")]
        self._integers = np.empty(self._capacity * sum(wide), np.int64)
        self._numbers = np.empty(self._capacity * sum(column.kind == "number" for column in columns))
        self._boxes = np.empty(4 * self._capacity * any(column.kind == "box" for column in columns))
        self._slots = []
        places = {"integer": 0, "number": 0, "box": 0}
        for column in columns:
            kind = "integer" if column.kind == "span" else column.kind
            self._slots.append(places[kind])
            places[kind] += 2 if column.kind == "span" else 1

    def scan(self, text: NDArray[np.uint8], end: int, stop: int, part: int, state: NDArray[np.int64]) -> int:
        """The kernel, on one part."""
        keys = np.zeros((len(self._wanted), max(len(column.key) for column in self._wanted)), np.uint8)
        for row, column in enumerate(self._wanted):
            keys[row, : len(column.key)] = list(column.key.encode())
        return json_objects.scan(
            text,
            end,
            stop,
            keys,
            np.array([len(column.key) for column in self._wanted]),
            np.array([_KINDS[column.kind] for column in self._wanted]),
            np.array(self._slots),
            sum(1 << row for row, column in enumerate(self._wanted) if column.required),
            *_powers(),
            self._integers,
            self._numbers,
            self._numbers.view(np.int64),
            self._boxes,
            self._boxes.view(np.int64),
            self._capacity,
            self.first[part + 1],
            state,
        )

    def columns(self) -> Columns:
        """What was read, without the gaps between the parts."""
        count = sum(self.counts)
        columns: Columns = {}
        for column, slot in zip(self._wanted, self._slots, strict=True):
            if column.kind == "box":
                columns[column.key] = self._closed_up(self._boxes, 4)[: 4 * count].reshape(count, 4)
            elif column.kind == "span":
                halves = [self._closed_up(self._integers, 1, slot + i)[:count] for i in range(2)]
                columns[column.key] = np.stack(halves, axis=1)
            else:
                values = self._numbers if column.kind == "number" else self._integers
                columns[column.key] = self._closed_up(values, 1, slot)[:count]
        return columns

    def _closed_up(self, values: NDArray[Any], width: int, slot: int = 0) -> NDArray[Any]:
        column = values[slot * self._capacity * width : (slot + 1) * self._capacity * width]
        row = 0
        for first, count in zip(self.first, self.counts, strict=False):
            # views of memory move without a copy, also where they overlap
            column.data[row * width : (row + count) * width] = column.data[
                first * width : (first + count) * width
            ]
            row += count
        return column


def _shortest(columns: Sequence[Column]) -> int:
    """Bytes that an object has at least: its keys, and a digit for each number."""
    return 2 + sum(
        len(column.key) + (13 if column.kind == "box" else 5) for column in columns if column.required
    )


@cache
def _powers() -> tuple[NDArray[np.float64], NDArray[np.uint64]]:
    return powers_of_ten(), powers_of_five()


def _list_start(head: bytes) -> int | None:
    """Where the first object of a file's list begins."""
    begin = re.match(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\[[ \t\r\n]*\{", head)
    return begin.end() - 1 if begin else None


def _scan_blocks(path: Path, store: _Store, task: tuple[int, tuple[int, int]]) -> int:
    """Read one part of a file, given where it starts and stops; where it ends, or `FULL` or `UNSURE`."""
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
