"""What each model was given: a fair comparison gives all the same, and says so where it did not."""

from __future__ import annotations

from collections.abc import Callable

from reports.analysis.models import Model, flat
from reports.analysis.report_data import ReportData, mean
from reports.elements import formatting
from reports.elements.page import Cell, Link, PageTable, Section, TableColumn, TableRow
from reports.records.run import Budget

SAME = 0.05
"""Budgets within this part of each other count as equal."""

_WARNED: tuple[tuple[str, Callable[[Budget], float | None], Callable[[float], str]], ...] = (
    ("epochs", lambda budget: budget.epochs, lambda value: f"{value:g}"),
    ("training images seen", lambda budget: budget.images_seen, formatting.count),
    ("settings tried before", lambda budget: budget.trials, formatting.count),
)


def section(report: ReportData) -> Section:
    """Epochs, images, seconds and parameters beside the score."""
    warnings = _warnings(report)
    if len(report.models) == 1:
        finding = f"{report.labels[0]} {_spent(report.models[0])}."
    elif warnings:
        finding = "The models were not given the same budget; a difference in AP may be one of budget."
    elif any(_mean(model, lambda budget: budget.images_seen) is None for model in report.models):
        finding = "What some models were given is not known: they were trained elsewhere."
    else:
        finding = f"All models were given the same budget: each {_spent(report.models[0], with_time=False)}."
    rows = []
    for number, (model, values) in enumerate(zip(report.models, report.headline("ap"), strict=True)):
        ap = mean(values)
        cells = [Cell(report.labels[number]), Cell(formatting.points(ap), ap)]
        for read, say in (
            (lambda budget: budget.epochs, lambda value: f"{value:g}"),
            (lambda budget: budget.images_seen, formatting.count),
            (lambda budget: budget.train_seconds, formatting.duration),
            (lambda budget: budget.total_seconds, formatting.duration),
            (lambda budget: budget.parameters, formatting.large_number),
            (lambda budget: budget.trials, formatting.count),
        ):
            value = _mean(model, read)
            cells.append(Cell(formatting.MISSING if value is None else say(value), value))
        start = report.private(_weights(model) or formatting.MISSING)
        cells += [
            Cell(start),
            Cell(formatting.printable(model.results[0].environment.device) or formatting.MISSING),
        ]
        rows.append(TableRow(tuple(cells), series=number))
    titles = ("AP", "Epochs", "Images seen", "Training", "In all", "Parameters", "Settings tried")
    columns = (
        TableColumn("Model"), *(TableColumn(title, numeric=True) for title in titles), TableColumn("Starts from"), TableColumn("Device"),
    )  # fmt: skip
    return Section(
        "budget",
        "Budget",
        finding,
        tables=(
            PageTable(
                "budget-table", "What each model was given, means over its seeds", columns, tuple(rows)
            ),
        ),
        warnings=warnings,
        method=(
            "Images seen counts every training image each time it was shown. Times are wall clock on the device named; "
            "validation between epochs is part of training. A dash is not known, or none.",
        ),
        links=(Link("leaderboard.csv", "the same by run"),),
    )


def _mean(model: Model, read: Callable[[Budget], float | None]) -> float | None:
    values = [value for result in model.results if (value := read(result.budget)) is not None]
    return sum(values) / len(values) if values else None


def _weights(model: Model) -> str:
    """What training began with, the whole detector's before the backbone's; empty where it is not known."""
    config = model.results[0].config
    value = config.get("weights") or flat(config).get("backbone.weights")
    return "random weights" if value is None and "backbone" in config else str(value or "")


def _spent(model: Model, with_time: bool = True) -> str:
    epochs = _mean(model, lambda budget: budget.epochs)
    images = _mean(model, lambda budget: budget.images_seen)
    seconds = _mean(model, lambda budget: budget.train_seconds)
    if epochs is None and images is None:
        return "was trained elsewhere, so its budget is not known"
    said = []
    if epochs is not None:
        said.append(formatting.plural(round(epochs), "epoch"))
    if images is not None:
        said.append(formatting.plural(round(images), "training image") + " seen")
    if seconds is not None and with_time:
        said.append(formatting.duration(seconds) + " of training")
    return f"had {formatting.join_words(said)}"


def _warnings(report: ReportData) -> list[str]:
    said = []
    for name, read, say in _WARNED:
        values = [_mean(model, read) for model in report.models]
        known = [value for value in values if value is not None]
        if len(known) > 1 and max(known) - min(known) > SAME * max(known):
            each = [
                f"{label} {say(value)}"
                for label, value in zip(report.labels, values, strict=True)
                if value is not None
            ]
            said.append(f"Budgets differ in {name}: {formatting.join_words(each)}.")
    starts = {label: _weights(model) for label, model in zip(report.labels, report.models, strict=True)}
    if len({bool(start) and start != "random weights" for start in starts.values() if start}) > 1:
        pretrained = [label for label, start in starts.items() if start and start != "random weights"]
        said.append(f"Only some start from pretrained weights: {formatting.join_words(pretrained)}.")
    return said
