"""The timings of a comparison's models: which count, on which machine, and what they say of one model against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.analysis.report_data import ReportData
from reports.analysis.timing_statistics import RESAMPLES, Blocks, interval, replicates
from reports.elements import formatting
from reports.records.timing import (
    END_TO_END,
    BatchRun,
    Machine,
    StageTimes,
    Timing,
    load_samples,
    load_timing,
)

Floats = NDArray[np.float64]

COMMAND = "python -m bench profile RUN..."
"""What adds timings."""


class Ratio(NamedTuple):
    """How many times as fast one model is as another, with a 95 % interval over processes and rounds.

    Without ends where one round is all there is of a model: it says nothing of others.
    """

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class TimedModel:
    """A model whose timing counts.

    Attributes:
        model: its number.
        timing: of one of its runs; its seeds are the same network with other weights.
        samples_ms: (n,) of one real image from file to detections, in the order in which they were taken.
        medians_ms: (B,) their median on resamples of processes and rounds, which models timed in turn share.
        rounds: of all processes.
    """

    model: int
    timing: Timing
    samples_ms: Floats
    medians_ms: Floats
    rounds: int

    @property
    def whole(self) -> StageTimes:
        """Times of one real image, from file to detections."""
        whole = self.timing.headline
        assert whole is not None
        return whole

    @property
    def median_ms(self) -> float:
        """Their median."""
        assert self.whole.median_ms is not None
        return self.whole.median_ms

    @property
    def ends_ms(self) -> tuple[float, float]:
        """The median's interval; the median itself twice where one round is all there is."""
        low, high = self.whole.median_low_ms, self.whole.median_high_ms
        return (self.median_ms, self.median_ms) if low is None or high is None else (low, high)

    @property
    def interval_text(self) -> str:
        """``[16.1, 16.4]``; empty where nothing is known of other rounds."""
        low, high = self.whole.median_low_ms, self.whole.median_high_ms
        if low is None or high is None:
            return ""
        return f"[{formatting.three_digits(low)}, {formatting.three_digits(high)}]"


@dataclass(frozen=True, eq=False)
class Speed:
    """What is known of the models' speed.

    Attributes:
        models: for each model its timing, or None where none counts.
        machines: the machines, and the numbers of the models timed there; the most models first.
        left_out: why a model's timing does not count, a sentence each; nothing of models that were never timed.
    """

    models: tuple[TimedModel | None, ...]
    machines: tuple[tuple[Machine, tuple[int, ...]], ...]
    left_out: tuple[str, ...]

    @property
    def known(self) -> list[TimedModel]:
        """Those that count, in the models' order."""
        return [timed for timed in self.models if timed is not None]

    def ratio(self, one: int, other: int) -> Ratio | None:
        """Speed of model `one` by that of `other`: above 1 where it is faster; None unless one machine timed both."""
        first, second = self.models[one], self.models[other]
        if first is None or second is None:
            return None
        if first.timing.machine.fingerprint != second.timing.machine.fingerprint:
            return None
        value = second.median_ms / first.median_ms
        if min(first.rounds, second.rounds) < 2:
            return Ratio(value, None, None)
        return Ratio(value, *interval(second.medians_ms / first.medians_ms))


def speed_of(report: ReportData) -> Speed:
    """Read the timings that lie in the folders of a comparison's runs.

    Raises:
        InputError: one of them is damaged or of a newer version.
    """
    models: list[TimedModel | None] = []
    left_out: list[str] = []
    for model in report.models:
        label = report.labels[model.number]
        counting, reasons = None, []
        for run in model.runs:
            timing = load_timing(run.path)
            if timing is None or counting is not None:
                continue
            reason = _why_not(timing, run.result.name)
            if reason:
                reasons.append(f"{label}: its timing does not count: {formatting.printable(reason)}.")
            else:
                counting = _timed(model.number, timing, run.path, report.options.resamples or RESAMPLES)
        models.append(counting)
        left_out += reasons if counting is None else []
    groups: dict[str, list[TimedModel]] = {}
    for timed in models:
        if timed is not None:
            groups.setdefault(timed.timing.machine.fingerprint, []).append(timed)
    ordered = sorted(groups.values(), key=lambda group: (-len(group), group[0].model))
    machines = tuple((group[0].timing.machine, tuple(timed.model for timed in group)) for group in ordered)
    return Speed(tuple(models), machines, tuple(left_out))


def best_rate(timed: TimedModel) -> BatchRun | None:
    """The batch size that brings the most images a second."""
    measured = [run for run in timed.timing.batches if run.images_per_second is not None]
    return max(measured, key=lambda run: run.images_per_second or 0.0, default=None)


def sentence(report: ReportData, speed: Speed) -> str:
    """How fast the best model that was timed is, and the others on the same machine beside it; empty without timings."""
    if not speed.known:
        return ""
    best = speed.known[0]
    machine = best.timing.machine
    names = report.labels
    said = [
        f"{names[best.model]} takes {formatting.milliseconds(best.median_ms)} an image on {formatting.printable(machine.name)}, "
        "from file to detections"
    ]
    others = [
        timed.model for timed in speed.known[1:] if timed.timing.machine.fingerprint == machine.fingerprint
    ]
    told = [f"{names[model]} runs at {times(speed.ratio(model, best.model))} its speed" for model in others]
    if told:
        said.append(formatting.join_words(told, 5))
    return f"{'; '.join(said)}."


def times(ratio: Ratio | None) -> str:
    """``1.4× [1.3, 1.5]``; ``1.4×`` where nothing is known of other rounds."""
    if ratio is None:
        return formatting.MISSING
    ends = "" if ratio.low is None or ratio.high is None else f" [{_two(ratio.low)}, {_two(ratio.high)}]"
    return f"{_two(ratio.value)}×{ends}"


def slower_and_no_better(report: ReportData, speed: Speed, model: int) -> list[int]:
    """Models on the same machine that are surely faster than `model`, and that it does not surely beat by AP.

    Surely faster: the interval of the ratio of their speeds lies above 1. Without statistics no difference of AP is
    sure, and nothing is said: the list is empty.
    """
    statistics = report.statistics
    if statistics is None:
        return []
    found = []
    for other in range(len(report.models)):
        ratio = speed.ratio(other, model) if other != model else None
        if ratio is None or ratio.low is None or ratio.low <= 1:
            continue
        mine, theirs = report.models[model].label, report.models[other].label
        row = statistics.difference(mine, theirs)
        lead = row.delta if row.model_a == mine else -row.delta
        if not (row.decisive and lead > 0):
            found.append(other)
    return found


def quality_replicates(report: ReportData, models: Sequence[int]) -> Floats:
    """(B, M) AP of models on resamples of the images, the same for all; where there are none, their AP once."""
    statistics = report.statistics
    if statistics is None:
        return np.array([[float(np.mean(report.headline("ap")[model])) for model in models]])
    columns = statistics.replicates[statistics.measure]
    return np.stack([columns[report.models[model].label] for model in models], axis=1)


def latency_replicates(speed: Speed, models: Sequence[int], resamples: int) -> Floats:
    """(B, M) median latency of timed models on resamples of processes and rounds, in ms; as many as `resamples`."""
    columns = []
    for model in models:
        timed = speed.models[model]
        assert timed is not None
        columns.append(np.resize(timed.medians_ms, resamples))
    return np.stack(columns, axis=1)


def _why_not(timing: Timing, name: str) -> str:
    if timing.run != name:
        return f"it is that of another run, {timing.run}"
    if timing.invalid:
        return "; ".join(timing.invalid)
    whole = timing.headline
    if whole is None or whole.median_ms is None:
        count = 0 if whole is None else whole.samples
        return f"{formatting.plural(count, 'sample')} of it are too few"
    return ""


def _timed(model: int, timing: Timing, folder: Path, resamples: int) -> TimedModel:
    samples = load_samples(folder)
    real = samples[(samples["mode"] == "real") & (samples["batch"] == 1) & (samples["stage"] == END_TO_END)]
    ms = real["ns"].to_numpy(np.float64) / 1e6
    blocks = Blocks.by(real)
    # Models that were timed in turn share their draws: what slowed a round down slowed it down for all.
    weights = blocks.weights(resamples, [int.from_bytes(timing.session.encode(), "big")])
    return TimedModel(model, timing, ms, replicates(ms, blocks, weights), len(blocks.processes))


def _two(value: float) -> str:
    """Two digits that count: ``0.47``, ``1.4``, ``12``."""
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 10 else f"{value:.0f}"
