"""Budget: training effort of each model, and whether it was the same for all."""

from __future__ import annotations

from collections.abc import Callable

from reports.analysis.models import Model, flat
from reports.analysis.report_data import ReportData, mean
from reports.elements import formatting
from reports.elements.page import Cell, Link, PageTable, Section, TableColumn, TableRow
from reports.records.run import Budget

SAME = 0.05
"""Relative difference up to which budgets count as equal."""

_WARNED: tuple[tuple[str, Callable[[Budget], float | None], Callable[[float], str]], ...] = (
    ("epochs", lambda budget: budget.epochs, lambda value: f"{value:g}"),
    ("training images seen", lambda budget: budget.images_seen, formatting.count),
    ("settings tried in tuning", lambda budget: budget.trials, formatting.count),
)


def section(report: ReportData) -> Section:
    """Epochs, images, time and parameters next to AP."""
    warnings = _warnings(report)
    if len(report.models) == 1:
        finding = f"{report.labels[0]} was {_effort(report.models[0])}."
    elif warnings:
        finding = "The models did not have the same budget, which may explain differences in AP."
    elif any(_mean(model, lambda budget: budget.images_seen) is None for model in report.models):
        finding = "Some models were trained elsewhere, so their budgets are not known."
    else:
        finding = f"All models had the same budget: each was {_effort(report.models[0], with_time=False)}."
    rows = []
    for number, (model, values) in enumerate(zip(report.models, report.headline("ap"), strict=True)):
        ap = mean(values)
        cells = [Cell(report.labels[number]), Cell(formatting.points(ap), ap)]
        for read, write in (
            (lambda budget: budget.epochs, lambda value: f"{value:g}"),
            (lambda budget: budget.images_seen, formatting.count),
            (lambda budget: budget.train_seconds, formatting.duration),
            (lambda budget: budget.total_seconds, formatting.duration),
            (lambda budget: budget.parameters, formatting.large_number),
            (lambda budget: budget.trials, formatting.count),
        ):
            value = _mean(model, read)
            cells.append(Cell(formatting.MISSING if value is None else write(value), value))
        start = report.private(_weights(model) or formatting.MISSING)
        cells += [
            Cell(start),
            Cell(formatting.printable(model.results[0].environment.device) or formatting.MISSING),
        ]
        rows.append(TableRow(tuple(cells), series=number))
    titles = ("AP", "Epochs", "Images seen", "Training time", "Total time", "Parameters", "Settings tried")
    columns = (
        TableColumn("Model"), *(TableColumn(title, numeric=True) for title in titles), TableColumn("Initial weights"), TableColumn("Device"),
    )  # fmt: skip
    return Section(
        "budget",
        "Budget",
        finding,
        tables=(
            PageTable(
                "budget-table", "Training budget of each model, means over seeds", columns, tuple(rows)
            ),
        ),
        warnings=warnings,
        method=(
            "Images seen counts a training image every time it is used. Times are wall-clock times on the device shown; training "
            "time includes validation between epochs. A dash means unknown or none.",
        ),
        links=(Link("leaderboard.csv", "values by run"),),
    )


def _mean(model: Model, read: Callable[[Budget], float | None]) -> float | None:
    values = [value for result in model.results if (value := read(result.budget)) is not None]
    return sum(values) / len(values) if values else None


def _weights(model: Model) -> str:
    """The weights before training, of the whole detector or else of the backbone; empty if not known."""
    config = model.results[0].config
    value = config.get("weights") or flat(config).get("backbone.weights")
    return "random weights" if value is None and "backbone" in config else str(value or "")


def _effort(model: Model, with_time: bool = True) -> str:
    epochs = _mean(model, lambda budget: budget.epochs)
    images = _mean(model, lambda budget: budget.images_seen)
    seconds = _mean(model, lambda budget: budget.train_seconds)
    if epochs is None and images is None:
        return "trained elsewhere, so its budget is not known"
    parts = []
    if epochs is not None:
        parts.append(f"for {formatting.plural(round(epochs), 'epoch')}")
    if images is not None:
        parts.append(f"with {formatting.plural(round(images), 'training image')} seen")
    if seconds is not None and with_time:
        parts.append(f"in {formatting.duration(seconds)}")
    return f"trained {' '.join(parts)}"


def _warnings(report: ReportData) -> list[str]:
    warnings = []
    for name, read, write in _WARNED:
        values = [_mean(model, read) for model in report.models]
        known = [value for value in values if value is not None]
        if len(known) > 1 and max(known) - min(known) > SAME * max(known):
            each = [
                f"{label} {write(value)}"
                for label, value in zip(report.labels, values, strict=True)
                if value is not None
            ]
            warnings.append(f"The budgets differ in {name}: {formatting.join_words(each)}.")
    starts = {label: _weights(model) for label, model in zip(report.labels, report.models, strict=True)}
    if len({bool(start) and start != "random weights" for start in starts.values() if start}) > 1:
        pretrained = [label for label, start in starts.items() if start and start != "random weights"]
        warnings.append(
            f"Only some models start from pretrained weights: {formatting.join_words(pretrained)}."
        )
    return warnings
