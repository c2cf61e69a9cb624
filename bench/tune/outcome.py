"""The honest ending: the best and the untuned settings once more with fresh seeds, chosen on validation, told on test."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table

from bench.tune.spaces import Scalar
from reports.files import write_whole


@dataclass(frozen=True, slots=True)
class Entry:
    """Settings that reached the end.

    Attributes:
        name: ``default``, or ``trial 17``.
        values: the tuned settings by dotted path.
        tuned: the objective's value in the study, on validation; None where the trial has none.
        again: on validation, one value for each fresh seed.
        test: on test, one value for each fresh seed, or for the study's own weights where there is no fresh seed;
            empty for entries that are neither chosen nor the default.
    """

    name: str
    values: Mapping[str, Scalar]
    tuned: float | None
    again: tuple[float, ...] = ()
    test: tuple[float, ...] = ()

    @property
    def judged(self) -> float:
        """By what the choice is made: the mean of the fresh runs, or the study's value where there are none."""
        if self.again:
            return fmean(self.again)
        return math.nan if self.tuned is None else self.tuned

    @property
    def optimism(self) -> float:
        """The study's value less that of the fresh runs: what the search mistook for skill. NaN where not known."""
        return self.tuned - fmean(self.again) if self.again and self.tuned is not None else math.nan


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tuning came to.

    Attributes:
        objective: the (first) objective, as typed.
        higher: whether more of it is better.
        entries: the default and the best few.
        chosen: name of the entry that did best on validation.
        folder: where `winner.toml`, `outcome.json` and `trials.csv` are.
        states: how many trials ended how, by stage.
        importances: of each setting, by stage; by PED-ANOVA.
    """

    objective: str
    higher: bool
    entries: tuple[Entry, ...]
    chosen: str
    folder: Path
    states: Mapping[str, Mapping[str, int]]
    importances: Mapping[str, Mapping[str, float]]

    @property
    def winner(self) -> Entry:
        """The chosen entry."""
        return next(entry for entry in self.entries if entry.name == self.chosen)

    def save(self) -> None:
        """Write ``outcome.json``."""
        document = asdict(self) | {"folder": self.folder.name}
        write_whole(
            self.folder / "outcome.json", json.dumps(_plain(document), indent=2, sort_keys=True) + "\n"
        )

    def show(self, console: Console | None = None) -> None:
        """Print the entries, the optimism, and where the winner's settings are."""
        console = console or Console()
        table = Table(header_style="bold", box=None, pad_edge=False)
        table.add_column("settings", overflow="fold")
        for title in (f"{self.objective} tuned", "again", "optimism", "test"):
            table.add_column(title, justify="right")
        for entry in self.entries:
            mark = " (chosen)" if entry.name == self.chosen else ""
            table.add_row(
                entry.name + mark,
                _number(entry.tuned),
                _several(entry.again),
                _number(entry.optimism),
                _several(entry.test),
            )
        console.print(table)
        for stage, counts in self.states.items():
            said = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
            console.print(f"{stage} trials: {said}", highlight=False)
        for stage, shares in self.importances.items():
            if shares:
                most = list(shares.items())[:5]
                said = ", ".join(f"{path} {share:.2f}" for path, share in most)
                console.print(f"what mattered in {stage} (PED-ANOVA): {said}", highlight=False)
        if not self.winner.again:
            console.print("not run again with fresh seeds: the tuned value is the best of many, and too good")
        changed = ", ".join(f"{path}={_text(value)}" for path, value in self.winner.values.items())
        console.print(f"chosen: {changed or 'the defaults'}", markup=False, highlight=False, soft_wrap=True)
        console.print(
            f"settings: {self.folder / 'winner.toml'}", markup=False, highlight=False, soft_wrap=True
        )


def choose(entries: Sequence[Entry], higher: bool) -> Entry:
    """The entry that did best on validation; of equally good ones the first, so put the default there."""
    sign = 1 if higher else -1
    return max(entries, key=lambda entry: -math.inf if math.isnan(entry.judged) else sign * entry.judged)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def _several(values: Sequence[float]) -> str:
    if not values:
        return "–"
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{fmean(values):.3f}{spread}"


def _text(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
