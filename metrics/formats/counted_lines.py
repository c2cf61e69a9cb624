"""Text files of one image whose first line is the number of its boxes, one in each further line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.untrusted import read_head, read_text
from metrics.plurals import agree, plural


def begins_with_count(file: Path, is_box: Callable[[list[bytes]], bool]) -> bool:
    """Whether the first line of a file is a number, and the second one a box; also where the number is 0 and there is none."""
    lines = [line.split() for line in read_head(file, 400).splitlines() if line.strip()]
    if not lines or len(lines[0]) != 1 or not lines[0][0].isdigit():
        return False
    return is_box(lines[1]) if len(lines) > 1 else int(lines[0][0]) == 0


def counted_lines(file: Path) -> list[tuple[str, list[str]]]:
    """The place and the words of each line after the first.

    Raises:
        InputError: the first line is not the number of the others.
    """
    lines = [
        (f"{file}:{k}", line.split())
        for k, line in enumerate(read_text(file).splitlines(), 1)
        if line.strip()
    ]
    if not lines:
        return []
    (place, first), *rows = lines
    if len(first) != 1 or not first[0].isdecimal():
        raise InputError(f"{place}: expected the number of boxes, got {' '.join(first)[:40]!r}")
    if first[0].lstrip("0") != str(len(rows)).lstrip("0"):
        raise InputError(
            f"{place}: {first[0][:20]} as the number of boxes, but there {agree(len(rows), 'is', 'are')} {plural(len(rows), 'line')} of boxes; correct the number, or "
            f"add the lines that are missing"
        )
    return rows
