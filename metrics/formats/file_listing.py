"""Annotation files below a folder, as people see them: without hidden files, in any case of the suffix."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import refuse_binary
from metrics.notes import Note, report

_SUFFIXES = (
    ".json",
    ".jsonl",
    ".geojson",
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
_TRIED = 20
_LISTS = frozenset(
    ("classes.txt", "_classes.txt", "labels.txt", "train.txt", "val.txt", "valid.txt", "test.txt")
)


def top_folder(path: Path) -> Path:
    """The folder of a data set that is given as its folder or as a file in it."""
    return path if path.is_dir() else path.parent


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


def files_without_suffix(folder: Path) -> list[list[Path]]:
    """The visible files below a folder whose names have no point, by folder, sorted."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        files = [Path(parent, name) for name in sorted(names) if "." not in name]
        files = [file for file in files if not is_hidden(file.name) and file.is_file()]
        found += [files] if files else []
    return found


def image_text_files(folder: Path, pattern: str) -> list[Path]:
    """Text files that may each be of an image: `visible_files` without lists of classes or images."""
    return [file for file in visible_files(folder, pattern) if file.name.lower() not in _LISTS]


def recognised_text_files(path: Path, patterns: Sequence[str], is_ours: Callable[[Path], bool]) -> list[Path]:
    """The `image_text_files` of the first pattern of which one of the first files is recognised; none of a path that is a file.

    The others may be empty, as those of images without objects are.
    """
    if path.is_file():
        return []
    for pattern in patterns:
        files = image_text_files(path, pattern)
        if any(map(is_ours, files[:_TRIED])):
            return files
    return []


def is_most(facts: Iterable[bool]) -> bool:
    """Whether something is true of more than half: of files that are recognised by a layout that others are similar to."""
    each = list(facts)
    return sum(each) > len(each) / 2


def unwrapped(path: Path) -> Path:
    """The folder in a folder that has nothing else, as archives unpack to; the path itself otherwise.

    A folder whose name has a meaning in some layout, such as ``train``, ``images`` or ``VOC2012``, is not entered.
    """
    while path.is_dir():
        entries = [entry for entry in path.iterdir() if not is_hidden(entry.name)]
        if len(entries) != 1 or not entries[0].is_dir() or _has_meaning(entries[0].name):
            return path
        path = entries[0]
    return path


def report_unwrapped(given: Path, inner: Path) -> None:
    """Report that a folder in the given one is read, if it is another."""
    if given != inner:
        text = f"{given}: has nothing but the folder {inner.relative_to(given)}, which is read"
        report(Note("inner_folder", text, str(inner)))


def _has_meaning(name: str) -> bool:
    return parse_purpose(name) is not None or _MEANINGS.fullmatch(name.lower()) is not None


_MEANINGS = re.compile(
    "images?|img|data|datasets?|labels?|labeltxt.*|label_2|image_2|ann|annotations?|jpegimages|voc.*|oid.*|obj_.*_data|preds"
)


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
