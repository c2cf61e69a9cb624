"""Robustness: AP on corrupted images, by corruption and severity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reports.analysis.report_data import ReportData
from reports.analysis.robustness import ModelRobustness, RobustnessResults
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.corruption_map import corruption_map

SHOWN = 3
"""Number of models with a heat map; the table has all."""


def section(report: ReportData, results: RobustnessResults | None) -> Section | None:
    """Mean performance under corruption and heat maps; None without measurements."""
    if results is None:
        return None
    labels = report.labels
    return Section(
        "robustness",
        "Robustness",
        finding_text(labels, results),
        figures=[_map(labels, results, model) for model in results.models[:SHOWN]],
        tables=(_summary_table(labels, results), _corruption_table(labels, results)),
        warnings=(
            (f"Not measured on these images: {formatting.join_words(list(results.left_out))}.",)
            if results.left_out
            else ()
        ),
        method=(
            "The test images are corrupted before anything else happens to them, the same way for all models; boxes stay where they "
            "are, also where an elastic distortion or a zoom moves what they are around. The corruptions and the parameters of their "
            "severities are those of Hendrycks and Dietterich (2019), drawn by this program: numbers are near those of the original "
            "program, but not equal, and frost is drawn instead of photographed. Distances in pixels were chosen for images of "
            "224 pixels and are the same for larger images, except for the elastic distortion, which grows with the image.",
            "Mean performance under corruption is the mean over corruptions of the mean AP over severities, the relative one its share "
            "of AP on clean images (Michaelis et al. 2019). Intervals are percentiles of the bootstrap over images, on the same "
            "resamples for all models; they do not contain the variance between seeds.",
        ),
        links=(Link("robustness.csv", "values by model, corruption and severity"),),
    )


def finding_text(labels: Sequence[str], results: RobustnessResults) -> str:
    """The model with the highest mean performance under corruption, and the corruption that costs it most."""
    best = results.models[0]
    if math.isnan(best.summary.mpc.value):
        return "AP under corruption is not defined."
    name = labels[best.number]
    mpc, rpc = best.summary.mpc, best.summary.rpc
    text = f"{name}: AP {formatting.points(mpc.value)} {formatting.points_interval(mpc.low, mpc.high)} on average under corruption"
    if math.isfinite(rpc.value):
        text += f", {formatting.points(rpc.value)}% of {formatting.points(best.clean)} on clean images"
    text += "."
    for other, lead in zip(results.models[1:], results.lead, strict=True):
        text += f" {_lead_text(labels, best, other, lead.low, lead.high)}"
    worst, value = min(by_corruption(results, best).items(), key=lambda pair: pair[1])
    return f"{text} The lowest AP of {name} is under {_plain(worst)} ({formatting.points(value)})."


def _lead_text(
    labels: Sequence[str], best: ModelRobustness, other: ModelRobustness, low: float, high: float
) -> str:
    delta = best.summary.mpc.value - other.summary.mpc.value
    ends = formatting.difference_interval(low, high)
    sure = "is" if low > 0 else "is not decisively"
    return f"It {sure} above {labels[other.number]} by {formatting.points(delta)} {ends}."


def by_corruption(results: RobustnessResults, model: ModelRobustness) -> dict[str, float]:
    """Mean AP over the severities of each corruption."""
    return {
        name: float(np.mean([model.values[cell] for cell in results.cells if cell[0] == name]))
        for name in results.corruptions
    }


def _plain(name: str) -> str:
    return name.replace("_", " ").replace("jpeg", "JPEG").replace("gaussian", "Gaussian")


def _map(labels: Sequence[str], results: RobustnessResults, model: ModelRobustness) -> Figure:
    means = by_corruption(results, model)
    values = [
        [model.values.get((name, severity), math.nan) for severity in results.severities] + [means[name]]
        for name in results.corruptions
    ]
    label = labels[model.number]
    lowest = min(means, key=lambda name: means[name])
    finding = f"The lowest mean AP of {label} is under {_plain(lowest)}, {formatting.points(means[lowest])}."
    drawing = corruption_map(
        f"robustness-{model.number}", f"{label}: AP by corruption and severity", finding,
        [_plain(name) for name in results.corruptions], [*map(str, results.severities), "mean"], values, model.clean,
        model.number,
    )  # fmt: skip
    caption = (
        f"{finding} In percent; the darkest colour is AP on clean images, {formatting.points(model.clean)}."
    )
    return replace(drawing, caption=caption)


def _summary_table(labels: Sequence[str], results: RobustnessResults) -> PageTable:
    made = []
    for at, model in enumerate(results.models):
        mpc, rpc = model.summary.mpc, model.summary.rpc
        cells = [
            Cell(labels[model.number]),
            Cell(formatting.points(model.clean), model.clean),
            Cell(
                formatting.points(mpc.value),
                mpc.value,
                strong=at == 0,
                note=formatting.points_interval(mpc.low, mpc.high),
            ),
            Cell(formatting.points(rpc.value), rpc.value, note=formatting.points_interval(rpc.low, rpc.high)),
        ]
        if at:
            lead = results.lead[at - 1]
            note = formatting.difference_interval(-lead.high, -lead.low)
            cells.append(Cell(formatting.signed_points(-lead.value), -lead.value, note=note))
        else:
            cells.append(Cell(formatting.MISSING))
        made.append(TableRow(tuple(cells), series=model.number))
    columns = (
        TableColumn("Model"),
        TableColumn("Clean AP", True),
        TableColumn("AP under corruption", True, "mean over corruptions of the mean over severities"),
        TableColumn("Relative", True, "percent of AP on clean images"),
        TableColumn("Minus the first", True, "difference in AP under corruption, with a paired interval"),
    )
    return PageTable(
        "robustness-table",
        "AP under corruption, in percent, with 95% intervals over images",
        columns,
        tuple(made),
    )


def _corruption_table(labels: Sequence[str], results: RobustnessResults) -> PageTable:
    means = [by_corruption(results, model) for model in results.models]
    made = []
    for name in results.corruptions:
        best = max(of[name] for of in means)
        cells = [Cell(_plain(name))]
        for model, of in zip(results.models, means, strict=True):
            heat = min(1.0, max(0.0, of[name] / model.clean)) if model.clean > 0 else 0.0
            strong = len(means) > 1 and of[name] >= best - 1e-12
            cells.append(Cell(formatting.points(of[name]), of[name], strong=strong, heat=heat))
        made.append(TableRow(tuple(cells)))
    columns = (
        TableColumn("Corruption"),
        *(TableColumn(labels[model.number], numeric=True) for model in results.models),
    )
    numbers = [model.number for model in results.models]
    return PageTable(
        "corruption-table", "AP by corruption, in percent, mean over severities; darker: a larger share of clean AP",
        columns, tuple(made), column_series=(None, *numbers),
    )  # fmt: skip
