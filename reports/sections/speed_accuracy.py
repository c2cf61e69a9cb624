"""Speed against AP: which models are worth their time, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from reports.analysis.pareto_front import front, hypervolume, on_front, reference_point
from reports.analysis.report_data import Comparison, mean
from reports.analysis.speed import (
    Speed,
    Timed,
    latency_replicates,
    quality_replicates,
    slower_and_no_better,
    times,
)
from reports.elements import formatting
from reports.elements.page import Cell, Column, Figure, Link, Row, Section, Table
from reports.figures.speed_scatter import Point, pareto
from reports.records.timing import Machine


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a model stands among those that were timed on the same machine."""

    timed: Timed
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


def section(comparison: Comparison, speed: Speed) -> Section | None:
    """AP against latency, a figure for each machine; None for one model, where none was timed, or AP is not defined."""
    if len(comparison.models) < 2 or not speed.known or math.isnan(mean(comparison.headline("ap")[0])):
        return None
    groups = _groups(comparison, speed)
    finding = " ".join(_finding(comparison, group, len(groups) > 1) for group in groups)
    missing = [comparison.labels[at] for at, timed in enumerate(speed.models) if timed is None]
    warnings = [*speed.left_out]
    if len(groups) > 1:
        warnings.append(
            "The models were timed on machines that differ, so there is a figure for each, and no front over all: "
            "time them all on one machine."
        )
    if missing:
        warnings.append(f"Without a timing that counts, and so not shown: {formatting.listed(missing)}.")
    figures = [_figure(comparison, group, at) for at, group in enumerate(groups)]
    return Section(
        "pareto",
        "Speed against AP",
        finding,
        figures=figures,
        tables=(_table(comparison, speed, groups),),
        warnings=warnings,
        method=_method(comparison, groups),
        links=(
            Link("pareto.csv", "one row a model"),
            Link("timings.csv", "every stage, mode and batch size"),
        ),
    )


def rows(comparison: Comparison, speed: Speed) -> pd.DataFrame:
    """What the figures show, one row a model; no rows where none was timed."""
    made = []
    for group in _groups(comparison, speed):
        for place in group.places:
            made.append(
                {
                    "model_id": comparison.models[place.timed.model].label,
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
                        comparison.models[other].label for other in place.beaten_by
                    ),
                    "hypervolume": group.area,
                    "reference_ms": group.reference[0],
                    "reference_ap": group.reference[1],
                }
            )
    return pd.DataFrame(made)


def _groups(comparison: Comparison, speed: Speed) -> list[_Group]:
    made = []
    for machine, models in speed.machines:
        timed = [one for one in speed.known if one.model in models]
        latency = np.array([one.median_ms for one in timed])
        quality = np.array([mean(comparison.headline("ap")[one.model]) for one in timed])
        qualities = quality_replicates(comparison, models)
        chances = (
            on_front(latency_replicates(speed, models, len(qualities)), qualities)
            if comparison.statistics is not None and all(one.rounds > 1 for one in timed)
            else np.full(len(timed), np.nan)
        )
        reference = reference_point(latency)
        places = []
        for at, (one, is_on) in enumerate(zip(timed, front(latency, quality), strict=True)):
            ends = (math.nan, math.nan)
            if comparison.statistics is not None:
                standing = comparison.standings("ap")[one.model]
                ends = standing.ci_low, standing.ci_high
            beaten_by = slower_and_no_better(comparison, speed, one.model)
            places.append(_Place(one, float(quality[at]), ends, bool(is_on), float(chances[at]), beaten_by))
        made.append(_Group(machine, places, reference, hypervolume(latency, quality, reference)))
    return made


def _finding(comparison: Comparison, group: _Group, several: bool) -> str:
    names = comparison.labels
    where = f"On {formatting.literal(group.machine.name)}: " if several else ""
    on = [names[place.timed.model] for place in group.places if place.is_on]
    said = [
        f"{where}{formatting.listed(on)} {'is' if len(on) == 1 else 'are'} on the front of speed against AP"
    ]
    for place in group.places:
        if place.beaten_by:
            others = formatting.listed([names[other] for other in place.beaten_by], 3)
            said.append(f"{names[place.timed.model]} is slower than {others} and not surely better")
    return (
        f"{'; '.join(said)}."
        if len(group.places) > 1
        else f"{where}only {on[0] if on else 'one model'} was timed."
    )


def _figure(comparison: Comparison, group: _Group, at: int) -> Figure:
    points = [
        Point(
            number=place.timed.model,
            label=comparison.labels[place.timed.model],
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
    title = f"Speed against AP on {formatting.literal(group.machine.name)}"
    drawn = pareto(slug, title, _finding(comparison, group, several=False), points)
    bars = (
        " Bars are 95% intervals."
        if comparison.statistics is not None
        else " Bars are 95% intervals of latency."
    )
    return replace(
        drawn,
        caption=f"Up and to the left is better; the dashed line is the front, open grey marks are slower and not "
        f"surely better.{bars}",
    )


def _table(comparison: Comparison, speed: Speed, groups: Sequence[_Group]) -> Table:
    made = []
    several = len(groups) > 1
    for group in groups:
        fastest = min(group.places, key=lambda place: place.timed.median_ms)
        for place in group.places:
            model = place.timed.model
            ratio = speed.ratio(model, fastest.timed.model)
            word = "on the front" if place.is_on else "beaten in both, not surely"
            if place.beaten_by:
                word = f"slower than {formatting.listed([comparison.labels[o] for o in place.beaten_by], 3)}, not surely better"
            cells = [
                Cell(
                    comparison.labels[model], note=formatting.literal(group.machine.name) if several else ""
                ),
                Cell(
                    formatting.significant(place.timed.median_ms),
                    place.timed.median_ms,
                    note=place.timed.interval_text,
                ),
                Cell(
                    formatting.points(place.quality),
                    place.quality,
                    note=formatting.interval(*place.qualities),
                ),
                Cell(times(ratio) if place is not fastest else "1", ratio.value if ratio else None),
                Cell(
                    f"{place.chance:.2f}" if math.isfinite(place.chance) else formatting.MISSING, place.chance
                ),
                Cell(word),
            ]
            made.append(Row(tuple(cells), series=model))
    columns = (
        Column("Model"),
        Column("Median, ms", numeric=True),
        Column("AP", numeric=True),
        Column("Speed, fastest is 1", numeric=True),
        Column("P(on front)", numeric=True),
        Column("Place"),
    )
    caption = "Milliseconds of one image from file to detections, and AP in points of 100; in brackets 95% intervals"
    return Table("pareto-table", caption, columns, tuple(made))


def _method(comparison: Comparison, groups: Sequence[_Group]) -> tuple[str, ...]:
    areas = [
        f"{group.area:.3f} up to ({formatting.milliseconds(group.reference[0])}, AP {formatting.points(group.reference[1])})"
        + (f" on {formatting.literal(group.machine.name)}" if len(groups) > 1 else "")
        for group in groups
    ]
    paragraphs = [
        "Latency is the median of one image at a time, from its file to detections, suppression included. A model is "
        "on the front where no other is as fast and as good, and faster or better. The area between the front and a "
        f"reference point (hypervolume; latency by its natural logarithm, AP as a fraction) is {formatting.listed(areas)}.",
    ]
    if comparison.statistics is not None:
        paragraphs.append(
            "P(on front) is the share of joint resamples in which a model is on the front: AP on resampled images, the "
            "same for all models, and the median latency on resampled processes and rounds, the same for all models "
            "that were timed in turn. A model is slower and not surely better than another where the interval of "
            "the ratio of their speeds lies above 1 and its own lead in AP, if it has one, is not more than chance: "
            "then there is no sure reason to wait for it."
        )
    return tuple(paragraphs)
