"""Finding a data set by name or path: its format and annotation files, or its parts; nothing is parsed but lists of parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.data.exports import register_exports
from bench.data.folder_options import FolderOptions, path_options
from bench.data.names import dataset_name
from bench.data.part_list import (
    PartConfig,
    PartList,
    distinct_part_names,
    read_part_list,
    split_paths,
)
from bench.data.parts import PART_OPTIONS, Part, parts_format
from bench.data.types import DATASETS, DataOptions, DatasetFormat
from bench.settings.errors import settings_error
from metrics.errors import InputError
from metrics.formats.file_listing import refuse_unreadable, report_unwrapped, unwrapped
from metrics.formats.image_annotations import exports
from metrics.formats.layouts import LAYOUTS, UNDESCRIBED_YOLO
from metrics.formats.near_misses import near_miss
from metrics.plurals import plural
from metrics.real_path import real_path
from metrics.registry import UnknownName, did_you_mean


@dataclass(frozen=True, slots=True)
class DataLocation:
    """A data set that was found but not opened.

    Attributes:
        format: its format.
        path: the folder or file; None for images that are drawn, and for parts joined by ``+``.
        annotations: annotation files of that format, sorted.
        other_formats: further formats that the path can be read in; empty if the format was given.
        parts: names of its parts; empty if it is in one piece.
        options: options that a file that lists parts has for the whole data set.
        name: its default name.
        given: the path that was given, if it has nothing but the folder `path`.
    """

    format: DatasetFormat
    path: Path | None
    annotations: tuple[Path, ...] = ()
    other_formats: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    given: Path | None = None


def locate_data(path: str | Path, format: str = "auto") -> DataLocation:
    """Find a data set's format and annotation files. Each format is tested at most once, and no file is parsed.

    Args:
        path: name of a data set that is drawn, a folder or file, several of them joined by ``+``, or a TOML file that
            lists parts.
        format: a name in `DATASETS`; ``auto`` detects it. Of parts, the format of those that name none.

    Raises:
        InputError: the format is unknown, the path does not exist, or it holds no data set of the format; with
            ``auto``, of any format: the message lists what each format looks for and what is there.
    """
    return _locate(str(path), format, ())


def validated_options(known: DatasetFormat, options: Mapping[str, Any]) -> DataOptions:
    """Options of a format, validated.

    Raises:
        SettingsError: an option is unknown or invalid.
    """
    return _validate(known, options, "data", None)


def _locate(path: str, format: str, within: tuple[Path, ...]) -> DataLocation:
    if format == "auto" and _is_drawn(path):
        format = path
    if format not in {"auto", *DATASETS}:
        raise UnknownName("format", format, DATASETS.names())
    if format in DATASETS and DATASETS[format].layout is None:
        return DataLocation(DATASETS[format], None, name=format)
    joined = split_paths(path)
    if joined is not None:
        return _locate_parts(PartList(tuple(PartConfig(path=piece) for piece in joined)), format, within)
    found = _existing(Path(path))
    if found.suffix.lower() == ".toml" and found.is_file():
        if real_path(found) in within:
            raise InputError(f"{path}: lists itself as a part; list folders or files of images")
        return _locate_parts(read_part_list(found), format, (*within, real_path(found)))
    inner = unwrapped(found)
    given = None if inner == found else found
    if format == "auto":
        return replace(_detect(inner), given=given)
    layout = DATASETS[format].layout
    assert layout is not None
    files = layout.files(inner) or (UNDESCRIBED_YOLO.files(inner) if format == "yolo" else [])
    if not files:
        raise InputError(f"{path}: no {format} data set; looked for {layout.looks_for}")
    return DataLocation(DATASETS[format], inner, tuple(files), name=dataset_name(inner), given=given)


def _locate_parts(listed: PartList, format: str, within: tuple[Path, ...]) -> DataLocation:
    paths = [Path(part.path) for part in listed.parts]
    places = [
        _locate(part.path, format if part.format == "auto" else part.format, within) for part in listed.parts
    ]
    names = distinct_part_names(paths, [part.name for part in listed.parts], dataset_name)
    for k, name in enumerate(names):
        if name in names[:k]:
            raise InputError(
                f"{listed.file or '--data'}: two parts are called {name!r}; give each path once, or each part a name in a "
                f'TOML file, as in {{path = "{paths[k]}", name = "second"}}'
            )
    parts = []
    for number, (part, place, name) in enumerate(zip(listed.parts, places, names, strict=True)):
        if place.given is not None and place.path is not None:
            report_unwrapped(place.given, place.path)
        if place.path is None:
            raise InputError(f"{part.path}: {place.format.name} is drawn, not read, and cannot be a part")
        where = f"parts[{number}]"
        options = {**place.options, **_relative_to(listed.folder, part.options, place.format)}
        for option in options:
            if option in FolderOptions.model_fields and option not in PART_OPTIONS:
                raise InputError(
                    f"{listed.file}: {where}.{option}: concerns the whole data set; set it outside of the parts"
                )
        _validate(place.format, options, where, listed.file)
        parts.append(
            Part(
                name,
                place.format,
                place.path,
                place.annotations,
                place.other_formats,
                options,
                part.take,
                part.split,
            )
        )
    joined = parts_format(parts)
    options = _relative_to(listed.folder, listed.options, joined)
    _validate(joined, options, "", listed.file)
    default = "+".join(sorted(names)) if listed.file is None else dataset_name(listed.file)
    annotations = tuple(file for place in places for file in place.annotations)
    return DataLocation(
        joined, listed.file, annotations, parts=tuple(sorted(names)), options=options, name=default
    )


def _relative_to(folder: Path, options: Mapping[str, Any], known: DatasetFormat) -> dict[str, Any]:
    """Options with their paths relative to the working folder instead of `folder`."""
    changed = dict(options)
    for name in path_options(known.options) & set(options):
        if isinstance(options[name], str):
            changed[name] = "+".join(str(folder / path) for path in _pieces(folder, options[name]))
    groups = options.get("groups")
    if isinstance(groups, str) and groups.lower().endswith(".csv"):
        changed["groups"] = str(folder / groups)
    return changed


def _pieces(folder: Path, text: str) -> list[str]:
    """The paths that are joined in the value of an option, or the value itself if it is a path."""
    return [text] if (folder / text).exists() else text.split("+")


def _validate(
    known: DatasetFormat, options: Mapping[str, Any], section: str, file: Path | None
) -> DataOptions:
    """Options of a format, validated; `section` and `file` say in messages where they stand."""
    prefix = f"{section}." if section else ""
    fields = {f"{prefix}{name}": field for name, field in known.options.model_fields.items()}
    given = {section: options} if section else options
    files = {} if file is None else dict.fromkeys([*fields, *(prefix + name for name in options)], str(file))
    try:
        return known.options.model_validate(dict(options))
    except ValidationError as error:
        raise settings_error(error, given, fields, files, owner=f"of {known.name}", section=section) from None


def _is_drawn(name: str) -> bool:
    return name in DATASETS and DATASETS[name].layout is None


def _detect(path: Path) -> DataLocation:
    names = sorted(DATASETS, key=lambda name: (name not in LAYOUTS, name in exports(), name))
    layouts = {name: layout for name in names if (layout := DATASETS[name].layout) is not None}
    found: dict[str, list[Path]] = {}
    for name, layout in layouts.items():
        if name in exports() and any(other in LAYOUTS for other in found):
            break  # their detection reads files of other formats
        try:
            files = layout.files(path)
        except InputError:
            if not found:
                raise
            continue  # several data sets of another format do not matter
        if files:
            found[name] = files
    if not found and (files := UNDESCRIBED_YOLO.files(path)):
        found["yolo"] = files
    if not found:
        refuse_unreadable(path)
        own = "; ".join(
            f"{name}: {layout.looks_for}" for name, layout in layouts.items() if name not in exports()
        )
        advice = near_miss(path)
        raise InputError(
            f"{path}: unknown data set format; {advice + '; ' if advice else ''}looked for {own}; and for layouts of other tools ({', '.join(exports())}; "
            f"docs/formats.md describes them); found {_contents(path)}; "
            f"set the format with --format if it is one of these"
        )
    name, *others = found
    return DataLocation(DATASETS[name], path, tuple(found[name]), tuple(others), name=dataset_name(path))


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
        return f"a file {path.suffix or 'without suffix'} of {plural(path.stat().st_size, 'byte')}"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    if not names:
        return "an empty folder"
    more = f" and {len(names) - 8:,} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


register_exports()
