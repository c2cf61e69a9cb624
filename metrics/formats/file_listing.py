"""Annotation files below a folder, as people see them: without hidden files, in any case of the suffix."""

from __future__ import annotations

import os
from pathlib import Path

from metrics.formats.untrusted import refuse_binary

_SUFFIXES = (
    ".json",
    ".jsonl",
    ".xml",
    ".csv",
    ".txt",
    ".yaml",
    ".yml",
    ".data",
    ".names",
    ".odgt",
    ".manifest",
)
_MOST = 200
_LISTS = frozenset(
    ("classes.txt", "_classes.txt", "labels.txt", "train.txt", "val.txt", "valid.txt", "test.txt")
)


def visible_files(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder that match a pattern, sorted; the suffix in any case of letters.

    Hidden files and folders, and ``__MACOSX``, which archives of macOS have with a ``._`` file for each file, are left out.
    """
    stem, dot, suffix = pattern.rpartition(".")
    if dot and suffix.isalpha():
        pattern = f"{stem}.{''.join(f'[{c.lower()}{c.upper()}]' for c in suffix)}"
    start = 0 if folder == Path() else len(str(folder)) + 1
    files = {str(file): file for file in folder.glob(pattern)}
    return [
        files[name]
        for name in sorted(files)
        if not any(map(is_hidden, name[start:].split(os.sep))) and os.path.isfile(name)
    ]


def image_text_files(folder: Path, pattern: str) -> list[Path]:
    """Text files that may each be of an image: `visible_files` without lists of classes or images."""
    return [file for file in visible_files(folder, pattern) if file.name.lower() not in _LISTS]


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or one that macOS adds to archives."""
    return name.startswith(".") or name == "__MACOSX"


def refuse_unreadable(path: Path) -> None:
    """Refuse a folder or file in which no format was recognised, if that is because of its encoding.

    Raises:
        InputError: an annotation file is UTF-16, an archive or a Git LFS pointer; it is named.
    """
    if path.is_file():
        refuse_binary(path)
        return
    for file in [file for file in visible_files(path, "**/*") if file.suffix.lower() in _SUFFIXES][:_MOST]:
        refuse_binary(file)
