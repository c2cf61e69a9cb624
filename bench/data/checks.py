"""Checks of image files, and of their annotations against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.annotated_images import AnnotatedImages
from bench.data.folder_options import FolderOptions
from bench.data.images import ImageHeader, read_header, read_image
from metrics.errors import InputError, InputWarning
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.tables import AnnotationTable


@dataclass(frozen=True, slots=True, eq=False)
class CheckedImages:
    """Images whose files were checked; `upright` is whether the EXIF rotation of each image is applied."""

    images: AnnotatedImages
    upright: NDArray[np.bool_]

    def select(self, indices: NDArray[np.intp]) -> CheckedImages:
        """Only the images of these indices."""
        return CheckedImages(self.images.select(indices), self.upright[indices])

    def __len__(self) -> int:
        return len(self.images.paths)


def read_headers(
    paths: Sequence[Path], options: FolderOptions
) -> tuple[list[ImageHeader | None], dict[int, str]]:
    """Check image files as `options.check` requires.

    Returns:
        The header of each image, None where it was not read; and the problem of each unreadable image by index.
    """
    headers: list[ImageHeader | None] = []
    problems: dict[int, str] = {}
    for index, path in enumerate(paths):
        header = None
        try:
            if options.check == "exists":
                if not path.is_file() or not path.stat().st_size:
                    read_header(path)  # raises with the reason
            else:
                header = read_header(path)
                if options.check == "whole":
                    read_image(path)
        except InputError as error:
            problems[index] = str(error)
        headers.append(header)
    return headers, problems


def report_unreadable(problems: Mapping[int, str], total: int, what: str, options: FolderOptions) -> None:
    """Raise for unreadable images; with `allow_missing`, warn that they are left out.

    Args:
        problems: problem of each unreadable image by index; may be empty.
        total: number of images.
        what: name of the images for the message: their split.
        options: see `FolderOptions.allow_missing`.

    Raises:
        InputError: images are unreadable and may not be left out, or none is readable.
    """
    if not problems:
        return
    first = "; ".join(list(problems.values())[:5])
    more = f"; and {len(problems) - 5:,} more" if len(problems) > 5 else ""
    sentence = f"{what}: {len(problems):,} of {plural(total, 'image')} cannot be read: {first}{more}"
    if len(problems) == total:
        raise InputError(
            f"{sentence}. No readable image is left; if the images are elsewhere, set data.images to the folder that holds them"
        )
    if not options.allow_missing:
        raise InputError(f"{sentence}. Replace them, or leave them out with --set data.allow_missing=true")
    text = f"{sentence}. They are left out, so results are based on fewer images"
    values = {"images": len(problems), "of": total}
    report(Note("unreadable_images", text, what, values, tuple(problems.values())), InputWarning)


def check_images(images: AnnotatedImages, options: FolderOptions) -> CheckedImages:
    """Check image files and compare their sizes with the annotations; the files' sizes replace the annotated ones.

    Args:
        images: as a format has read them.
        options: settings.

    Raises:
        InputError: images are unreadable, or boxes are not in pixels.
    """
    what = images.purpose or "images"
    headers: Sequence[ImageHeader | None]
    if images.headers is None:
        headers, problems = read_headers(images.paths, options)
    else:
        headers, problems = images.headers, {}
    report_unreadable(problems, len(headers), what, options)
    if problems:
        readable = [index for index in range(len(headers)) if index not in problems]
        images, headers = images.select(readable), [headers[index] for index in readable]
    catalog = images.truth.catalog
    sizes = catalog.sizes.copy()
    upright = np.ones(len(headers), dtype=np.bool_)
    mismatches: list[str] = []
    undecided = 0
    for index, header in enumerate(headers):
        if header is None:
            continue
        annotated = (int(sizes[index, 0]), int(sizes[index, 1]))
        if annotated == header.stored != header.upright:
            upright[index] = False
            continue
        sizes[index] = header.upright
        undecided += header.orientation != 1 and header.stored == header.upright
        if 0 not in annotated and annotated != header.upright:
            (h, w), (ah, aw) = header.upright, annotated
            mismatches.append(f"{images.paths[index].name} is {w}x{h}, annotated as {aw}x{ah}")
    if not upright.all():
        count = int((~upright).sum())
        text = (
            f"{what}: {plural(count, 'image has', 'images have')} an EXIF rotation that their annotations ignore (the annotated size is the "
            f"stored one); they are read without it"
        )
        report(Note("stored_orientation", text, what, {"images": count}))
    if undecided:
        text = (
            f"{what}: {plural(undecided, 'image is', 'images are')} turned by 180 degrees, mirrored, or square and turned, by EXIF: their size does not "
            "tell whether their annotations are on the turned image; they are taken to be"
        )
        report(Note("undecided_orientation", text, what, {"images": undecided}))
    if mismatches:
        text = (
            f"{what}: {plural(len(mismatches), 'image differs', 'images differ')} from their annotated size: {'; '.join(mismatches[:5])}. "
            f"The files' sizes are used; boxes may be misplaced: export the annotations again"
        )
        report(Note("other_size", text, what, {"images": len(mismatches)}, tuple(mismatches)), InputWarning)
    truth = replace(images.truth, catalog=replace(catalog, sizes=sizes))
    require_pixels(truth, what)
    return CheckedImages(replace(images, truth=truth), upright)


def require_pixels(truth: AnnotationTable, what: str) -> None:
    corners = truth.boxes
    if not len(corners):
        return
    small = np.abs(corners) <= 1.5
    sizes = truth.catalog.sizes[truth.image]
    if small.mean() > 0.95 and (sizes == 0).all() | (sizes.min() > 4):
        raise InputError(
            f"{what}: {small.mean():.0%} of all box coordinates are at most 1.5, so they seem to be fractions of the "
            f"image's width and height, but this format expects pixels; multiply them, or provide the data as YOLO"
        )
