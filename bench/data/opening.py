"""Opening a data set by name or path: format detection, then options validated once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.data.exports import register_exports
from bench.data.types import DATASETS, DataOptions, Dataset, DatasetFormat
from bench.settings.errors import settings_error
from metrics.errors import InputError, InputNote, InputWarning
from metrics.formats.file_listing import refuse_unreadable
from metrics.formats.image_annotations import exports
from metrics.formats.layouts import LAYOUTS
from metrics.notes import Note, note_of, report
from metrics.registry import UnknownName, did_you_mean


@dataclass(frozen=True, slots=True)
class DataLocation:
    """A data set that was found but not opened.

    Attributes:
        format: its format.
        path: the folder or file; None for images that are drawn.
        annotations: annotation files of that format, sorted.
        other_formats: further formats that the path can be read in; empty if the format was given.
    """

    format: DatasetFormat
    path: Path | None
    annotations: tuple[Path, ...] = ()
    other_formats: tuple[str, ...] = ()


def open_dataset(path: str | Path, format: str = "auto", seed: int = 0, **options: Any) -> Dataset:
    """Open a data set with splits train, val and test.

    Args:
        path: name of a data set that is drawn (``shapes``), or a folder or file.
        format: a name in `DATASETS`; ``auto`` detects the format.
        seed: seed of drawn images, and of the splits if the data set has none. It is independent of a run's seed, so
            that runs with different seeds are tested on the same images.
        **options: settings of the format; see `DatasetFormat.options`.

    Raises:
        InputError: the path does not exist, its format is unknown, an option is unknown or invalid, or the data cannot
            be used for training and evaluation.
    """
    return open_located(locate_data(path, format), {"seed": seed, **options})


def locate_data(path: str | Path, format: str = "auto") -> DataLocation:
    """Find a data set's format and annotation files. Each format is tested at most once, and no file is parsed.

    Raises:
        InputError: the format is unknown, the path does not exist, or it holds no data set of the format; with
            ``auto``, of any format: the message lists what each format looks for and what is there.
    """
    if format == "auto" and _is_drawn(str(path)):
        format = str(path)
    if format == "auto":
        return _detect(_existing(Path(path)))
    if format not in DATASETS:
        raise UnknownName("format", format, DATASETS.names())
    chosen = DATASETS[format]
    if chosen.layout is None:
        return DataLocation(chosen, None)
    files = chosen.layout.files(_existing(Path(path)))
    if not files:
        raise InputError(f"{path}: no {format} data set; looked for {chosen.layout.looks_for}")
    return DataLocation(chosen, Path(path), tuple(files))


def open_located(location: DataLocation, options: Mapping[str, Any]) -> Dataset:
    """Open a data set that `locate_data` found; arguments and errors as those of `open_dataset`."""
    checked = _validated(location.format, options)
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if location.other_formats:
                others = " or ".join(location.other_formats)
                text = f"read as {location.format.name}; use --format {others} to read it as such"
                report(Note("several_formats", text, location.format.name))
            dataset = location.format.open(location.path, location.annotations, checked)
    finally:
        for warning in caught:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    reported = [one.message for one in caught if issubclass(one.category, InputWarning | InputNote)]
    return replace(dataset, notes=[*dataset.notes, *map(note_of, reported)])


register_exports()


def _is_drawn(name: str) -> bool:
    return name in DATASETS and DATASETS[name].layout is None


def _detect(path: Path) -> DataLocation:
    names = sorted(DATASETS, key=lambda name: (name not in LAYOUTS, name in exports(), name))
    layouts = {name: layout for name in names if (layout := DATASETS[name].layout) is not None}
    found: dict[str, list[Path]] = {}
    for name, layout in layouts.items():
        if found and name in exports():
            break  # their detection reads files of other formats
        try:
            files = layout.files(path)
        except InputError:
            if not found:
                raise
            continue  # several data sets of another format do not matter
        if files:
            found[name] = files
    if not found:
        refuse_unreadable(path)
        looked_for = "; ".join(f"{name}: {layout.looks_for}" for name, layout in layouts.items())
        raise InputError(
            f"{path}: unknown data set format; looked for {looked_for}; found {_contents(path)}; "
            f"set the format with --format if it is one of these"
        )
    name, *others = found
    return DataLocation(DATASETS[name], path, tuple(found[name]), tuple(others))


def _existing(path: Path) -> Path:
    """The path itself, or an `InputError` that suggests the nearest name."""
    if path.exists():
        return path
    if str(path) in DATASETS:
        raise InputError(
            f"{path}: a format, not a data set; give a folder, as in --data FOLDER --format {path}"
        )
    parent = next((folder for folder in path.parents if folder.exists()), Path())
    missing = path.relative_to(parent).parts[0] if parent in path.parents else path.name
    names = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    if parent == Path():
        names += [name for name in DATASETS if _is_drawn(name)]
    inside = "" if parent == path.parent else f"; {parent} has no {missing!r}"
    raise InputError(f"{path}: no such folder or file{inside}{did_you_mean(missing, names)}")


def _contents(path: Path) -> str:
    """The first names in a folder, or a file's suffix and size."""
    if path.is_file():
        return f"a file {path.suffix or 'without suffix'} of {path.stat().st_size:,} bytes"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    if not names:
        return "an empty folder"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


def _validated(known: DatasetFormat, options: Mapping[str, Any]) -> DataOptions:
    try:
        return known.options.model_validate(dict(options))
    except ValidationError as error:
        fields = {f"data.{name}": field for name, field in known.options.model_fields.items()}
        raise settings_error(
            error, {"data": options}, fields, owner=f"of {known.name}", section="data"
        ) from None
