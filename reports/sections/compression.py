"""Compression: files and runs that were made of a run, beside that run: accuracy, latency, size, operations, price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from metrics.compare import PairDifference
from reports.analysis.report_data import ReportData, mean
from reports.analysis.speed import Speed
from reports.elements import formatting
from reports.elements.page import Cell, PageTable, Section, TableColumn, TableRow
from reports.records.run import RunFolder


@dataclass(frozen=True, slots=True)
class _Group:
    """Models of one trained network.

    Attributes:
        original: number of the model that was trained; None if it is not in the comparison, or has runs of several seeds,
            whose mean is not that of the network that was compressed.
        made: number of each model that was made of it: a file, a network that was compressed and trained further, or a file of
            such a network.
    """

    original: int | None
    made: tuple[int, ...]


def section(report: ReportData, speed: Speed) -> Section | None:
    """A table for each trained network with its files; None unless a network has two models, itself counted."""
    groups = _groups(report)
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
            "Differences are shown only where the original run is part of the comparison, as the only seed of its model."
        )
    columns = (
        TableColumn("Model"),
        TableColumn("Method"),
        TableColumn("AP", numeric=True),
        TableColumn("Difference to the original", numeric=True),
        TableColumn("Median (ms)", numeric=True),
        TableColumn("Size", numeric=True),
        TableColumn("Operations", numeric=True),
        TableColumn("Price"),
    )
    caption = "Networks, and the files and networks that were made of them: AP in percent, latency of one image, size of the file"
    return Section(
        "compression",
        "Compression",
        " ".join(filter(None, (_finding(report, group) for group in groups)))
        or "No difference to an original can be shown.",
        tables=(PageTable("compression-table", caption, columns, tuple(rows)),),
        warnings=warnings,
        method=(
            "The method of a file has the type of the numbers and, in brackets, which operators have it; docs/compression.md lists "
            "them. The method of a network is how its weights were chosen before it was trained further. The "
            "difference is that of the section on pairwise differences, with the confidence interval of this pair alone. Size is that "
            "of the file, for a network in PyTorch that of its weights. Latency and operations are known for models that were timed. "
            "The price of a file is the wall-clock time in which ranges of activations were measured, and the number of training "
            "images for it; that of a network is the time of its further training.",
        ),
    )


def _groups(report: ReportData) -> list[_Group]:
    parents = {
        run.result.name: run.result.parent
        for model in report.models
        for run in model.runs
        if run.result.parent
    }
    made: dict[str, list[int]] = {}
    for model in report.models:
        for run in model.runs:
            source = run.result.parent or (run.result.model_file and run.result.model_file.run)
            if source:
                made.setdefault(_first(source, parents), []).append(model.number)
    groups = []
    for name, members in made.items():
        owner = next((m for m in report.models if any(run.result.name == name for run in m.runs)), None)
        if owner is not None or len(members) > 1:
            alone = owner is not None and len(owner.runs) == 1
            groups.append(
                _Group(owner.number if owner is not None and alone else None, tuple(dict.fromkeys(members)))
            )
    return groups


def _first(name: str, parents: Mapping[str, str]) -> str:
    """The run that a run was compressed from, directly or by others in between; itself if it was not compressed."""
    while name in parents:
        name = parents[name]
    return name


def _row(report: ReportData, speed: Speed, group: _Group, model: int) -> TableRow:
    run = report.models[model].runs[0]
    ap = mean(report.headline("ap")[model])
    difference = _difference(report, group, model)
    timed = speed.models[model]
    flops = None if timed is None else timed.timing.subject.flops
    size = _size(run)
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


def _difference(report: ReportData, group: _Group, model: int) -> tuple[float, float, float] | None:
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


def _finding(report: ReportData, group: _Group) -> str:
    """A sentence for each compressed network."""
    sentences = []
    before = None if group.original is None else _size(report.models[group.original].runs[0])
    for model in group.made:
        run = report.models[model].runs[0]
        method, difference = _compression(run, report), _difference(report, group, model)
        if not method or difference is None:
            continue
        value, low, high = difference
        interval, now = formatting.points_interval(low, high), _size(run)
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


def _compression(run: RunFolder, report: ReportData) -> str:
    """How a network was compressed, the first step first; empty if it was not."""
    file = run.result.model_file
    steps = [] if file is None or not file.compression else [formatting.printable(file.compression)]
    known = {other.result.name: other for model in report.models for other in model.runs}
    trained = run if file is None else known.get(file.run)
    while trained is not None and trained.result.parent:
        steps.insert(0, _trained_method(trained))
        trained = known.get(trained.result.parent)
    return ", ".join(steps)


def _trained_method(run: RunFolder) -> str:
    """How the network of a run was compressed before its training."""
    settings = run.result.config.get("compression", {})
    for name, word in (("prune", "channels pruned"), ("sparsity", "weights zero")):
        if share := settings.get(name):
            return f"{100 * share:g}% of {word}"
    if settings.get("quantize", "none") != "none":
        return f"trained with {settings['quantize']} rounding"
    return "trained further"


def _method(run: RunFolder, report: ReportData) -> str:
    file, method = run.result.model_file, _compression(run, report)
    kind = "PyTorch" if file is None else f"{file.precision} file"
    if file is not None and file.compression:
        return method
    return f"{method or 'none'} ({kind})"


def _price(run: RunFolder) -> str:
    file, budget = run.result.model_file, run.result.budget
    if file is not None:
        if not file.compression:
            return formatting.MISSING
        return f"{file.compression_seconds:.1f} s, {formatting.plural(file.compression_images, 'image')}"
    if run.result.parent is None or budget.train_seconds is None or budget.epochs is None:
        return formatting.MISSING
    return f"{budget.train_seconds:.1f} s, {formatting.plural(int(budget.epochs), 'epoch')} of training"


def _size(run: RunFolder) -> int | None:
    """Bytes of the file that predicted, or of the weights."""
    if run.result.model_file is not None:
        return run.result.model_file.size_bytes
    weights = run.path / RunFolder.WEIGHTS
    return weights.stat().st_size if weights.is_file() else None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB"
