"""Image files of a data set: never outside the folder that was given, never over a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.data.images import IMAGE_SUFFIXES
from metrics.errors import InputError
from metrics.formats.untrusted import resolve_under


def find_images(names: Sequence[str], folders: Iterable[Path], what: str) -> tuple[Path, ...]:
    """Paths of images by name, in the first folder that has the first few names, or else in the one with most of them.

    Args:
        names: file names as in the annotations.
        folders: candidate folders, the likeliest first; those that do not exist are skipped.
        what: whose images they are, for the error message.

    Returns:
        The path of each name, in order. An image of the list may still be missing: then there is no file at its path.

    Raises:
        InputError: no folder has any of the first few images, or a name is unsafe.
    """
    existing = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    sample = list(names[:8])
    best, most = None, 0
    for folder in existing:
        count = sum(resolve_under(folder, name).is_file() for name in sample)
        if count > most:
            best, most = folder, count
        if count == len(sample):
            break
    if best is None:
        if not names and existing:
            return ()
        searched = ", ".join(str(folder) for folder in existing) or "no folder"
        raise InputError(
            f"{what}: image {sample[0] if sample else ''!r} not found; searched {searched}; "
            f"set data.images to the folder that holds the images"
        )
    return tuple(resolve_under(best, name) for name in names)


def image_files(folder: Path, recursive: bool = False) -> list[Path]:
    """Image files in a folder, sorted by path; hidden files are left out."""
    entries = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(
        path
        for path in entries
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
