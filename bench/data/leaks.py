"""Images that stand in two splits: what is learnt by heart there counts as found here."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path

_END = 4096


def find_leaks(splits: Mapping[str, Sequence[Path]]) -> list[str]:
    """A sentence for every pair of splits that share images, and for every split that has one twice.

    Two files are the same image if their bytes are. Only files of equal size are read, first their ends, and as a
    whole only where these agree too. Copies that were encoded anew are not found.

    Args:
        splits: the files of each split.
    """
    contents = _contents({path for paths in splits.values() for path in paths})
    sentences = []
    for name, paths in splits.items():
        twice = _repeated(paths)
        if twice:
            shown = ", ".join(path.name for path in twice[:5])
            sentences.append(f"{name}: {len(twice)} image files stand under more than one id: {shown}")
    for first, second in combinations(splits, 2):
        of_first: dict[object, Path] = {}
        for path in splits[first]:
            of_first.setdefault(contents.get(path, path), path)
        shared = [
            (of_first[key], path) for path in splits[second] if (key := contents.get(path, path)) in of_first
        ]
        if shared:
            shown = ", ".join(a.name if a.name == b.name else f"{a.name} = {b.name}" for a, b in shared[:5])
            sentences.append(
                f"{first} and {second} share {len(shared)} images, so that results on {second} are too good: {shown}"
            )
    return sentences


def _repeated(paths: Sequence[Path]) -> list[Path]:
    seen: set[Path] = set()
    return [path for path in paths if path in seen or seen.add(path)]  # type: ignore[func-returns-value]


def _contents(paths: set[Path]) -> dict[Path, str]:
    """A hash of each file that may have a copy; files whose size or ends are unique have none."""
    by_size: dict[int, list[tuple[Path, int]]] = defaultdict(list)
    for path in paths:
        try:
            status = path.stat()
        except OSError:  # a file that is missing has been told of elsewhere
            continue
        by_size[status.st_size].append((path, status.st_mtime_ns))
    hashes: dict[Path, str] = {}
    for size, same_size in by_size.items():
        if len(same_size) < 2:
            continue
        by_ends: dict[str, list[tuple[Path, int]]] = defaultdict(list)
        for path, changed in same_size:
            by_ends[_ends(path, size, changed)].append((path, changed))
        for same_ends in by_ends.values():
            if len(same_ends) > 1:
                hashes |= {path: _whole(path, size, changed) for path, changed in same_ends}
    return hashes


@lru_cache(maxsize=1 << 18)
def _ends(path: Path, size: int, changed: int) -> str:
    """Of the first and the last bytes; `changed` keeps a file that was rewritten from being taken for the old."""
    with path.open("rb") as file:
        head = file.read(_END)
        file.seek(max(size - _END, 0))
        return hashlib.sha256(head + file.read(_END)).hexdigest()


@lru_cache(maxsize=1 << 16)
def _whole(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
