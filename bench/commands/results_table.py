"""Results of runs on the terminal: a table with one row per run, or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.process.json_value import print_json
from reports.analysis.data_sets import suite_results
from reports.analysis.models import group_models, model_labels
from reports.analysis.report_data import ReportData
from reports.analysis.training_fairness import training_notes
from reports.analysis.training_sizes import separate_sizes
from reports.elements import formatting
from reports.records.run import RunFolder

_COLUMNS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "small",
    "ap_medium": "medium",
    "ap_large": "large",
    "ar_100": "AR100",
}
_LONGEST = 20
"""Characters of a label in a table, which fits 80 characters with it."""

_MASK_COLUMNS = {"miou": "mIoU", "mdice": "Dice"}
"""Measures of label maps, shown if a run has any."""


def show_results(runs: Sequence[RunFolder], page: Path | None = None, console: Console | None = None) -> None:
    """Print the runs, best AP first, notes on their training, and the path of the page.

    Numbers are fractions; – means not defined.
    """
    console = console or Console()
    labels, legend = short_labels(model_labels(runs))
    masks = _MASK_COLUMNS if any(run.result.masks for run in runs) else {}
    table = results_table("model", *_COLUMNS.values(), *masks.values(), "training\ntime", "parameters")
    for run in sorted(runs, key=lambda run: -(run.result.headline.get("ap") or 0.0)):
        seconds, parameters = run.result.budget.train_seconds, run.result.budget.parameters
        table.add_row(
            *model_cells(run, labels),
            *(_number(run.result.headline.get(name)) for name in _COLUMNS),
            *(_number(run.result.masks.get(name)) for name in masks),
            formatting.MISSING if seconds is None else f"{seconds:.0f} s",
            formatting.MISSING if parameters is None else f"{parameters / 1e6:.2f} M",
        )
    console.print(table)
    print_lines(console, legend)
    notes = training_notes(group_models(separate_sizes(runs)[0]))
    print_lines(console, [f"note: {formatting.printable(note.text)}" for note in notes])
    if page is not None:
        print_lines(console, [f"report: {page}"])


def results_json(runs: Sequence[RunFolder], page: Path | None = None) -> dict[str, Any]:
    """The runs, best AP first, notes on their training, and the path of the page as a JSON object."""
    labels = model_labels(runs)
    ordered = sorted(runs, key=lambda run: -(run.result.headline.get("ap") or 0.0))
    return {
        "runs": [
            {
                "name": run.result.name,
                "model": labels[run.result.name],
                "variant": run.result.variant,
                "seed": run.result.seed,
                "folder": run.path,
                "headline": run.result.headline,
                "masks": run.result.masks,
                "train_seconds": run.result.budget.train_seconds,
                "parameters": run.result.budget.parameters,
            }
            for run in ordered
        ],
        "training_notes": training_notes(group_models(separate_sizes(runs)[0])),
        "report": page,
    }


def show_data_sets(reports: Sequence[ReportData], page: Path, as_json: bool) -> None:
    """Print the models over several data sets, by mean rank, or the results of each data set as JSON; and the path of the page."""
    from reports.sections.data_sets import finding_text  # imports Matplotlib

    results = suite_results(reports)
    if as_json:
        sets = {name: results_json(of.folders) for name, of in zip(results.names, reports, strict=True)}
        ranks = None if results.ranking is None else results.ranking.mean_ranks.tolist()
        models = dict(zip(results.labels, ranks, strict=True)) if ranks is not None else {}
        print_json({"data_sets": sets, "mean_ranks": models, "report": page})
        return
    console = Console()
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for at, column in enumerate(("model", "mean rank", *results.names)):
        table.add_column(literal_text(column), justify="right" if at else "left", overflow="fold")
    for at, label in enumerate(results.labels):
        rank = formatting.MISSING if results.ranking is None else f"{results.ranking.mean_ranks[at]:.2f}"
        values = [_number(float(value)) for value in results.values["ap"][:, at]]
        table.add_row(literal_text(label), rank, *values)
    console.print(table)
    print_lines(console, [finding_text(results), f"report: {page}"])


def results_table(first: str, *columns: str, wrap: bool = False) -> Table:
    """An empty table: a column of names, one of seeds, and right-aligned columns, whose cells may `wrap`."""
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold", min_width=9)
    for title in ("seed", *columns):
        table.add_column(title, justify="right", overflow="fold", no_wrap=not wrap)
    return table


def model_cells(run: RunFolder, labels: Mapping[str, str]) -> tuple[Text, str]:
    """The first two cells of a run's row: its model and seed."""
    seed = run.result.seed
    return literal_text(labels[run.result.name]), formatting.MISSING if seed is None else str(seed)


def short_labels(labels: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Labels that fit a table, and a line on each that was shortened: ``ssd [2]``, with ``[2] ssd (augment.mosaic=0.5, ...)``.

    Args:
        labels: by name of the run.
    """
    models = list(dict.fromkeys(labels.values()))
    if all(len(label) <= _LONGEST for label in models):
        return dict(labels), []
    numbered = {
        label: f"{formatting.truncate(label.split(' (')[0], _LONGEST - 5)} [{number}]"
        for number, label in enumerate(models, 1)
    }
    legend = [f"[{number}] {formatting.printable(label)}" for number, label in enumerate(models, 1)]
    return {run: numbered[label] for run, label in labels.items()}, legend


def print_lines(console: Console, lines: Sequence[str]) -> None:
    """Print lines as they are, however long."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def literal_text(name: str) -> Text:
    """A name from outside as plain text: ``[/b]`` is no markup, and a line break does not break a table."""
    return Text(formatting.printable(name))


def _number(value: float | None) -> str:
    return formatting.fixed(value)
