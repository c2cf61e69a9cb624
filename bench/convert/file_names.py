"""Names of the image files of a written data set: without folders, distinct, and readable on every system."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path, PurePosixPath

from metrics.formats.image_search import IMAGE_SUFFIXES, name_key

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\/?]")
_DRIVE = re.compile(r"^([A-Za-z]):")
_LONGEST = 200  # bytes of a name without suffix, so that tools can append to it


def distinct_file_names(written: Sequence[str], files: Sequence[Path | None], by_stem: bool) -> list[str]:
    """A file name for each image: its own one, changed where it has to be.

    A name changes if it is that of an earlier image (in any case of letters), has characters that lists of images cannot hold,
    is hidden, or has no suffix of an image: then it gets that of its content.

    Args:
        written: path of each image in its data set.
        files: where each image is; None for drawn ones.
        by_stem: whether names must differ without suffix, because annotation files are called like them.
    """
    paths = [PurePosixPath(name.replace("\\", "/")) for name in written]
    own = [_clean(path.name, file) for path, file in zip(paths, files, strict=True)]
    key = _stem_key if by_stem else name_key
    reserved = set(map(key, own))
    taken: set[str] = set()
    names = []
    for path, name in zip(paths, own, strict=True):
        if key(name) in taken:
            folder = _UNSAFE.sub("_", path.parent.name).strip(" .")
            name = next(
                other
                for other in _alternatives(PurePosixPath(name), folder)
                if key(other) not in taken and key(other) not in reserved
            )
        taken.add(key(name))
        names.append(name)
    return names


def _stem_key(name: str) -> str:
    """A name without suffixes of images, by which annotation files find their images."""
    while PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
        name = PurePosixPath(name).stem
    return name_key(name)


def _alternatives(name: PurePosixPath, folder: str) -> Iterator[str]:
    if folder:
        yield f"{folder}_{name.name}"
    yield from (f"{name.stem}_{number}{name.suffix}" for number in count(2))


def _clean(name: str, file: Path | None) -> str:
    name = _DRIVE.sub(r"\1_", _UNSAFE.sub("_", name))
    path = PurePosixPath(name)
    stem, suffix = path.stem, path.suffix
    if suffix.lower() not in IMAGE_SUFFIXES:
        stem, suffix = name, _suffix_by_content(file)
    elif suffix != suffix.strip():
        suffix = suffix.strip()
    stem = stem.strip()
    if stem.startswith(".") or not stem or stem == "__MACOSX":
        stem = f"_{stem}"
    encoded = stem.encode()
    if len(encoded) > _LONGEST:
        stem = encoded[:_LONGEST].decode(errors="ignore")
    return f"{stem}{suffix}"


def _suffix_by_content(file: Path | None) -> str:
    from PIL import Image

    if file is None:
        return ".png"
    try:
        with Image.open(file) as image:
            format = image.format or ""
    except OSError:
        return ".png"
    return {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}.get(
        format, f".{format.lower()}" if f".{format.lower()}" in IMAGE_SUFFIXES else ".png"
    )
