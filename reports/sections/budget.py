"""Budget: training effort of each model, and whether it was the same for all."""

from __future__ import annotations

from metrics.plurals import agree
from reports.analysis.models import Model
from reports.analysis.report_data import ReportData, mean
from reports.analysis.training_budget import limit_text, shared_limit
from reports.analysis.training_fairness import initial_weights, mean_budget
from reports.elements import formatting
from reports.elements.page import Cell, Link, PageTable, Section, TableColumn, TableRow
from reports.records.run import PrecisionFacts
from reports.sections.budget_curves import CAUTION, budget_figure

LIMITS = (
    "A budget in minutes counts the updates of the weights with loading of images, without validation and saving; one in FLOPs counts "
    "three times those of a prediction for each training image."
)


def section(report: ReportData) -> Section:
    """Epochs, images, time and parameters next to AP."""
    notes = [note for note in report.training_notes if note.kind in ("unequal_budget", "unequal_start")]
    limit = shared_limit(report.models)
    unknown = [
        label
        for label, model in zip(report.labels, report.models, strict=True)
        if mean_budget(model, lambda budget: budget.images_seen) is None
    ]
    if unknown:
        finding = f"The training budget of {formatting.join_words(unknown)} is not known."
    elif len(report.models) == 1:
        finding = f"{report.labels[0]} was {_effort(report.models[0])}."
    elif notes:
        finding = "The models were not trained with the same effort, which may explain differences in AP."
    elif limit is not None:
        finding = f"All models had the same budget: {limit_text(limit)}."
    else:
        finding = f"All models had the same budget: each was {_effort(report.models[0], with_time=False)}."
    rows = []
    for number, (model, values) in enumerate(zip(report.models, report.headline("ap"), strict=True)):
        ap = mean(values)
        cells = [Cell(report.labels[number]), Cell(formatting.points(ap), ap)]
        for read, write in (
            (lambda budget: budget.epochs, lambda value: f"{value:.4g}"),
            (lambda budget: budget.images_seen, formatting.count),
            (lambda budget: budget.train_seconds, formatting.duration),
            (lambda budget: budget.total_seconds, formatting.duration),
            (lambda budget: budget.parameters, formatting.large_number),
            (lambda budget: budget.trials, formatting.count),
        ):
            value = mean_budget(model, read)
            cells.append(Cell(formatting.MISSING if value is None else write(value), value))
        start = report.private(initial_weights(model) or formatting.MISSING)
        cells += [
            Cell(start),
            Cell(formatting.printable(model.results[0].environment.device) or formatting.MISSING),
        ]
        rows.append(TableRow(tuple(cells), series=number))
    titles = ("AP", "Epochs", "Images seen", "Training time", "Total time", "Parameters", "Settings tried")
    columns = (
        TableColumn("Model"), *(TableColumn(title, numeric=True) for title in titles), TableColumn("Initial weights"), TableColumn("Device"),
    )  # fmt: skip
    figure = budget_figure(report)
    precisions = "; ".join(
        f"{label}: {_precision_text(known)}"
        for label, model in zip(report.labels, report.models, strict=True)
        if (known := next((run.precision for run in model.results if run.precision), None)) is not None
    )
    method: tuple[str, ...] = (
        "Images seen counts a training image every time it is used. Times are wall-clock times on the device shown; training "
        "time includes validation between epochs, but not the compilation of the evaluation's kernels. A dash means unknown or none.",
    )
    if precisions:
        method = (
            *method,
            f"Precision of training, chosen by timing steps on the first run's device: {precisions}.",
        )
    divided = "; ".join(
        f"{label}: {parts.images} of {formatting.plural(parts.batch, 'image')} at once"
        for label, model in zip(report.labels, report.models, strict=True)
        if (parts := next((run.micro_batch for run in model.results if run.micro_batch), None)) is not None
    )
    if divided:
        method = (
            *method,
            f"Batches of training were divided into parts, whose gradients were added up: {divided}.",
        )
    return Section(
        "budget",
        "Budget",
        finding,
        figures=() if figure is None else (figure,),
        tables=(
            PageTable(
                "budget-table", "Training budget of each model, means over seeds", columns, tuple(rows)
            ),
        ),
        warnings=[formatting.sentence(note.text) for note in notes],
        method=method if figure is None else (*method, f"{LIMITS} {CAUTION}"),
        links=(Link("leaderboard.csv", "values by run"), Link("resources.csv", "times by run")),
    )


def _effort(model: Model, with_time: bool = True) -> str:
    epochs, limit = mean_budget(model, lambda budget: budget.epochs), model.results[0].budget.limit
    images = mean_budget(model, lambda budget: budget.images_seen)
    seconds = mean_budget(model, lambda budget: budget.train_seconds)
    parts = []
    if limit is not None:
        parts.append(f"with a budget of {limit_text(limit)}")
    if epochs is not None:
        parts.append(f"for {_epochs_text(epochs)}{_of_planned(model, epochs)}")
    if images is not None:
        parts.append(f"with {formatting.plural(round(images), 'training image')} seen")
    if seconds is not None and with_time:
        parts.append(f"in {formatting.duration(seconds)}")
    return f"trained {' '.join(parts)}"


def _precision_text(known: PrecisionFacts) -> str:
    names = {"no": "float32", "bf16": "bfloat16"}
    times = ", ".join(f"{names[name]} {1000 * value:.3g} ms" for name, value in known.seconds.items())
    return f"{names[known.chosen]} ({times or 'the device has no other'})"


def _epochs_text(epochs: float) -> str:
    """Epochs to the nearest tenth, which a budget can end within one."""
    tenths = round(epochs, 1)
    return f"{tenths:g} {agree(tenths, 'epoch')}"


def _of_planned(model: Model, epochs: float) -> str:
    """How many epochs the settings asked for, if training was stopped early; empty for a budget."""
    if model.results[0].budget.limit is not None:
        return ""
    planned = model.results[0].config.get("train", {}).get("epochs")
    return f" of {planned:g} (stopped early)" if isinstance(planned, int) and epochs < planned else ""
