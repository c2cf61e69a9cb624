"""Speed against AP: which models are worth their time, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reports.analysis.pareto_front import front, hypervolume, on_front, reference_point
from reports.analysis.report_data import ReportData, mean
from reports.analysis.speed import (
    Speed,
    TimedModel,
    latency_replicates,
    quality_replicates,
    slower_and_no_better,
    times,
)
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.speed_scatter import Point, pareto
from reports.records.timing import Machine


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a model stands among those that were timed on the same machine."""

    timed: TimedModel
    quality: float
    qualities: tuple[float, float]
    is_on: bool
    chance: float
    beaten_by: list[int]


@dataclass(frozen=True, eq=False)
class _Group:
    machine: Machine
    places: list[_Place]
    reference: tuple[float, float]
    area: float


def section(report: ReportData, speed: Speed) -> Section | None:
    """AP against latency, a figure for each machine; None for one model, where none was timed, or AP is not defined."""
    if len(report.models) < 2 or not speed.known or math.isnan(mean(report.headline("ap")[0])):
        return None
    groups = _groups(report, speed)
    finding = " ".join(_finding(report, group, len(groups) > 1) for group in groups)
    missing = [report.labels[at] for at, timed in enumerate(speed.models) if timed is None]
    warnings = [*speed.left_out]
    if len(groups) > 1:
        warnings.append(
            "The models were timed on machines that differ, so there is a figure for each, and no front over all: "
            "time them all on one machine."
        )
    if missing:
        warnings.append(f"Without a timing that counts, and so not shown: {formatting.join_words(missing)}.")
    figures = [_figure(report, group, at) for at, group in enumerate(groups)]
    return Section(
        "pareto",
        "Speed against AP",
        finding,
        figures=figures,
        tables=(_table(report, speed, groups),),
        warnings=warnings,
        method=_method(report, groups),
        links=(
            Link("pareto.csv", "one row a model"),
            Link("timings.csv", "every stage, mode and batch size"),
        ),
    )


def rows(report: ReportData, speed: Speed) -> pd.DataFrame:
    """What the figures show, one row a model; no rows where none was timed."""
    made = []
    for group in _groups(report, speed):
        for place in group.places:
            made.append(
                {
                    "model_id": report.models[place.timed.model].label,
                    "hardware": group.machine.fingerprint,
                    "hardware_name": group.machine.name,
                    "latency_p50_ms": place.timed.median_ms,
                    "latency_low_ms": place.timed.whole.median_low_ms,
                    "latency_high_ms": place.timed.whole.median_high_ms,
                    "ap": place.quality,
                    "ap_low": place.qualities[0],
                    "ap_high": place.qualities[1],
                    "on_front": place.is_on,
                    "p_on_front": place.chance,
                    "slower_and_no_better_than": "; ".join(
                        report.models[other].label for other in place.beaten_by
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
            on_front(latency_replicates(speed, models, len(qualities)), qualities)
            if report.statistics is not None and all(one.rounds > 1 for one in timed)
            else np.full(len(timed), np.nan)
        )
        reference = reference_point(latency)
        places = []
        for at, (one, is_on) in enumerate(zip(timed, front(latency, quality), strict=True)):
            ends = (math.nan, math.nan)
            if report.statistics is not None:
                standing = report.standings("ap")[one.model]
                ends = standing.ci_low, standing.ci_high
            beaten_by = slower_and_no_better(report, speed, one.model)
            places.append(_Place(one, float(quality[at]), ends, bool(is_on), float(chances[at]), beaten_by))
        made.append(_Group(machine, places, reference, hypervolume(latency, quality, reference)))
    return made


def _finding(report: ReportData, group: _Group, several: bool) -> str:
    names = report.labels
    where = f"On {formatting.printable(group.machine.name)}: " if several else ""
    on = [names[place.timed.model] for place in group.places if place.is_on]
    said = [
        f"{where}{formatting.join_words(on)} {'is' if len(on) == 1 else 'are'} on the front of speed against AP"
    ]
    for place in group.places:
        if place.beaten_by:
            others = formatting.join_words([names[other] for other in place.beaten_by], 3)
            said.append(f"{names[place.timed.model]} is slower than {others} and not surely better")
    return (
        f"{'; '.join(said)}."
        if len(group.places) > 1
        else f"{where}only {on[0] if on else 'one model'} was timed."
    )


def _figure(report: ReportData, group: _Group, at: int) -> Figure:
    points = [
        Point(
            number=place.timed.model,
            label=report.labels[place.timed.model],
            latency_ms=place.timed.median_ms,
            latency=place.timed.ends_ms,
            quality=place.quality,
            qualities=place.qualities,
            on_front=place.is_on,
            grey=bool(place.beaten_by),
        )
        for place in group.places
    ]
    slug = "pareto" if at == 0 else f"pareto-{at + 1}"
    title = f"Speed against AP on {formatting.printable(group.machine.name)}"
    drawn = pareto(slug, title, _finding(report, group, several=False), points)
    bars = (
        " Bars are 95% intervals." if report.statistics is not None else " Bars are 95% intervals of latency."
    )
    return replace(
        drawn,
        caption=f"Up and to the left is better; the dashed line is the front, open grey marks are slower and not "
        f"surely better.{bars}",
    )


def _table(report: ReportData, speed: Speed, groups: Sequence[_Group]) -> PageTable:
    made = []
    several = len(groups) > 1
    for group in groups:
        fastest = min(group.places, key=lambda place: place.timed.median_ms)
        for place in group.places:
            model = place.timed.model
            ratio = speed.ratio(model, fastest.timed.model)
            word = "on the front" if place.is_on else "beaten in both, not surely"
            if place.beaten_by:
                word = f"slower than {formatting.join_words([report.labels[o] for o in place.beaten_by], 3)}, not surely better"
            cells = [
                Cell(report.labels[model], note=formatting.printable(group.machine.name) if several else ""),
                Cell(
                    formatting.three_digits(place.timed.median_ms),
                    place.timed.median_ms,
                    note=place.timed.interval_text,
                ),
                Cell(
                    formatting.points(place.quality),
                    place.quality,
                    note=formatting.points_interval(*place.qualities),
                ),
                Cell(times(ratio) if place is not fastest else "1", ratio.value if ratio else None),
                Cell(
                    f"{place.chance:.2f}" if math.isfinite(place.chance) else formatting.MISSING, place.chance
                ),
                Cell(word),
            ]
            made.append(TableRow(tuple(cells), series=model))
    columns = (
        TableColumn("Model"),
        TableColumn("Median, ms", numeric=True),
        TableColumn("AP", numeric=True),
        TableColumn("Speed, fastest is 1", numeric=True),
        TableColumn("P(on front)", numeric=True),
        TableColumn("Place"),
    )
    caption = "Milliseconds of one image from file to detections, and AP in points of 100; in brackets 95% intervals"
    return PageTable("pareto-table", caption, columns, tuple(made))


def _method(report: ReportData, groups: Sequence[_Group]) -> tuple[str, ...]:
    areas = [
        f"{group.area:.3f} up to ({formatting.milliseconds(group.reference[0])}, AP {formatting.points(group.reference[1])})"
        + (f" on {formatting.printable(group.machine.name)}" if len(groups) > 1 else "")
        for group in groups
    ]
    paragraphs = [
        "Latency is the median of one image at a time, from its file to detections, suppression included. A model is "
        "on the front where no other is as fast and as good, and faster or better. The area between the front and a "
        f"reference point (hypervolume; latency by its natural logarithm, AP as a fraction) is {formatting.join_words(areas)}.",
    ]
    if report.statistics is not None:
        paragraphs.append(
            "P(on front) is the share of joint resamples in which a model is on the front: AP on resampled images, the "
            "same for all models, and the median latency on resampled processes and rounds, the same for all models "
            "that were timed in turn. A model is slower and not surely better than another where the interval of "
            "the ratio of their speeds lies above 1 and its own lead in AP, if it has one, is not more than chance: "
            "then there is no sure reason to wait for it."
        )
    return tuple(paragraphs)
