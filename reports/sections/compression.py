"""Compression: files and runs that were made of a run, beside that run: accuracy, latency, size, operations, price."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from metrics.compare import PairDifference
from reports.analysis.compressed_networks import (
    CompressedNetwork,
    compressed_networks,
    compression_steps,
    network_size,
)
from reports.analysis.pareto_front import pareto_front
from reports.analysis.report_data import ReportData, mean
from reports.analysis.speed import Speed
from reports.elements import formatting
from reports.elements.page import Cell, Figure, PageTable, Section, TableColumn, TableRow
from reports.figures.speed_scatter import Point, pareto
from reports.records.run import RunFolder
from reports.sections.speed_accuracy import LATENCY_AXIS


def section(report: ReportData, speed: Speed) -> Section | None:
    """A table for each trained network with its files; None unless a network has two models, itself counted."""
    groups = compressed_networks(report)
    if not groups:
        return None
    rows = [
        _row(report, speed, group, model)
        for group in groups
        for model in (*(() if group.original is None else (group.original,)), *group.made)
    ]
    warnings = []
    if any(group.original is None for group in groups):
        warnings.append(
            "Differences are shown only where the original is part of the comparison, with the seeds of the runs that were made of it."
        )
    columns = (
        TableColumn("Model"),
        TableColumn("Method"),
        TableColumn("AP", numeric=True),
        TableColumn("Difference from the original", numeric=True),
        TableColumn("Median (ms)", numeric=True),
        TableColumn("Size", numeric=True),
        TableColumn("Operations", numeric=True),
        TableColumn("Price"),
    )
    figures = [
        drawing
        for at, group in enumerate(groups)
        for drawing in _figures(report, speed, group, "" if at == 0 else f"-{at + 1}")
    ]
    caption = "Networks, and the files and networks that were made of them: AP in percent, latency of one image, size of the file"
    return Section(
        "compression",
        "Compression",
        " ".join(filter(None, (_finding(report, group) for group in groups)))
        or "No difference from an original can be shown.",
        figures=figures,
        tables=(PageTable("compression-table", caption, columns, tuple(rows)),),
        warnings=warnings,
        method=(
            "The method of a file has the type of the numbers and, in brackets, which operators have it; docs/compression.md lists "
            "them. The method of a network is how its weights were chosen before it was trained further. The "
            "difference is that of the section on pairwise differences, with the confidence interval of this pair alone. Size is that "
            "of the file, for a network in PyTorch that of its weights. Latency and operations are known for models that were timed. "
            "The price of a file is the wall-clock time in which ranges of activations were measured, and the number of training "
            "images for it; that of a network is the time of its further training. Weights that are zero make neither the file smaller nor the "
            "network faster: such a network shows how much AP depends on the number of weights.",
        ),
    )


def _figures(report: ReportData, speed: Speed, group: CompressedNetwork, suffix: str) -> list[Figure]:
    """AP over latency and over size; each of these only if it is known of two models with AP."""
    models = [*(() if group.original is None else (group.original,)), *group.made]
    known = [model for model in models if math.isfinite(mean(report.headline("ap")[model]))]
    timed = {model: one for model in known if (one := speed.models[model]) is not None}
    machines = {one.timing.machine.fingerprint for one in timed.values()}
    sizes = {
        model: size for model in known if (size := network_size(report.models[model].runs[0])) is not None
    }
    drawn = []
    if len(timed) > 1 and len(machines) == 1:
        costs = {model: (one.median_ms, *one.ends_ms) for model, one in timed.items()}
        drawn.append(
            _figure(report, group, f"compression-latency{suffix}", "AP over latency", costs, LATENCY_AXIS)
        )
    if len(sizes) > 1:
        costs = {model: (size / 1e6,) * 3 for model, size in sizes.items()}
        axis = "size of the file (MB; smaller is better)"
        drawn.append(_figure(report, group, f"compression-size{suffix}", "AP over size", costs, axis))
    return drawn


def _figure(
    report: ReportData,
    group: CompressedNetwork,
    slug: str,
    title: str,
    costs: Mapping[int, tuple[float, float, float]],
    axis: str,
) -> Figure:
    """AP over a cost with its interval, by model; bars are paired intervals of the difference from the original."""
    aps = {model: mean(report.headline("ap")[model]) for model in costs}
    front = pareto_front(np.array([cost for cost, *_ in costs.values()]), np.array(list(aps.values())))
    original = None if group.original is None else mean(report.headline("ap")[group.original])
    points = []
    for model, on_front in zip(costs, front, strict=True):
        cost, low, high = costs[model]
        difference = _difference(report, group, model)
        ends = (
            (math.nan, math.nan)
            if original is None or difference is None
            else (original + difference[1], original + difference[2])
        )
        name = _short_method(report.models[model].runs[0], report)
        points.append(Point(model, name, cost, (low, high), aps[model], ends, bool(on_front), grey=False))
    names = [point.label for point in points if point.on_front]
    finding = f"The Pareto front consists of {formatting.join_words(names)}."
    drawn = pareto(slug, title, finding, points, axis, original, names_above=True)
    bars = (
        ""
        if original is None
        else " Vertical bars are the paired intervals of the difference from the original, whose AP is the horizontal line: the "
        "difference is decisive for this pair where the bar does not reach the line."
    )
    return replace(drawn, caption=f"{finding} Up and to the left is better.{bars}")


def _row(report: ReportData, speed: Speed, group: CompressedNetwork, model: int) -> TableRow:
    run = report.models[model].runs[0]
    ap = mean(report.headline("ap")[model])
    difference = _difference(report, group, model)
    timed = speed.models[model]
    flops = None if timed is None else timed.timing.subject.flops
    size = network_size(run)
    cells = (
        Cell(report.labels[model]),
        Cell(_method(run, report)),
        Cell(formatting.points(ap), ap),
        _difference_cell(difference),
        Cell(
            formatting.MISSING if timed is None else formatting.three_digits(timed.median_ms),
            None if timed is None else timed.median_ms,
        ),
        Cell(formatting.MISSING if size is None else _megabytes(size), size),
        Cell(formatting.large_number(flops), flops),
        Cell(_price(run)),
    )
    return TableRow(cells, series=model)


def _difference(
    report: ReportData, group: CompressedNetwork, model: int
) -> tuple[float, float, float] | None:
    """AP of a file minus that of its original, with its interval; NaN ends without statistics; None without an original."""
    if group.original is None or model == group.original:
        return None
    names = [report.models[at].label for at in (model, group.original)]
    nan = float("nan")
    ap = report.headline("ap")
    plain = (mean(ap[model]) - mean(ap[group.original]), nan, nan)
    if report.statistics is None:
        return plain
    for row in report.statistics.pairwise:
        if row.metric == report.statistics.measure and row.test == "bootstrap":
            if [row.model_a, row.model_b] == names:
                return row.delta, row.ci_low, row.ci_high
            if [row.model_b, row.model_a] == names:
                return _turned(row)
    return plain


def _turned(row: PairDifference) -> tuple[float, float, float]:
    return -row.delta, -row.ci_high, -row.ci_low


def _difference_cell(difference: tuple[float, float, float] | None) -> Cell:
    if difference is None:
        return Cell(formatting.MISSING)
    value, low, high = difference
    return Cell(formatting.signed_points(value), value, note=formatting.points_interval(low, high))


def _finding(report: ReportData, group: CompressedNetwork) -> str:
    """A sentence for each compressed network."""
    sentences = []
    before = None if group.original is None else network_size(report.models[group.original].runs[0])
    for model in group.made:
        run = report.models[model].runs[0]
        method, difference = compression_steps(run, report), _difference(report, group, model)
        if not method or difference is None:
            continue
        value, low, high = difference
        interval, now = formatting.points_interval(low, high), network_size(run)
        size = (
            ""
            if not before or now is None
            else f" has {100 * now / before:.0f}% of the size of its original, and"
        )
        sentences.append(
            f"{report.labels[model]} ({method}){size} differs by "
            f"{formatting.signed_points(value)} percentage points of AP{' ' if interval else ''}{interval}."
        )
    return " ".join(sentences)


def _method(run: RunFolder, report: ReportData) -> str:
    file, method = run.result.model_file, compression_steps(run, report)
    kind = "PyTorch" if file is None else f"{file.precision} file"
    if file is not None and file.compression:
        return method
    return f"{method or 'none'} ({kind})"


def _short_method(run: RunFolder, report: ReportData) -> str:
    """The method without what is made of a network that was not compressed."""
    file = run.result.model_file
    return compression_steps(run, report) or ("original" if file is None else f"{file.precision} file")


def _price(run: RunFolder) -> str:
    file, budget = run.result.model_file, run.result.budget
    if file is not None:
        if not file.compression:
            return formatting.MISSING
        return f"{file.compression_seconds:.1f} s, {formatting.plural(file.compression_images, 'image')}"
    if run.result.parent is None or budget.train_seconds is None or budget.epochs is None:
        return formatting.MISSING
    return f"{budget.train_seconds:.1f} s, {formatting.plural(int(budget.epochs), 'epoch')} of training"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
