"""Levels of a design: the same runs under settings that differ from level to level, such as the fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.data.types import Dataset
from bench.runs.context import RunContext
from bench.runs.folders import Busy
from bench.runs.matrix import run_all, with_seeds
from bench.runs.naming import run_name
from bench.runs.run import run
from bench.settings.config import EntryConfig
from bench.settings.resolution import open_entries, resolve_entry
from metrics.errors import InputError
from reports.records.run import RunFolder

Cell = int
"""Number of a run within its level, the same for one model and seed in every level."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level of a design.

    Attributes:
        name: for messages, such as ``fold 2 of 5``.
        settings: values of the settings that make the level, by dotted path.
    """

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LevelRuns:
    """The runs of a level.

    Attributes:
        level: the level.
        dataset: its data set.
        runs: the finished runs.
        held: an error for each run that another process is still doing.
    """

    level: Level
    dataset: Dataset
    runs: Mapping[Cell, RunFolder]
    held: Sequence[Busy]


def run_levels(
    levels: Sequence[Level],
    entries: Sequence[tuple[str, str | None]],
    sources: Mapping[str, Any],
    seeds: int,
    out: Path,
    context: RunContext,
) -> list[LevelRuns]:
    """Do the runs of every level once, passing over those that another process is doing.

    The same command can be started on several machines that share the folder. Runs that were passed over are tried again at
    the end.

    Args:
        levels: in order.
        entries: see `bench.settings.resolution.open_entries`.
        sources: see there.
        seeds: runs per variant.
        out: parent folder of the run folders.
        context: of all runs.

    Raises:
        InputError: as `open_entries`; or the sources set one of the levels' settings to another value.
        Busy: other processes are doing all runs.
    """
    for level in levels:
        _check_level(level, entries, sources)
    context = replace(context, page=False)
    done = [_run_level(level, entries, sources, seeds, out, context) for level in levels]
    for number, each in enumerate(done):
        if each.held:
            done[number] = _run_level(each.level, entries, sources, seeds, out, context)
    held = [busy for each in done for busy in each.held]
    if held and not any(each.runs for each in done):
        raise held[0]
    for busy in held:
        context.progress.message(f"not included: {busy}")
    return done


def open_level(
    level: Level, entries: Sequence[tuple[str, str | None]], sources: Mapping[str, Any]
) -> tuple[Dataset, list[EntryConfig]]:
    """Open the data set of a level, and resolve the settings of each entry on it; see `open_entries`."""
    return open_entries(entries, _with_level(sources, level))


def _check_level(level: Level, entries: Sequence[tuple[str, str | None]], sources: Mapping[str, Any]) -> None:
    """Refuse sources that set one of the level's settings to another value."""
    names = [name for name, _ in entries]
    for name, preset in entries:
        config = resolve_entry(name, preset=preset, variants=names, **_with_level(sources, level))
        for path, value in level.settings.items():
            if _plain(config.get(path)) != _plain(value):
                raise InputError(
                    f"{path}: set to {config.get(path)!r} by {config.origin(path)}, but the design has a run for each of its "
                    "values; leave the setting out"
                )


def _plain(value: Any) -> Any:
    """The value with lists for tuples, as files have them."""
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _with_level(sources: Mapping[str, Any], level: Level) -> dict[str, Any]:
    own = {name: value for name, value in sources.items() if name != "preset"}
    return {**own, "options": {**sources["options"], **level.settings}}


def _run_level(
    level: Level,
    entries: Sequence[tuple[str, str | None]],
    sources: Mapping[str, Any],
    seeds: int,
    out: Path,
    context: RunContext,
) -> LevelRuns:
    dataset, resolved = open_level(level, entries, sources)
    for note in dict.fromkeys(str(note) for config in resolved for note in config.notes):
        context.progress.message(f"note: {note}")
    configs = with_seeds(resolved, seeds)
    cells = {run_name(config, dataset): cell for cell, config in enumerate(configs)}
    try:
        runs, held = run_all(
            configs,
            lambda config: run(config, out, dataset, context),
            dataset.name if level.name == dataset.name else f"{dataset.name}, {level.name}",
            context.progress,
        )
    except Busy as busy:
        return LevelRuns(level, dataset, {}, [busy])
    return LevelRuns(level, dataset, {cells[one.result.name]: one for one in runs}, held)
