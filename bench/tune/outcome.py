"""What a tuning came to: entries of the ending, what the chosen one gains, and how all that is told."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.table import Table

from bench.tune.anchors import Fitted
from bench.tune.spaces import Scalar
from metrics.compare import Comparison
from metrics.errors import PartialError
from reports.records.atomic_files import atomic_write


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
        test_interval: 95%, of the mean of `test`: over images, and over seeds where there are several. None where not
            known.
        limited: what was measured of each limited quantity, by name.
        over: which limits it does not keep, in words; such an entry is not chosen.
    """

    name: str
    values: Mapping[str, Scalar]
    tuned: float | None
    again: tuple[float, ...] = ()
    test: tuple[float, ...] = ()
    test_interval: tuple[float, float] | None = None
    limited: Mapping[str, float] = field(default_factory=dict)
    over: str = ""

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
class Gain:
    """What the chosen settings have on test above the untuned ones, on the same images.

    Attributes:
        delta: difference of the means over seeds: above 0 the chosen ones have more.
        interval: 95%, over images, and over seeds where there are several; None where not known.
        p_better: share of resamples in which the chosen settings are the better ones; None where not known.
        images: of the test split; None where nothing was resampled.
        seeds: of each; one says nothing of other seeds.
        doubt: why the difference may be chance; empty where it is decisive.
    """

    delta: float
    interval: tuple[float, float] | None
    p_better: float | None
    images: int | None
    seeds: int
    doubt: str = ""

    @classmethod
    def of(cls, delta: float, comparison: Comparison | None, chosen: str, seeds: int) -> Gain:
        """From a comparison of ``default`` and the chosen entry, where there is one."""
        if comparison is None:
            return cls(delta, None, None, None, seeds, "nothing was resampled")
        row = comparison.difference(chosen, "default")
        ahead = row.model_a == chosen
        low, high = (row.ci_low, row.ci_high) if ahead else (0.0 - row.ci_high, 0.0 - row.ci_low)
        p_better = row.p_a_gt_b if ahead else 1 - row.p_a_gt_b
        return cls(
            delta,
            None if math.isnan(low) else (low, high),
            None if math.isnan(p_better) else p_better,
            comparison.method.images,
            seeds,
            row.doubt,
        )

    def __str__(self) -> str:
        said = f"{self.delta:+.3f}"
        if self.interval is not None:
            said += f" [{self.interval[0]:+.3f}, {self.interval[1]:+.3f}]"
        if self.p_better is not None:
            said += f", better in {_share(self.p_better)} of resamples"
        return f"{said} ({f'not decisive: {self.doubt}' if self.doubt else 'decisive'})"


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
        gain: of the chosen entry on test; None where that is the default, or nobody looked.
        note: why there are no intervals; empty where there are.
        fit: how the untuned and the fitted priors fit, a row for each split and size; see `bench.tune.anchors.Fitted`.
    """

    objective: str
    higher: bool
    entries: tuple[Entry, ...]
    chosen: str
    folder: Path
    states: Mapping[str, Mapping[str, int]]
    importances: Mapping[str, Mapping[str, float]]
    gain: Gain | None = None
    note: str = ""
    fit: tuple[Fitted, ...] = ()

    @property
    def winner(self) -> Entry:
        """The chosen entry."""
        return next(entry for entry in self.entries if entry.name == self.chosen)

    def save(self) -> None:
        """Write ``outcome.json``."""
        document = asdict(self) | {"folder": self.folder.name}
        atomic_write(
            self.folder / "outcome.json", json.dumps(_plain(document), indent=2, sort_keys=True) + "\n"
        )

    def show(self, console: Console | None = None) -> None:
        """Print the fit of priors, the entries, the optimism, the gain on test, and where the winner's settings are."""
        console = console or Console()
        if self.fit:
            console.print(self._fit_table())
        console.print(self._table())
        for line in self._lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(header_style="bold", box=None, pad_edge=False)
        table.add_column("settings", overflow="fold")
        limited = tuple(self.entries[0].limited)
        for title in (f"{self.objective} tuned", "again", "optimism", "test", *limited):
            table.add_column(title, justify="right")
        for entry in self.entries:
            mark = " (chosen)" if entry.name == self.chosen else " (over the limit)" if entry.over else ""
            table.add_row(
                entry.name + mark,
                _number(entry.tuned),
                _several(entry.again),
                _number(entry.optimism),
                _with_interval(entry),
                *(f"{entry.limited[name]:.4g}" for name in limited),
            )
        return table

    def _fit_table(self) -> Table:
        table = Table(
            header_style="bold", box=None, pad_edge=False, title="priors and boxes", title_justify="left"
        )
        for title in ("settings", "boxes of", "size", "objects", "recall", "mean IoU"):
            table.add_column(title, justify="left" if title in {"settings", "boxes of", "size"} else "right")
        for row in self.fit:
            if row.objects:
                table.add_row(
                    row.name,
                    row.split,
                    row.group,
                    f"{row.objects:,}",
                    _number(row.recall),
                    _number(row.mean_iou),
                )
        return table

    def _lines(self) -> Iterator[str]:
        for stage, counts in self.states.items():
            yield f"{stage} trials: {', '.join(f'{count} {state}' for state, count in sorted(counts.items()))}"
        for stage, shares in self.importances.items():
            if shares:
                said = ", ".join(f"{path} {share:.2f}" for path, share in list(shares.items())[:5])
                yield f"what mattered in {stage} (PED-ANOVA): {said}"
        if self.gain is not None:
            of = f"{self.gain.images} test images" if self.gain.images else "test"
            yield f"gain on {of}, chosen less default: {self.gain}"
            if self.gain.seeds == 1 and self.gain.interval is not None:
                yield "one set of weights each: another seed could turn the difference round"
        if self.note:
            yield self.note
        if not self.winner.again:
            if not self.winner.test:
                yield "nothing was trained: priors that fit better need not make a better detector"
            else:
                yield "not run again with fresh seeds: the tuned value is the best of many, and too good"
        changed = ", ".join(f"{path}={_text(value)}" for path, value in self.winner.values.items())
        yield f"chosen: {changed or 'the defaults'}"
        yield f"settings: {self.folder / 'winner.toml'}"
        yield f"report: {self.folder / 'report.html'}"


def choose(entries: Sequence[Entry], higher: bool) -> Entry:
    """The entry that did best on validation; of equally good ones the first, so put the default there.

    Raises:
        PartialError: none keeps the limits.
    """
    sign = 1 if higher else -1
    within = [entry for entry in entries if not entry.over]
    if not within:
        raise PartialError(
            f"no settings keep the limits: {entries[0].over}; raise the limit, or widen --space"
        )
    return max(within, key=lambda entry: -math.inf if math.isnan(entry.judged) else sign * entry.judged)


def _share(share: float) -> str:
    """``83%``; all and none only where it is all or none."""
    if 0 < share < 0.005:
        return "under 1%"
    return "over 99%" if 0.995 <= share < 1 else f"{share:.0%}"


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


def _with_interval(entry: Entry) -> str:
    if entry.test_interval is None:
        return _several(entry.test)
    low, high = entry.test_interval
    return f"{fmean(entry.test):.3f} [{low:.3f}, {high:.3f}]"


def _text(value: Scalar) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
