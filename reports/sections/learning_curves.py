"""Learning curves: AP50 and AP over the number of training images, and whether more images or another model would help."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metrics.designs.learning_curve import LEAST_RANGE, LEAST_SIZES, REACH, Estimate, Unsupported
from reports.analysis.learning_curves import LEVEL, MEASURES, LearningResults, ModelCurve
from reports.analysis.report_data import ReportData
from reports.analysis.training_budget import shared_limit
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.lines import Curve, LineAxes, lines

TITLES = {"ap50": "AP50", "ap": "AP"}

_REASONS: dict[Unsupported, str] = {
    "few_sizes": f"fewer than {LEAST_SIZES} numbers of images",
    "narrow_range": f"numbers of images that differ by less than a factor of {LEAST_RANGE:g}",
    "one_seed": "one seed, so that the variance between trainings is unknown",
    "misfit": "values that do not follow a power law within their errors",
}


def section(report: ReportData, results: LearningResults | None) -> Section | None:
    """Learning curves of all models; None without runs on fewer training images."""
    if results is None:
        return None
    labels = report.labels
    return Section(
        "learning-curves",
        "Learning curves",
        finding_text(labels, results),
        figures=[_figure(report, measure, results.curves[measure]) for measure in MEASURES],
        tables=(_values_table(report, results), _outlook_table(labels, results)),
        warnings=_warnings(labels, results),
        method=(
            "The training images are nested: each smaller set is a subset of the larger ones, stratified by class; all models and "
            "seeds use the same sets, and all are tested on the same images. Other sections of this page compare the runs with "
            "the most training images.",
            "The curve is the power law a − b·n^−c, by least squares with a between 0 and 1. Bands and intervals are percentiles of fits to "
            "bootstrap replicates of all values, which resample the test images and vary with the seeds; they do not include the variance "
            "between choices of training images. In simulations they contain the true value in 90% to 95% of experiments "
            "(python -m tests.benchmarks.learning_curve_coverage), if the truth is a power law. Nothing is said beyond "
            f"{REACH:g} times the training images, and nothing beyond the measured range for {_joined(_REASONS.values())}.",
            f"Settings are the same at each size: {_equal_effort(report)}, but the best settings for many images need not be the best "
            "for few.",
        ),
        links=(
            Link("learning-curves.csv", "values by model and number of images"),
            Link("learning-fits.csv", "fitted curves"),
        ),
    )


def _equal_effort(report: ReportData) -> str:
    """What the same length of training means on fewer images."""
    if shared_limit(report.models) is not None:
        return "the same budget means more epochs over fewer images"
    return "the same number of epochs means fewer steps on fewer images"


def finding_text(labels: Sequence[str], results: LearningResults) -> str:
    """The leader at each number of images; and of the best model with the most images, when AP50 reaches the level, and what
    twice the images would bring. The table has these of the others.
    """
    curves = results.curves[MEASURES[0]]
    most = max(curve.images[-1] for curve in curves)
    best = max(
        (curve for curve in curves if curve.images[-1] == most), key=lambda curve: curve.values[-1].value
    )
    parts = [
        leaders_text(labels, results),
        until_text(labels[best.number], best),
        payoff_text(labels, results, curves.index(best)),
    ]
    return " ".join(part for part in parts if part)


def leaders_text(labels: Sequence[str], results: LearningResults) -> str:
    """Which model has the highest AP50 at which number of images; neighbouring numbers with the same answer are joined."""
    groups: list[tuple[list[int], str]] = []
    for leader in results.leaders:
        name = labels[leader.number]
        if not leader.tied:
            answer = f"{name} is best"
        elif len(leader.tied) == leader.of - 1 == 1:
            answer = f"{name} and {labels[leader.tied[0]]} are tied"
        else:
            answer = f"{name} leads, tied with {formatting.join_words([labels[number] for number in leader.tied], 3)}"
        if groups and groups[-1][1] == answer:
            groups[-1][0].append(leader.images)
        else:
            groups.append(([leader.images], answer))
    texts = [
        f"with {f'{formatting.count(images[0])} to ' * (len(images) > 1)}{formatting.plural(images[-1], 'training image')} {answer}"
        for images, answer in groups
    ]
    return f"By AP50, {'; '.join(texts)}." if texts else ""


def until_text(label: str, curve: ModelCurve) -> str:
    """How many images are needed until AP50 reaches the level, or why that is not said."""
    level = f"AP50 {formatting.points(LEVEL)}"
    reached = next(
        (n for n, value in zip(curve.images, curve.values, strict=True) if value.value >= LEVEL), None
    )
    if reached is not None:
        return f"{label} reaches {level} with {formatting.plural(reached, 'image')} or fewer."
    fitted = curve.curve
    if fitted is None or fitted.unsupported is not None:
        reason = _REASONS["few_sizes" if fitted is None else fitted.unsupported or "few_sizes"]
        return f"How many images {label} needs for {level} cannot be estimated from {reason}."
    until = fitted.images_until(LEVEL)
    limit = f"{REACH:g} times the data ({formatting.plural(round(fitted.limit), 'image')})"
    if math.isinf(until.low):
        return f"{label} does not reach {level} within {limit}."
    low = formatting.count(until.low)
    if math.isinf(until.value):
        return f"{label} is not expected to reach {level} within {limit}, but may with {low} or more."
    high = f"more than {limit}" if math.isinf(until.high) else formatting.count(until.high)
    return f"{label} is expected to reach {level} with {formatting.plural(round(until.value), 'image')} [{low}, {high}]."


def payoff_text(labels: Sequence[str], results: LearningResults, at: int) -> str:
    """Whether twice the images or another model would raise AP50 more; empty if neither is known."""
    payoff = results.payoffs[at]
    label, doubling, switching = labels[payoff.number], payoff.doubling, payoff.switching
    if doubling is None:
        return ""
    images = f"twice the images would raise {label} by {_gain(doubling)} points"
    if switching is None or payoff.best is None:
        return f"{images[:1].upper()}{images[1:]}."
    other = labels[payoff.best]
    change = f"{other} instead by {_gain(switching)}"
    ends = {
        "variant": "the other model helps more",
        "images": "more images help more",
        "open": "which helps more is not certain",
    }
    return f"{images[:1].upper()}{images[1:]}, {change}: {ends[payoff.verdict]}."


def _gain(estimate: Estimate) -> str:
    ends = formatting.difference_interval(estimate.low, estimate.high)
    return f"{formatting.signed_points(estimate.value)} {ends}".strip()


def _joined(words: object) -> str:
    listed = [str(word) for word in words]  # type: ignore[attr-defined]
    return f"{', '.join(listed[:-1])}, or {listed[-1]}"


def _warnings(labels: Sequence[str], results: LearningResults) -> tuple[str, ...]:
    if results.seeds_vary:
        return ()
    return (
        "Each value is of a single seed: curves are not extrapolated, and their bands include only the variance of the test "
        "images; train with --seeds 3.",
    )


def _figure(report: ReportData, measure: str, curves: Sequence[ModelCurve]) -> Figure:
    labels = [report.labels[curve.number] for curve in curves]
    drawn: list[list[Curve]] = []
    points: list[list[tuple[float, float]]] = []
    bands = []
    for curve in curves:
        n, values = curve.images, np.array([value.value for value in curve.values])
        x, low, high = n, *(np.array([getattr(v, end) for v in curve.values]) for end in ("low", "high"))
        shown = (n, 100 * values)
        if curve.curve is not None:
            end = n[-1] * (2 if curve.curve.unsupported is None else 1)
            x = np.geomspace(n[0], end, 40)
            x[-1] = end
            shown = (x, 100 * curve.curve.law.at(x))
            found = [curve.curve.at(float(each)) for each in x]
            low, high = np.array([each.low for each in found]), np.array([each.high for each in found])
        drawn.append([shown])
        points.append(
            [(float(images), 100 * value) for images, of in zip(n, curve.seeds, strict=True) for value in of]
        )
        bands.append((x, 100 * low, 100 * high))
    title = TITLES[measure]
    extended = any(curve.curve is not None and curve.curve.unsupported is None for curve in curves)
    most = formatting.count(max(curve.images[-1] for curve in curves))
    finding = (
        f"{title} rises with the number of training images."
        if _all_rise(curves)
        else f"{title} does not rise from each number of training images to the next{' for every model' * (len(curves) > 1)}."
    )
    figure = lines(
        f"learning-{measure}", f"{title} over training images", finding, labels, drawn,
        LineAxes("training images", f"{title} (%)", log_x=True, ticks=_ticks(curves)), points=points, bands=bands,
        numbers=[curve.number for curve in curves],
    )  # fmt: skip
    beyond = f" Beyond {most} images it is extrapolated." if extended else ""
    return replace(
        figure,
        caption=f"{finding} Markers are seeds, lines fitted power laws, bands 95% intervals.{beyond}",
    )


def _ticks(curves: Sequence[ModelCurve]) -> tuple[float, ...]:
    """The numbers of training images, without those whose labels would overlap."""
    ticks: list[float] = []
    for images in sorted({float(each) for curve in curves for each in curve.images}):
        if not ticks or images >= 1.3 * ticks[-1]:
            ticks.append(images)
    return tuple(ticks)


def _all_rise(curves: Sequence[ModelCurve]) -> bool:
    return all(
        one.value < other.value
        for curve in curves
        for one, other in zip(curve.values, curve.values[1:], strict=False)
    )


def _values_table(report: ReportData, results: LearningResults) -> PageTable:
    curves = results.curves[MEASURES[0]]
    sizes = sorted({int(n) for curve in curves for n in curve.images})
    leaders = {leader.images: leader for leader in results.leaders}
    made = []
    for size in sizes:
        cells = [Cell(formatting.count(size), size)]
        for measure in MEASURES:
            for curve in results.curves[measure]:
                at = np.flatnonzero(curve.images == size)
                if not len(at):
                    cells.append(Cell(formatting.MISSING))
                    continue
                value = curve.values[int(at[0])]
                leader = leaders.get(size)
                best = measure == MEASURES[0] and leader is not None and leader.number == curve.number
                note = formatting.points_interval(value.low, value.high)
                cells.append(Cell(formatting.points(value.value), value.value, strong=best, note=note))
        made.append(TableRow(tuple(cells)))
    columns = (
        TableColumn("Training images", numeric=True),
        *(
            TableColumn(f"{report.labels[curve.number]}: {TITLES[measure]}", numeric=True)
            for measure in MEASURES
            for curve in results.curves[measure]
        ),
    )
    numbers = [curve.number for measure in MEASURES for curve in results.curves[measure]]
    return PageTable(
        "learning-table", "AP50 and AP by number of training images, in percent, mean over seeds with 95% intervals", columns,
        tuple(made), column_series=(None, *numbers),
    )  # fmt: skip


def _outlook_table(labels: Sequence[str], results: LearningResults) -> PageTable:
    made = []
    for curve, payoff in zip(results.curves[MEASURES[0]], results.payoffs, strict=True):
        fitted = curve.curve
        law = formatting.MISSING
        if fitted is not None:
            law = f"{fitted.law.a:.3f} − {fitted.law.b:.3g}·n^−{fitted.law.c:.2f}"
        until = until_cell(curve)
        other = formatting.MISSING if payoff.best is None else labels[payoff.best]
        verdict = {
            "variant": f"{other} helps more",
            "images": "more images help more",
            "open": "not certain",
        }[payoff.verdict]
        made.append(
            TableRow(
                (
                    Cell(labels[curve.number]),
                    Cell(law),
                    until,
                    _gain_cell(payoff.doubling),
                    _gain_cell(payoff.switching, other if payoff.best is not None else ""),
                    Cell(verdict if payoff.doubling and payoff.switching else formatting.MISSING),
                ),
                series=curve.number,
            )
        )
    columns = (
        TableColumn("Model"),
        TableColumn("Fitted AP50 (fraction)"),
        TableColumn(f"Images until AP50 {formatting.points(LEVEL)}", True),
        TableColumn("Gain by twice the images", True, "extrapolated, in percentage points"),
        TableColumn("Gain by the best model", True, "with the same images, in percentage points"),
        TableColumn("What helps more"),
    )
    return PageTable(
        "learning-outlook", "What more images and another model would bring, by AP50", columns, tuple(made)
    )


def until_cell(curve: ModelCurve) -> Cell:
    """The number of images until the level, with its interval."""
    if curve.curve is None or curve.curve.unsupported is not None:
        return Cell(formatting.MISSING)
    until = curve.curve.images_until(LEVEL)
    beyond = f"> {formatting.count(curve.curve.limit)}"
    texts = [beyond if math.isinf(x) else formatting.count(x) for x in (until.value, until.low, until.high)]
    return Cell(texts[0], until.value, note=f"[{texts[1]}, {texts[2]}]")


def _gain_cell(estimate: Estimate | None, note: str = "") -> Cell:
    if estimate is None:
        return Cell(formatting.MISSING)
    ends = formatting.difference_interval(estimate.low, estimate.high)
    return Cell(formatting.signed_points(estimate.value), estimate.value, note=f"{note} {ends}".strip())
