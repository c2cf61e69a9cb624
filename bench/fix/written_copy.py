"""A copy of a data set in another format, or without its defects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.convert.coco_fields import carry_coco_fields, read_coco_fields
from bench.convert.folder import FORMATS, planned_files, require_free, write_files
from bench.convert.further_fields import note_further_fields
from bench.convert.image_set import ImageSet, Link
from bench.convert.source import Source, Splits, read_source
from bench.convert.written import WrittenFiles
from bench.data.location import DataLocation, locate_data
from bench.fix.changes import Change, changes_csv
from bench.fix.fix import fix_sets
from bench.process.progress import Progress
from bench.settings.config import EntryConfig
from metrics.errors import InputError
from metrics.formats.voc import Pixels
from metrics.notes import Note
from metrics.real_path import real_path

LOG = "fixes.csv"
"""Name of the log of changes in a fixed copy."""


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What is to be written.

    Attributes:
        out: the new folder.
        format: one of `FORMATS`; None for that of the data set.
        fix: whether defects are fixed.
        link: how unchanged images are written.
        splits: which splits are written.
        decode: whether every image is decoded to find those that are truncated, if defects are fixed.
    """

    out: Path
    format: str | None = None
    fix: bool = False
    link: Link = "copy"
    splits: Splits = "kept"
    decode: bool = True


@dataclass(frozen=True, slots=True)
class WrittenCopy:
    """What was written.

    Attributes:
        format: of the copy.
        splits: number of images and objects of each split; without splits one entry ``all``.
        notes: what the format cannot hold or had to change.
        changes: what was fixed; None if nothing was to be.
    """

    format: str
    splits: dict[str, tuple[int, int]]
    notes: tuple[Note, ...]
    changes: tuple[Change, ...] | None = None


def write_copy(settings: EntryConfig, plan: CopyPlan, progress: Progress | None = None) -> WrittenCopy:
    """Open the data set of a run's settings and write it.

    Raises:
        InputError: the folder is not free, no format is named for a data set whose own one is not written, or the data set
            cannot be opened.
        MachineError: the disk is full or not writable.
    """
    location = locate_data(settings.data.path, settings.data.format)
    format = plan.format or location.format.name
    if format not in FORMATS:
        raise InputError(
            f"{settings.data.path}: is read as {format}, which is not written; add --to {FORMATS[0]}, or one of "
            f"{', '.join(FORMATS[1:])}"
        )
    require_free(plan.out, _folders(location, Path(settings.data.path)))
    options = dict(settings.data_options)
    if plan.fix and location.format.layout is not None:
        options["allow_missing"] = True
    source = read_source(location, options, plan.splits)
    sets, changes = source.sets, None
    from_voc = location.format.name == "voc"
    pixels: Pixels = getattr(settings.data, "pixels", "inclusive") if from_voc else "inclusive"
    if plan.fix:
        inclusive = pixels == "inclusive"
        sets, changes = _fixed(
            source, inclusive and from_voc, inclusive and format == "voc", plan.decode, progress
        )
    written = planned_files(sets, format, pixels)
    if changes is not None:
        changes += _names(sets, written)
        written.texts[LOG] = changes_csv(changes)
    notes = []
    if location.annotations and location.format.name == format == "coco":
        notes += carry_coco_fields(written, sets, read_coco_fields(location.annotations))
    elif location.annotations:
        notes += note_further_fields(location.format.name, location.annotations)
    notes += write_files(written, plan.out, plan.link, progress)
    counts = {one.purpose or "all": (len(one.pictures), len(one.truth)) for one in sets}
    return WrittenCopy(format, counts, tuple(notes), None if changes is None else tuple(changes))


def _folders(location: DataLocation, given: Path) -> list[Path]:
    """The folders of a data set; of one with several parts those of their annotations.

    Args:
        location: the data set.
        given: the path that was given, which may be a folder around it.
    """
    if given.is_dir():
        return [real_path(given)]
    path = location.path
    if path is not None and path.suffix.lower() != ".toml":
        return [real_path(path) if path.is_dir() else real_path(path).parent]
    folders = [real_path(file).parent for file in location.annotations]
    beside = [folder.parent for folder in folders if folder.name.lower() in ("annotations", "labels")]
    return list(dict.fromkeys([*folders, *beside]))


def _fixed(
    source: Source, counts_pixels: bool, whole_pixels: bool, decode: bool, progress: Progress | None
) -> tuple[list[ImageSet], list[Change]]:
    """The sets without defects, and all changes, also those of reading."""
    changes = [
        Change("unreadable_images", "removed", note.subject, detail=problem)
        for note in source.notes
        if note.kind == "unreadable_images"
        for problem in note.items
    ]
    fixed, made = fix_sets(source.sets, counts_pixels, whole_pixels, decode, progress)
    kept = [one for one in fixed if one.pictures]
    if not kept:
        raise InputError("no image is left after the fixes; look at what is wrong with `bench data PATH`")
    return kept, changes + made


def _names(sets: Sequence[ImageSet], written: WrittenFiles) -> list[Change]:
    """The images whose file gets another name, and those that the annotations name otherwise."""
    changes = []
    targets = iter(written.pictures)
    for one in sets:
        for picture in one.pictures:
            _, target = next(targets)
            own, new = PurePosixPath(picture.name).name, PurePosixPath(target).name
            annotated = picture.written.split("/")[-1]
            split = one.purpose or ""
            if own != new:
                changes.append(Change("renamed_images", "changed", split, picture.name, detail=new))
            elif picture.file is not None and annotated not in ("", own):
                changes.append(
                    Change("found_elsewhere", "changed", split, picture.name, detail=picture.written)
                )
    return changes
