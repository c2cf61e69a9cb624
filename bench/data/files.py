"""From the names in annotations to files on disk, never outside the folder that was given, never over a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.images import SUFFIXES
from metrics.errors import InputError
from metrics.formats.untrusted import resolve_under


@dataclass(frozen=True, slots=True)
class Found:
    """Where the images of a list are.

    Attributes:
        folder: in which they were found.
        paths: of each name, in order; where there is no such file, the path at which it was looked for.
    """

    folder: Path
    paths: tuple[Path, ...]


def find_images(names: Sequence[str], folders: Iterable[Path], what: str) -> Found:
    """The folder that holds the images of these names, and the path of each.

    The first of `folders` that has the first few names, or else the one that has most of them.

    Args:
        names: file names as annotations have them.
        folders: where to look, the likeliest first; those that do not exist are passed over.
        what: whose images they are, for the message.

    Raises:
        InputError: no folder has any of the first few, or a name is unsafe.
    """
    tried = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    sample = list(names[:8])
    best, most = None, 0
    for folder in tried:
        count = sum(resolve_under(folder, name).is_file() for name in sample)
        if count > most:
            best, most = folder, count
        if count == len(sample):
            break
    if best is None:
        if not names and tried:
            return Found(tried[0], ())
        places = ", ".join(str(folder) for folder in tried) or "no folder"
        raise InputError(
            f"{what}: image {sample[0] if sample else ''!r} is in none of {places}; "
            f"set data.images to the folder that holds the images"
        )
    return Found(best, tuple(resolve_under(best, name) for name in names))


def image_files(folder: Path, recursive: bool = False) -> list[Path]:
    """The files in a folder that are called like images, in the order of their names; hidden ones left out."""
    entries = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(
        path
        for path in entries
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
