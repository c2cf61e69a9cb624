"""Speed of the models of a report: valid timings by machine, and ratios between models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reports.analysis.process_intervals import Estimate, mean_ratio, mean_replicates
from reports.analysis.report_data import ReportData
from reports.analysis.timing_statistics import process_percentiles
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
"""The command that times runs."""


@dataclass(frozen=True, eq=False)
class TimedModel:
    """A model with a valid timing.

    Attributes:
        model: its number.
        timing: of one of its runs; the other seeds are the same network with other weights.
        samples_ms: (n,) end-to-end times of single test images, in measurement order.
        process_ms: (P,) median of the samples of each process.
    """

    model: int
    timing: Timing
    samples_ms: Floats
    process_ms: Floats

    @property
    def whole(self) -> StageTimes:
        """End-to-end times of single test images."""
        whole = self.timing.headline
        assert whole is not None
        return whole

    @property
    def median_ms(self) -> float:
        """Median end-to-end time, the geometric mean over processes."""
        assert self.whole.median_ms is not None
        return self.whole.median_ms

    @property
    def ends_ms(self) -> tuple[float, float]:
        """The interval of the median; the median twice with a single process."""
        median = self.whole.percentile(0.5)
        if median.low_ms is None or median.high_ms is None:
            return self.median_ms, self.median_ms
        return median.low_ms, median.high_ms


@dataclass(frozen=True, eq=False)
class Speed:
    """Timings of the models of a report.

    Attributes:
        models: the timing of each model, or None without a valid one.
        machines: the machines with the numbers of the models timed there, those with the most models first.
        left_out: a sentence for each timing that is not valid.
    """

    models: tuple[TimedModel | None, ...]
    machines: tuple[tuple[Machine, tuple[int, ...]], ...]
    left_out: tuple[str, ...]

    @property
    def known(self) -> list[TimedModel]:
        """The models with a valid timing."""
        return [timed for timed in self.models if timed is not None]

    def ratio(self, one: int, other: int) -> Estimate | None:
        """Divide the speed of model `one` by that of `other`; None unless both were timed on the same machine.

        The intervals of all pairs of models on a machine hold jointly with 95% confidence.
        """
        first, second = self.models[one], self.models[other]
        if first is None or second is None:
            return None
        if first.timing.machine.fingerprint != second.timing.machine.fingerprint:
            return None
        count = next(len(models) for _, models in self.machines if one in models)
        its, others = first.process_ms, second.process_ms
        in_turn = first.timing.session == second.timing.session and len(its) == len(others)
        return mean_ratio(others, its, in_turn, count * (count - 1) // 2)


def speed_of(report: ReportData) -> Speed:
    """Read the timings in the folders of the runs.

    Raises:
        InputError: a timing is damaged or of a newer version.
    """
    models: list[TimedModel | None] = []
    left_out: list[str] = []
    for model in report.models:
        label = report.labels[model.number]
        valid, reasons = None, []
        for run in model.runs:
            timing = load_timing(run.path)
            if timing is None or valid is not None:
                continue
            reason = _invalid_reason(timing, run.result.name)
            if reason:
                reasons.append(f"The timing of {label} is not valid: {formatting.printable(reason)}.")
            else:
                valid = _timed(model.number, timing, run.path)
        models.append(valid)
        left_out += reasons if valid is None else []
    groups: dict[str, list[TimedModel]] = {}
    for timed in models:
        if timed is not None:
            groups.setdefault(timed.timing.machine.fingerprint, []).append(timed)
    ordered = sorted(groups.values(), key=lambda group: (-len(group), group[0].model))
    machines = tuple((group[0].timing.machine, tuple(timed.model for timed in group)) for group in ordered)
    return Speed(tuple(models), machines, tuple(left_out))


def best_rate(timed: TimedModel) -> BatchRun | None:
    """Return the batch size with the highest throughput."""
    measured = [run for run in timed.timing.batches if run.images_per_second is not None]
    return max(measured, key=lambda run: run.images_per_second or 0.0, default=None)


def speed_finding(report: ReportData, speed: Speed) -> str:
    """Describe the latency of the best timed model and the relative speed of the others; empty without timings."""
    if not speed.known:
        return ""
    best = speed.known[0]
    machine = best.timing.machine
    names = report.labels
    latency = (
        f"{names[best.model]} takes {formatting.milliseconds(best.median_ms)} per image on {formatting.printable(machine.name)}, "
        "from file to detections"
    )
    others = [
        timed.model for timed in speed.known[1:] if timed.timing.machine.fingerprint == machine.fingerprint
    ]
    ratios = [f"{names[model]} has {times(speed.ratio(model, best.model))} its speed" for model in others]
    return f"{'; '.join(filter(None, (latency, formatting.join_words(ratios, 5))))}."


def times(ratio: Estimate | None) -> str:
    """Format a ratio: ``1.4× [1.3, 1.5]``, or ``1.4×`` without limits."""
    if ratio is None:
        return formatting.MISSING
    ends = "" if ratio.low is None or ratio.high is None else f" [{_times(ratio.low)}, {_times(ratio.high)}]"
    return f"{_times(ratio.value)}×{ends}"


def faster_and_not_worse(report: ReportData, speed: Speed, model: int) -> list[int]:
    """Find models on the same machine that are faster than `model`, and over which it has no decisive lead in AP.

    Faster means that the interval of the ratio of the speeds lies above 1. Empty without statistics.
    """
    statistics = report.statistics
    if statistics is None:
        return []
    faster = []
    for other in range(len(report.models)):
        ratio = speed.ratio(other, model) if other != model else None
        if ratio is None or ratio.low is None or ratio.low <= 1:
            continue
        label = report.models[model].label
        row = statistics.difference(label, report.models[other].label)
        lead = row.delta if row.model_a == label else -row.delta
        if not (row.decisive and lead > 0):
            faster.append(other)
    return faster


def quality_replicates(report: ReportData, models: Sequence[int]) -> Floats:
    """Return (B, M) AP of models on shared resamples of the images; without statistics, (1, M) AP."""
    statistics = report.statistics
    if statistics is None:
        return np.array([[float(np.mean(report.headline("ap")[model])) for model in models]])
    columns = statistics.replicates[statistics.measure]
    return np.stack([columns[report.models[model].label] for model in models], axis=1)


def latency_replicates(speed: Speed, models: Sequence[int], resamples: int) -> Floats:
    """Draw (B, M) logarithms of the median latency of timed models with several processes, from Student's t over processes.

    Models that were timed in turn share their draws.
    """
    sessions: dict[str, list[TimedModel]] = {}
    for timed in speed.known:
        if timed.model in models:
            sessions.setdefault(timed.timing.session, []).append(timed)
    columns: dict[int, Floats] = {}
    for session, members in sessions.items():
        seed = [int.from_bytes(session.encode(), "big")]
        drawn = mean_replicates([timed.process_ms for timed in members], resamples, seed)
        columns |= {timed.model: column for timed, column in zip(members, drawn.T, strict=True)}
    return np.stack([columns[model] for model in models], axis=1)


def _invalid_reason(timing: Timing, name: str) -> str:
    if timing.run != name:
        return f"it belongs to another run, {timing.run}"
    if timing.invalid:
        return "; ".join(timing.invalid)
    whole = timing.headline
    if whole is None or whole.median_ms is None:
        count = 0 if whole is None else whole.samples
        return f"it has too few samples ({count})"
    return ""


def _timed(model: int, timing: Timing, folder: Path) -> TimedModel:
    samples = load_samples(folder)
    real = samples[(samples["mode"] == "real") & (samples["batch"] == 1) & (samples["stage"] == END_TO_END)]
    ms = real["ns"].to_numpy(np.float64) / 1e6
    return TimedModel(model, timing, ms, process_percentiles(ms, real["process"].to_numpy(np.int64), 0.5))


def _times(value: float) -> str:
    """Format a ratio: ``0.47``, ``1.40``, ``2.3``, ``12``; ``>99`` for the limits of few processes.

    What is not 1 is not rounded to 1, so that an interval visibly contains 1 only if it does.
    """
    if value > 99.5:
        return ">99"
    if 0.995 <= value < 1.005 and abs(value - 1) >= 0.0005:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 1.995 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"
