"""Which image files are meant: files, folders and patterns, each file once and with a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple

from metrics.errors import InputError
from metrics.formats.image_search import image_files, report_unreadable_kinds
from metrics.real_path import real_path


class ImageFile(NamedTuple):
    """An image file.

    Attributes:
        path: of the file.
        name: relative to the folder that was given, with slashes; of a single file its file name.
    """

    path: Path
    name: str


def find_images(sources: Sequence[str | Path]) -> list[ImageFile]:
    """The image files of all sources, each once, in the order of the sources and sorted by name within a folder.

    Args:
        sources: image files, folders (searched with their subfolders), or patterns such as ``photos/*.jpg``.

    Raises:
        InputError: a source does not exist, or has no images; or two files would have the same name.
    """
    found: dict[Path, ImageFile] = {}
    for source in sources:
        for each in _of_source(source):
            found.setdefault(real_path(each.path), each)
    by_name: dict[str, ImageFile] = {}
    for each in found.values():
        other = by_name.setdefault(each.name, each)
        if other is not each:
            raise InputError(
                f"{each.path} and {other.path}: two images named {each.name}; give their common folder instead"
            )
    return [*found.values()]


def _of_source(source: str | Path) -> list[ImageFile]:
    path = Path(source)
    if path.is_dir():
        files = image_files(path, recursive=True)
        if not files:
            report_unreadable_kinds(path, str(path))
            raise InputError(
                f"{path}: no images in this folder; give image files, or a folder that holds some"
            )
        return [ImageFile(file, file.relative_to(path).as_posix()) for file in files]
    if path.is_file():
        return [ImageFile(path, path.name)]
    if has_magic(str(source)):
        matching = [Path(file) for file in sorted(glob(str(source), recursive=True))]
        if files := [file for file in matching if file.is_file()]:
            return [ImageFile(file, file.name) for file in files]
        raise InputError(f"{source}: no file matches this pattern")
    raise InputError(f"{path}: no such file or folder")
