"""Speed and accuracy: the Pareto front of latency and AP, and its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reports.analysis.pareto_front import hypervolume, pareto_front, reference_point, share_on_front
from reports.analysis.report_data import ReportData, mean
from reports.analysis.speed import (
    Speed,
    TimedModel,
    faster_and_not_worse,
    latency_replicates,
    quality_replicates,
    times,
)
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.speed_scatter import Point, pareto
from reports.records.timing import Machine
from reports.sections.speed_cells import percentile_cell

LATENCY_AXIS = "median latency (ms per image; lower is better)"


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A model among those timed on the same machine.

    Attributes:
        timed: its timing.
        ap, ap_interval: AP as a fraction and its interval.
        on_front: whether it is on the Pareto front.
        p_on_front: share of joint replicates in which it is.
        faster: numbers of models that are decisively faster and not decisively worse in AP.
    """

    timed: TimedModel
    ap: float
    ap_interval: tuple[float, float]
    on_front: bool
    p_on_front: float
    faster: list[int]


@dataclass(frozen=True, eq=False)
class _Group:
    machine: Machine
    candidates: list[_Candidate]
    reference: tuple[float, float]
    area: float


def section(report: ReportData, speed: Speed) -> Section | None:
    """AP over latency, one figure per machine; None for one model, without timings, or if AP is not defined."""
    if len(report.models) < 2 or not speed.known or math.isnan(mean(report.headline("ap")[0])):
        return None
    groups = _groups(report, speed)
    finding = " ".join(_finding(report, group, len(groups) > 1) for group in groups)
    missing = [report.labels[at] for at, timed in enumerate(speed.models) if timed is None]
    warnings = [*speed.left_out]
    if len(groups) > 1:
        warnings.append(
            "The models were timed on different machines, so each machine has its own figure and Pareto front. Time all models "
            "on one machine to compare them."
        )
    if missing:
        warnings.append(f"Not shown, because there is no valid timing: {formatting.join_words(missing)}.")
    figures = [_figure(report, group, at) for at, group in enumerate(groups)]
    return Section(
        "pareto",
        "Speed and accuracy",
        finding,
        figures=figures,
        tables=(_table(report, speed, groups),),
        warnings=warnings,
        method=_method(report, groups),
        links=(
            Link("pareto.csv", "one row per model"),
            Link("timings.csv", "all stages, modes and batch sizes"),
        ),
    )


def rows(report: ReportData, speed: Speed) -> pd.DataFrame:
    """The data of the figures, one row per model: ``pareto.csv``."""
    made = []
    for group in _groups(report, speed):
        for candidate in group.candidates:
            made.append(
                {
                    "model_id": report.models[candidate.timed.model].label,
                    "hardware": group.machine.fingerprint,
                    "hardware_name": group.machine.name,
                    "latency_p50_ms": candidate.timed.median_ms,
                    "latency_low_ms": candidate.timed.whole.percentile(0.5).low_ms,
                    "latency_high_ms": candidate.timed.whole.percentile(0.5).high_ms,
                    "ap": candidate.ap,
                    "ap_low": candidate.ap_interval[0],
                    "ap_high": candidate.ap_interval[1],
                    "on_front": candidate.on_front,
                    "p_on_front": candidate.p_on_front,
                    "slower_and_no_better_than": "; ".join(
                        report.models[other].label for other in candidate.faster
                    ),
                    "hypervolume": group.area,
                    "reference_ms": group.reference[0],
                    "reference_ap": group.reference[1],
                }
            )
    return pd.DataFrame(made)


def _groups(report: ReportData, speed: Speed) -> list[_Group]:
    made = []
    for machine, models in speed.machines:
        timed = [one for one in speed.known if one.model in models]
        latency = np.array([one.median_ms for one in timed])
        quality = np.array([mean(report.headline("ap")[one.model]) for one in timed])
        qualities = quality_replicates(report, models)
        chances = (
            share_on_front(latency_replicates(speed, models, len(qualities)), qualities)
            if report.statistics is not None and all(len(one.process_ms) > 1 for one in timed)
            else np.full(len(timed), np.nan)
        )
        reference = reference_point(latency)
        candidates = []
        for at, (one, is_on) in enumerate(zip(timed, pareto_front(latency, quality), strict=True)):
            interval = (math.nan, math.nan)
            if report.statistics is not None:
                standing = report.standings("ap")[one.model]
                interval = standing.ci_low, standing.ci_high
            faster = faster_and_not_worse(report, speed, one.model)
            candidates.append(
                _Candidate(one, float(quality[at]), interval, bool(is_on), float(chances[at]), faster)
            )
        made.append(_Group(machine, candidates, reference, hypervolume(latency, quality, reference)))
    return made


def _finding(report: ReportData, group: _Group, several: bool) -> str:
    names = report.labels
    where = f"On {formatting.printable(group.machine.name)}, " if several else ""
    front = [names[candidate.timed.model] for candidate in group.candidates if candidate.on_front]
    if len(group.candidates) < 2:
        return f"{where or 'Only '}{'only ' * several}{front[0] if front else 'one model'} was timed."
    head = f"{where}the" if several else "The"
    parts = [f"{head} Pareto front of speed and AP consists of {formatting.join_words(front)}"]
    for candidate in group.candidates:
        if candidate.faster:
            others = formatting.join_words([names[other] for other in candidate.faster], 3)
            parts.append(
                f"{names[candidate.timed.model]} is slower than {others} without a decisively higher AP"
            )
    return f"{'; '.join(parts)}."


def _figure(report: ReportData, group: _Group, at: int) -> Figure:
    points = [
        Point(
            number=candidate.timed.model,
            label=report.labels[candidate.timed.model],
            cost=candidate.timed.median_ms,
            costs=candidate.timed.ends_ms,
            quality=candidate.ap,
            qualities=candidate.ap_interval,
            on_front=candidate.on_front,
            grey=bool(candidate.faster),
        )
        for candidate in group.candidates
    ]
    slug = "pareto" if at == 0 else f"pareto-{at + 1}"
    title = f"AP over latency on {formatting.printable(group.machine.name)}"
    drawn = pareto(slug, title, _finding(report, group, several=False), points, LATENCY_AXIS)
    bars = "Bars are 95% confidence intervals" + (" of latency" if report.statistics is None else "")
    caption = (
        "Up and to the left is better. The dashed line is the Pareto front; open grey markers are models that are slower than "
        f"another without a decisively higher AP. {bars}."
    )
    return replace(drawn, caption=caption)


def _table(report: ReportData, speed: Speed, groups: Sequence[_Group]) -> PageTable:
    made = []
    several = len(groups) > 1
    for group in groups:
        fastest = min(group.candidates, key=lambda candidate: candidate.timed.median_ms)
        for candidate in group.candidates:
            model = candidate.timed.model
            ratio = None if candidate is fastest else speed.ratio(model, fastest.timed.model)
            word = "on the front" if candidate.on_front else "behind the front, not decisively"
            if candidate.faster:
                others = formatting.join_words([report.labels[other] for other in candidate.faster], 3)
                word = f"slower than {others} without a decisively higher AP"
            cells = [
                Cell(report.labels[model], note=formatting.printable(group.machine.name) if several else ""),
                percentile_cell(candidate.timed.whole, 0.5),
                Cell(
                    formatting.points(candidate.ap),
                    candidate.ap,
                    note=formatting.points_interval(*candidate.ap_interval),
                ),
                Cell(times(ratio) if ratio else "1", ratio.value if ratio else 1.0),
                Cell(
                    f"{candidate.p_on_front:.2f}"
                    if math.isfinite(candidate.p_on_front)
                    else formatting.MISSING,
                    candidate.p_on_front,
                ),
                Cell(word),
            ]
            made.append(TableRow(tuple(cells), series=model))
    columns = (
        TableColumn("Model"),
        TableColumn("Median (ms)", numeric=True),
        TableColumn("AP", numeric=True),
        TableColumn("Relative speed", numeric=True),
        TableColumn("Probability of being on the front", numeric=True),
        TableColumn("Position"),
    )
    caption = "Latency of one image from file to detections, speed relative to the fastest model, and AP in percent, with 95% confidence intervals"
    return PageTable("pareto-table", caption, columns, tuple(made))


def _ratios(groups: Sequence[_Group]) -> str:
    text = (
        "Relative speed is the ratio of two median latencies, each the geometric mean over fresh processes. Its interval is "
        "Student's t on the logarithmic scale with processes as units, paired by process for models that were timed in turn, "
        "and Welch's t otherwise."
    )
    most = max(len(group.candidates) for group in groups)
    if most > 2:
        pairs = most * (most - 1) // 2
        text += (
            f" With {most} models, the intervals of all {pairs} pairs hold jointly with 95% confidence (Bonferroni correction): "
            "if all models were equally fast, at most 5% of the timings would call any two different."
        )
    return text


def _method(report: ReportData, groups: Sequence[_Group]) -> tuple[str, ...]:
    areas = [
        f"{group.area:.3f} for the reference point ({formatting.milliseconds(group.reference[0])}, AP {formatting.points(group.reference[1])})"
        + (f" on {formatting.printable(group.machine.name)}" if len(groups) > 1 else "")
        for group in groups
    ]
    paragraphs = [
        "Latency is the median over single images, from the file to the final detections, NMS included. A model is on the "
        "Pareto front if no other model is at least as fast and as accurate, and better in one of the two. The hypervolume, the "
        "area between the front and a reference point, with the natural logarithm of latency and AP as a fraction, is "
        f"{formatting.join_words(areas)}.",
        _ratios(groups),
    ]
    if report.statistics is not None:
        paragraphs.append(
            "The probability of being on the front is the share of joint replicates in which a model is on the front, with AP "
            "from resampled images (the same for all models) and median latency from the t distribution over processes that its "
            "interval is based on. A model is marked as slower without a decisively higher AP if the interval of the ratio of the "
            "speeds is above 1 and its lead in AP, if any, is not decisive."
        )
    return tuple(paragraphs)
