"""Data sets of several parts as a format: each part is read in its own format, and all of them become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import create_model

from bench.data.annotated_images import AnnotatedImages
from bench.data.checks import require_pixels
from bench.data.classes import check_choice, choose_classes
from bench.data.division import merge_purposes, settle_purposes
from bench.data.folder_options import FolderOptions
from bench.data.groups import NoGroups, groups_of, with_groups, without_groups
from bench.data.types import SPLITS, DatasetFormat
from bench.data.union import unite_classes_by_id, unite_classes_by_name, unite_images
from metrics.errors import InputError
from metrics.formats.layouts import DataLayout
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from metrics.real_path import real_path

PART_OPTIONS = frozenset({"images", "classes", "left_out", "groups"})
"""Options of every data set on disk that a part may have for itself; the others concern the whole data set."""

ImageSplit = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a data set, found but not opened.

    Attributes:
        name: put before the ids and file names of its images; unique among the parts.
        format: its format.
        path: its folder or file.
        annotations: its annotation files.
        other_formats: further formats that it can be read in.
        options: its own options of the format.
        take: use only the images of this split.
        split: use all images for this split.
    """

    name: str
    format: DatasetFormat
    path: Path
    annotations: tuple[Path, ...]
    other_formats: tuple[str, ...]
    options: Mapping[str, Any]
    take: ImageSplit | None = None
    split: ImageSplit | None = None


def parts_format(parts: Sequence[Part]) -> DatasetFormat:
    """The format that consists of these parts. Its options are those of all their formats; the order of parts does not matter."""
    formats = {part.format.name: part.format for part in parts}
    options = tuple(dict.fromkeys(formats[name].options for name in sorted(formats)))
    joined: Any = options[0] if len(options) == 1 else create_model("PartsOptions", __base__=options)
    ordered = sorted(parts, key=lambda part: part.name)

    def read(path: Path, files: Sequence[Path], options: FolderOptions) -> list[AnnotatedImages]:
        return read_parts(ordered, options)

    return DatasetFormat(
        name="+".join(sorted(formats)),
        summary=plural(len(parts), "part"),
        source="docs/data.md",
        options=joined,
        read=read,
        layout=DataLayout("parts", "paths joined by +, or a TOML file with parts", lambda path: []),
    )


def read_parts(parts: Sequence[Part], options: FolderOptions) -> list[AnnotatedImages]:
    """Read each part and unite them: classes by name, splits by purpose, with the part's name before the names of images.

    Raises:
        InputError: as the readers; or a part does not have the split that is taken from it.
    """
    read = []
    ungrouped: list[NoGroups] = []
    for part in parts:
        images, missing = read_part(part, options)
        ungrouped += missing
        count = sum(len(one.paths) for one in images)
        text = f"part {part.name}: {plural(count, 'image')} read as {part.format.name}" + (
            f", all for {part.split}" if part.split else ""
        )
        report(Note("data_part", text, part.name, {"images": count}))
        read.append(images)
    if ungrouped and len(ungrouped) == len(parts):
        raise ungrouped[0]
    if any(groups_of(one) for images in read for one in images):
        read = [
            without_groups(images, part.path, part.name) for part, images in zip(parts, read, strict=True)
        ]
    united = unite_classes_by_name(read)
    merged = []
    for purpose in (*SPLITS, None):
        members = [
            (part.name, one)
            for part, images in zip(parts, united, strict=True)
            for one in images
            if one.purpose == purpose
        ]
        if members:
            pieces = [piece for _, piece in members]
            merged.append(unite_images(pieces, purpose, [name for name, _ in members])[0])
    return merged


def read_part(part: Part, options: FolderOptions) -> tuple[list[AnnotatedImages], list[NoGroups]]:
    """The images of one part by split, with its own choice of classes and its groups.

    Returns:
        The images, and why none has a group of the whole data set's groups; nothing if some have or there are none.
    """
    own = part.format.options
    whole = {name: value for name, value in options if name in own.model_fields}
    checked = own.model_validate({**whole, "classes": {}, **part.options})
    assert isinstance(checked, FolderOptions)
    assert part.format.read is not None
    report_other_formats(part.format.name, part.other_formats, part.path, part.name)
    images = unite_classes_by_id(part.format.read(part.path, part.annotations, checked))
    for one in images:
        require_pixels(one.truth, f"{part.name} {one.purpose or ''}".strip())
    images = settle_purposes(images, part.name)
    if part.take is not None:
        taken = [one for one in images if one.purpose == part.take]
        if not taken:
            known = ", ".join(str(one.purpose) for one in images if one.purpose) or "no splits"
            raise InputError(f"{part.name}: no split {part.take!r} to take; {part.path} has {known}")
        images = taken
    if part.split is not None:
        images = [merge_purposes(images, part.split)]
    setting = f"{part.name}: classes"
    check_choice(checked.classes, images[0].truth.catalog.classes, setting)
    images = choose_classes(images, checked.classes, checked.left_out, setting)
    try:
        return with_groups(images, checked.groups, part.path, part.name), []
    except NoGroups as missing:
        if "groups" in part.options:
            raise
        text = f"part {part.name}: {checked.groups!r} gives no image a group, so each is on its own"
        report(Note("ungrouped_part", text, part.name, {"images": sum(len(one.paths) for one in images)}))
        return images, [missing]


def report_other_formats(name: str, others: Sequence[str], path: Path, part_name: str = "") -> None:
    """Report that a path can be read in several formats, and how to choose."""
    if others:
        choice = " or ".join(others)
        text = f"read as {name}; use --format {choice} to read it as such"
        if part_name:
            listed = f'{{path = "{path}", format = "{others[0]}"}}'
            text = f"{part_name}: read as {name}; to read it as {choice}, list it in a TOML file as {listed}"
        report(Note("several_formats", text, name))


def own_split(purpose: str, images: Sequence[AnnotatedImages], path: Path | str) -> AnnotatedImages:
    """The images of another data set that are meant as a split: those of its split of that name, or its only ones.

    Raises:
        InputError: it has other splits only, and more than one.
    """
    named = [one for one in images if one.purpose == purpose]
    if not named and len(images) > 1:
        known = ", ".join(str(one.purpose) for one in images if one.purpose)
        first = next(one.purpose for one in images if one.purpose)
        raise InputError(
            f"data.{purpose}: {path} has the splits {known}, but no {purpose}; name the one to use in a TOML file: "
            f'parts = [{{path = "{real_path(path)}", take = "{first}"}}], saved as {purpose}.toml, and '
            f"--set data.{purpose}={purpose}.toml"
        )
    chosen = (named or list(images))[0]
    left = sum(len(one.paths) for one in images) - len(chosen.paths)
    text = f"data.{purpose}: {plural(len(chosen.paths), 'image')} of {path} {agree(len(chosen.paths), 'is', 'are')} the {purpose} split"
    if left:
        text += f"; its other {plural(left, 'image is', 'images are')} not used"
    report(Note("own_split", text, purpose, {"images": len(chosen.paths), "unused": left}))
    return replace(chosen, purpose=purpose)
