"""Leakage: images, or groups of images, that are in two splits, so that memorised objects count as detected."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.notes import Note
from metrics.plurals import plural

_END = 4096


def find_leaks(
    splits: Mapping[str, Sequence[Path]],
    groups: Mapping[str, Sequence[str]] | None = None,
    contents: Mapping[Path, Hashable] | None = None,
) -> list[Note]:
    """A note for each pair of splits that share images (``leakage``) or groups (``group_leakage``), and for each split that
    has an image twice (``repeated_images``).

    Files with identical bytes are the same image. Only files of equal size are read: first their ends, then the whole
    files if the ends are equal. Re-encoded copies are not detected.

    Args:
        splits: image files of each split.
        groups: group of each image of each split; None without groups.
        contents: as `content_keys` returns them for these files, if they are known already.

    Returns:
        Notes whose `values` have the number of ``images``, of the second split of a pair, and of ``groups``.
    """
    if contents is None:
        contents = content_keys(path for paths in splits.values() for path in paths)
    keys = {name: [contents[path] for path in paths] for name, paths in splits.items()}
    notes = []
    for name, paths in splits.items():
        repeated = _repeated(paths)
        if repeated:
            names = ", ".join(path.name for path in repeated[:5])
            text = f"{name}: {plural(len(repeated), 'image file has', 'image files have')} more than one id: {names}"
            notes.append(Note("repeated_images", text, name, {"images": len(repeated)}))
    for first, second in combinations(splits, 2):
        of_first: dict[object, Path] = {}
        for key, path in zip(keys[first], splits[first], strict=True):
            of_first.setdefault(key, path)
        shared = [
            (of_first[key], path)
            for key, path in zip(keys[second], splits[second], strict=True)
            if key in of_first
        ]
        if shared:
            names = ", ".join(a.name if a.name == b.name else f"{a.name} = {b.name}" for a, b in shared[:5])
            text = f"{first} and {second} share {plural(len(shared), 'image')}, so results on {second} are too optimistic: {names}"
            notes.append(Note("leakage", text, f"{first}, {second}", {"images": len(shared)}))
        if groups is not None:
            common = set(groups[first]) & set(groups[second])
            images = sum(group in common for group in groups[second])
            if common:
                names = ", ".join(sorted(common)[:5])
                text = (
                    f"{first} and {second} share {plural(len(common), 'group')} of images (data.groups), with {plural(images, 'image')} of "
                    f"{second}, so results on {second} are too optimistic: {names}"
                )
                values = {"groups": len(common), "images": images}
                notes.append(Note("group_leakage", text, f"{first}, {second}", values))
    return notes


def occurring_in(keys: Sequence[Hashable], others: Iterable[Hashable]) -> NDArray[np.bool_]:
    """(I,) whether each key is among the others."""
    known = set(others)
    return np.fromiter((key in known for key in keys), np.bool_, len(keys))


def content_keys(paths: Iterable[Path]) -> dict[Path, Hashable]:
    """A key for each file, equal for files with identical bytes; files whose size or ends are unique are not read."""
    files = set(paths)
    hashes = _content_hashes(files)
    return {path: hashes.get(path, path) for path in files}


def _repeated(paths: Sequence[Path]) -> list[Path]:
    seen: set[Path] = set()
    return [path for path in paths if path in seen or seen.add(path)]  # type: ignore[func-returns-value]


def _content_hashes(paths: set[Path]) -> dict[Path, str]:
    """Hash of each file that may have a copy; none for files whose size or ends are unique."""
    by_size: dict[int, list[tuple[Path, int]]] = defaultdict(list)
    for path in paths:
        try:
            status = path.stat()
        except OSError:  # missing files are reported elsewhere
            continue
        by_size[status.st_size].append((path, status.st_mtime_ns))
    hashes: dict[Path, str] = {}
    for size, same_size in by_size.items():
        if len(same_size) < 2:
            continue
        by_ends: dict[str, list[tuple[Path, int]]] = defaultdict(list)
        for path, changed in same_size:
            by_ends[_hash_ends(path, size, changed)].append((path, changed))
        for same_ends in by_ends.values():
            if len(same_ends) > 1:
                hashes |= {path: _hash_file(path, size, changed) for path, changed in same_ends}
    return hashes


@lru_cache(maxsize=1 << 18)
def _hash_ends(path: Path, size: int, changed: int) -> str:
    """Hash of the first and last bytes; `changed` invalidates the cache when a file is rewritten."""
    with path.open("rb") as file:
        head = file.read(_END)
        file.seek(max(size - _END, 0))
        return hashlib.sha256(head + file.read(_END)).hexdigest()


@lru_cache(maxsize=1 << 16)
def _hash_file(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
