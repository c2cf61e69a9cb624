"""Opening a data set by its name or its path: which format it is in, and its options checked."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.data.types import DATASETS, DataOptions, Dataset, DatasetFormat
from metrics.errors import InputError, InputWarning
from metrics.registry import UnknownName, did_you_mean


def open_dataset(path: str | Path, format: str = "auto", seed: int = 0, **options: Any) -> Dataset:
    """A data set with splits train, val and test.

    Args:
        path: the name of a data set that is drawn (``shapes``), or a folder or file.
        format: a name in `DATASETS`; ``auto`` looks at what the path holds.
        seed: decides what is drawn, or which images fall into which split where the data set does not say. It is
            not a run's seed: runs with different seeds are tested on the same images.
        **options: settings of the format, as its `DatasetFormat.options` has them.

    Raises:
        InputError: there is nothing at that path, no format recognises it, an option is unknown or wrong, or what
            was found cannot be trained on and measured.
    """
    name = detect_format(path, format)
    known = DATASETS[name]
    checked = _checked(known, {"seed": seed, **options})
    drawn = known.recognises is None
    notes = [] if drawn or format != "auto" else _also(Path(path), name)
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dataset = known.open(None if drawn else Path(path), checked)
    finally:
        for warning in caught:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    notes += [str(warning.message) for warning in caught if issubclass(warning.category, InputWarning)]
    return replace(dataset, notes=[*dataset.notes, *notes])


def detect_format(path: str | Path, format: str = "auto") -> str:
    """The name of the format that `path` is in; what is given as `format` overrules what it looks like.

    Raises:
        InputError: an unknown format, nothing at `path`, or no format recognises it: then the message has what
            each looked for and what is there.
    """
    if format != "auto":
        chosen = DATASETS[format]
        if chosen.recognises is not None:
            _require(Path(path))
        return format
    if str(path) in DATASETS and DATASETS[str(path)].recognises is None:
        return str(path)
    _require(Path(path))
    for name, known in DATASETS.items():
        if known.recognises is not None and known.recognises(Path(path)):
            return name
    looked = "; ".join(f"{name}: {known.looks_for}" for name, known in DATASETS.items() if known.looks_for)
    raise InputError(
        f"{path}: no known format of data set; looked for {looked}; found {_contents(Path(path))}; "
        f"if it is one of these all the same, say which with --format"
    )


def _also(path: Path, chosen: str) -> list[str]:
    """A note where other formats recognise the path too."""
    others = [
        name
        for name, known in DATASETS.items()
        if name != chosen and known.recognises and known.recognises(path)
    ]
    return [f"read as {chosen}; it can also be read with --format {' or '.join(others)}"] if others else []


def _require(path: Path) -> None:
    if path.exists():
        return
    if path.name == str(path) and path.name in DATASETS:
        raise InputError(f"{path}: the name of a format; give the folder of a data set, and --format {path}")
    drawn = [name for name, known in DATASETS.items() if known.recognises is None]
    if path.name == str(path):
        raise UnknownName("dataset", str(path), drawn)
    parent = next((p for p in path.parents if p.exists()), Path())
    names = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
    missing = path.relative_to(parent).parts[0] if parent in path.parents else path.name
    raise InputError(
        f"{path}: no such folder or file; {parent} has no {missing!r}{did_you_mean(missing, names)}"
    )


def _contents(path: Path) -> str:
    """The first few names in a folder, to show what was looked at."""
    if path.is_file():
        return f"a file {path.suffix or 'without suffix'} of {path.stat().st_size:,} bytes"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
    if not names:
        return "an empty folder"
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(names[:8]) + more


def _checked(known: DatasetFormat, options: dict[str, Any]) -> DataOptions:
    try:
        return known.options.model_validate(options)
    except ValidationError as error:
        lines = []
        for mistake in error.errors():
            where = ".".join(["data", *(str(part) for part in mistake["loc"])])
            if mistake["type"] == "extra_forbidden":
                near = did_you_mean(str(mistake["loc"][-1]), known.options.model_fields)
                lines.append(f"{where}: no such setting of {known.name}{near}")
            elif "error" in mistake.get("ctx", {}):
                lines.append(f"{where}: {mistake['ctx']['error']}")
            else:
                lines.append(f"{where}: {mistake['msg'].lower()}, got {mistake['input']!r}")
        raise InputError("\n".join(lines)) from None
