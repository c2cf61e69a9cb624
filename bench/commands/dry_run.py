"""``bench run --dry-run``: what the command would run, how long it takes, and the disk space that it needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.commands.results_table import literal_text
from bench.designs.folds import fold_levels
from bench.designs.levels import Level, open_level
from bench.designs.train_sizes import size_levels
from bench.process.json_value import print_json
from bench.process.progress import Progress
from bench.runs.disk_space import free_bytes
from bench.runs.forecast import Costs, PlannedRun, State, plan_runs
from bench.runs.matrix import with_seeds
from metrics.plurals import plural
from reports.elements import formatting

_STATES: dict[State, str] = {
    "finished": "finished, reused",
    "interrupted": "interrupted, continues",
    "new": "new",
}


def dry_run(
    entries: Sequence[tuple[str, str | None]],
    sources: dict[str, Any],
    seeds: int,
    folds: int | None,
    train_sizes: Sequence[str] | None,
    out: Path,
    fresh: bool,
    json: bool,
    quiet: bool,
) -> None:
    """Print the runs of a command with their state, remaining time and disk space; no file is written."""
    levels = [Level("", {})]
    if train_sizes:
        levels = size_levels(train_sizes)
    elif folds is not None:
        levels = fold_levels(folds)
    progress = Progress.auto(quiet)
    planned: list[tuple[str, PlannedRun]] = []
    costs: dict[str, Costs] = {}
    for level in levels:
        dataset, resolved = open_level(level, entries, sources)
        runs = plan_runs(with_seeds(resolved, seeds), dataset, out, fresh, progress, costs)
        planned += [(level.name, run) for run in runs]
    needed, free = _needed_bytes([run for _, run in planned]), free_bytes(out)
    if json:
        print_json(
            {
                "runs": [{"level": level, **asdict(run), "seconds": run.seconds} for level, run in planned],
                "seconds": sum(run.seconds for _, run in planned),
                "needed_bytes": needed,
                "free_bytes": free,
            }
        )
        return
    console = Console()
    console.print(_table(planned))
    for line in (runs_text(planned), _time_text(planned), _space_text(needed, free, out)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _needed_bytes(runs: Sequence[PlannedRun]) -> int:
    """Space for the weights of all runs, and for one run in training."""
    return sum(run.kept_bytes for run in runs) + max(
        (run.peak_bytes - run.kept_bytes for run in runs), default=0
    )


def _table(planned: Sequence[tuple[str, PlannedRun]]) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    leveled = any(level for level, _ in planned)
    for title in ("run", *(("part",) if leveled else ()), "state"):
        table.add_column(title, overflow="fold")
    for title in ("training", "prediction"):
        table.add_column(title, justify="right", no_wrap=True)
    for level, run in planned:
        table.add_row(
            literal_text(run.name),
            *((level,) if leveled else ()),
            _STATES[run.state],
            formatting.duration(run.train_seconds),
            formatting.duration(run.test_seconds),
        )
    return table


def runs_text(planned: Sequence[tuple[str, PlannedRun]]) -> str:
    """Number of runs in each state: ``3 runs: 1 finished, reused; 2 new``."""
    counts = Counter(run.state for _, run in planned)
    states = "; ".join(f"{counts[state]} {text}" for state, text in _STATES.items() if counts[state])
    return f"{plural(len(planned), 'run')}: {states}"


def _time_text(planned: Sequence[tuple[str, PlannedRun]]) -> str:
    unknown = [run.variant for _, run in planned if run.state != "finished" and run.test_seconds is None]
    text = f"time: about {formatting.duration(sum(run.seconds for _, run in planned))} on this machine, without evaluation and pages"
    if unknown:
        text += f", and without {formatting.join_words(list(dict.fromkeys(unknown)))}, which is not timed"
    return text


def _space_text(needed: int, free: int, out: Path) -> str:
    only = "" if needed <= free else "only "
    return (
        f"disk: about {formatting.byte_size(needed)} needed, {only}{formatting.byte_size(free)} free in {out}"
    )
