"""Opening a data set by name or path: its parts and splits read, classes chosen, options validated once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from bench.data.annotated_images import AnnotatedImages
from bench.data.chosen_images import divide_drawn
from bench.data.classes import adopt_classes, check_choice, choose_classes
from bench.data.division import merge_given_splits, settle_purposes
from bench.data.folder import assemble_dataset
from bench.data.folder_options import FolderOptions
from bench.data.groups import with_groups
from bench.data.location import DataLocation, locate_data, validated_options
from bench.data.parts import PART_OPTIONS, own_split, report_other_formats
from bench.data.types import SPLITS, Dataset
from bench.data.union import unite_classes_by_id
from bench.settings import toml
from metrics.errors import InputError, InputNote, InputWarning
from metrics.formats.file_listing import report_unwrapped
from metrics.notes import Note, note_of
from metrics.tables.class_names import report_similar_names

T = TypeVar("T")


def open_dataset(path: str | Path, format: str = "auto", seed: int | None = None, **options: Any) -> Dataset:
    """Open a data set with splits train, val and test.

    Args:
        path: name of a data set that is drawn (``shapes``); a folder or file; several of them joined by ``+``; or a TOML
            file that lists parts.
        format: a name in `DATASETS`; ``auto`` detects the format.
        seed: seed of drawn images, and of the splits if the data set has none; by default 0. It is independent of a run's
            seed, so that runs with different seeds are tested on the same images.
        **options: settings of the format; see `DatasetFormat.options`.

    Raises:
        InputError: the path does not exist, its format is unknown, an option is unknown or invalid, or the data cannot
            be used for training and evaluation.
    """
    location = locate_data(path, format)
    given = options if seed is None else {"seed": seed, **options}
    return open_located(location, toml.merge(location.options, given))


def open_located(location: DataLocation, options: Mapping[str, Any]) -> Dataset:
    """Open a data set that `locate_data` found; arguments and errors as those of `open_dataset`.

    Args:
        location: the data set.
        options: all options, including those of `location`.
    """
    checked = validated_options(location.format, options)
    draw = location.format.draw
    if draw is not None:
        dataset, notes = noted(lambda: divide_drawn(draw(checked), checked))
        return replace(dataset, notes=[*dataset.notes, *notes]) if notes else dataset
    assert isinstance(checked, FolderOptions)
    dataset, notes = noted(lambda: _open(location, checked))
    return replace(dataset, notes=[*dataset.notes, *notes])


def noted(work: Callable[[], T]) -> tuple[T, list[Note]]:
    """The result of `work`, and the notes that it gives, which are issued when it ends or fails."""
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = work()
    finally:
        for warning in caught:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    reported = [one.message for one in caught if issubclass(one.category, InputWarning | InputNote)]
    return result, list(map(note_of, reported))


def read_located(
    location: DataLocation, options: FolderOptions
) -> tuple[list[AnnotatedImages], dict[str, AnnotatedImages]]:
    """Read a data set on disk that `locate_data` found, without opening its image files and without making splits.

    Args:
        location: the data set.
        options: all options, validated.

    Returns:
        The images of each split that is given, at most one without a split; and those of splits from elsewhere, such as
        ``data.test``, by name. All have the same classes.

    Raises:
        InputError: annotations are invalid or contradict each other, or images are not found.
    """
    images = _read(location, options)
    if not location.parts:
        images = settle_purposes(images)
    if options.folds is not None:
        images = merge_given_splits(images, "data.folds")
    elif options.splits == "drawn":
        images = merge_given_splits(images, "data.splits=drawn")
    own = {
        purpose: _read_own(purpose, path, options)
        for purpose in SPLITS
        if (path := getattr(options, purpose)) is not None
    }
    known = [name for part in (*images, *own.values()) for name in part.truth.catalog.classes]
    check_choice(options.classes, list(dict.fromkeys(known)), "data.classes")
    images = choose_classes(images, options.classes, options.left_out)
    if location.parts:
        fix = "if they are one class, give both one name with data.classes"
        report_similar_names(images[0].truth.catalog.classes, "classes of the parts", fix)
    for purpose, part in own.items():
        setting = f"data.{purpose}: data.classes"
        chosen = choose_classes([part], options.classes, options.left_out, setting)
        (own[purpose],) = adopt_classes(
            chosen, images[0].truth.catalog, f"data.{purpose}", selectable=not options.classes
        )
    return images, own


def _open(location: DataLocation, options: FolderOptions) -> Dataset:
    images, own = read_located(location, options)
    name = options.name or location.name
    return assemble_dataset(name, location.format.name, location.path, images, options, own)


def _read(location: DataLocation, options: FolderOptions, part_name: str = "") -> list[AnnotatedImages]:
    """The images of a data set by split, with the same classes, and their groups."""
    assert location.format.read is not None
    path = location.path or Path()
    report_other_formats(location.format.name, location.other_formats, path, part_name)
    if location.given is not None:
        report_unwrapped(location.given, path)
    images = unite_classes_by_id(location.format.read(path, location.annotations, options))
    return with_groups(images, options.groups, path, part_name, required=not part_name)


def _read_own(purpose: str, path: str, options: FolderOptions) -> AnnotatedImages:
    """The images of another data set that are to be a split."""
    location = locate_data(path)
    if location.format.read is None:
        raise InputError(
            f"data.{purpose}: {path} is drawn, not read; give a folder or file of annotated images"
        )
    for name in location.options:
        if name not in PART_OPTIONS:
            raise InputError(
                f"{path}: {name}: concerns a whole data set, but is used for one split; remove it"
            )
    shared = {name: getattr(options, name) for name in ("check", "allow_missing", "groups")}
    checked = validated_options(location.format, {**shared, **location.options})
    assert isinstance(checked, FolderOptions)
    images = _read(location, checked, f"data.{purpose}")
    if not location.parts:
        images = settle_purposes(images, f"data.{purpose}")
    setting = f"{path}: classes"
    check_choice(checked.classes, images[0].truth.catalog.classes, setting)
    images = choose_classes(images, checked.classes, checked.left_out, setting)
    return own_split(purpose, images, path)
