"""The folder of a converted data set: written completely or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from bench.convert.coco import coco_files
from bench.convert.image_set import ImageSet, Link, Picture
from bench.convert.voc import voc_files
from bench.convert.written import WrittenFiles
from bench.convert.yolo import yolo_files
from bench.process.progress import Progress, Stage
from metrics.atomic_files import atomic_folder
from metrics.errors import InputError
from metrics.formats.voc import Pixels
from metrics.notes import Note
from metrics.plurals import plural
from metrics.real_path import real_path

FORMATS = ("coco", "voc", "yolo")
"""The formats that can be written."""

_THREADS = 8
_AT_ONCE = 64


def require_free(out: Path, data: Sequence[Path]) -> None:
    """Refuse a folder that has files, or that lies in the data set.

    Args:
        out: the folder to write.
        data: folders of the data set that is read, absolute; none if it is drawn.

    Raises:
        InputError: see above.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        what = "is a file" if out.is_file() else "has files in it"
        raise InputError(f"{out}: {what}; choose a folder that does not exist yet")
    for folder in data:
        if real_path(out).is_relative_to(folder):
            raise InputError(
                f"{out}: is in the data set {folder}, which would then hold two; choose a folder outside of it"
            )


def write_dataset(
    sets: Sequence[ImageSet],
    format: str,
    out: Path,
    link: Link = "copy",
    pixels: Pixels = "inclusive",
    progress: Progress | None = None,
) -> list[Note]:
    """Write a data set; see `planned_files` and `write_files`."""
    return write_files(planned_files(sets, format, pixels), out, link, progress)


def write_files(
    written: WrittenFiles, out: Path, link: Link = "copy", progress: Progress | None = None
) -> list[Note]:
    """Write the files of a data set; their folder appears when all of them are written.

    Args:
        written: the files.
        out: the folder; see `require_free`.
        link: how unchanged images are written.
        progress: display; none by default.

    Returns:
        What the format cannot hold or had to change.

    Raises:
        InputError: an image cannot be read.
        MachineError: the disk is full or not writable.
    """
    targets = [*written.texts, *(target for _, target in written.pictures)]
    with atomic_folder(out) as folder:
        for place in sorted({(folder / target).parent for target in targets}):
            place.mkdir(parents=True, exist_ok=True)
        for name, text in written.texts.items():
            (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
        with (progress or Progress()).stage("write images", len(written.pictures)) as stage:
            copied = _write_pictures(written.pictures, folder, link, stage)
    if not copied:
        return list(written.notes)
    text = f"{plural(copied, 'image is', 'images are')} copied: hard links need one disk and a file system that has them"
    return [*written.notes, Note("copied_images", text, values={"images": copied})]


def planned_files(sets: Sequence[ImageSet], format: str, pixels: Pixels = "inclusive") -> WrittenFiles:
    """The files of a data set in a format; nothing is written.

    Args:
        sets: the images of each split, at least one, all with the same classes.
        format: one of `FORMATS`.
        pixels: convention of VOC's coordinates.
    """
    if format == "coco":
        return coco_files(sets)
    if format == "voc":
        return voc_files(sets, pixels)
    assert format == "yolo"
    return yolo_files(sets)


def _write_pictures(pictures: Sequence[tuple[Picture, str]], folder: Path, link: Link, stage: Stage) -> int:
    """Write the images; return the number of those that were copied though a hard link was wanted."""
    copied = 0
    rest = iter(pictures)
    with ThreadPoolExecutor(_THREADS) as pool:
        while some := list(islice(rest, _AT_ONCE)):
            copied += sum(pool.map(lambda pair: pair[0].write(folder / pair[1], link), some))
            stage.advance(len(some))
    return copied
