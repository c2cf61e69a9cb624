"""Training: loss and validation AP by epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from reports.analysis.report_data import ReportData
from reports.analysis.training_fairness import (
    LEAST_GAIN,
    LEAST_SHARE,
    SELECTION,
    selection_column,
    validation_curve,
)
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.lines import Curve, LineAxes, lines
from reports.records.csv import to_csv


def section(report: ReportData) -> Section | None:
    """Loss and validation AP by epoch; None if no run was trained here."""
    tables = [[run.run.history for run in runs] for runs in report.evaluated]
    if not any("epoch" in table and len(table) for model in tables for table in model):
        return None
    drawn: list[Figure] = []
    for column, slug, title, axis in (
        ("loss", "history-loss", "Training loss by epoch", "loss"),
        ("val_ap", "history-ap", "AP on the validation images by epoch", "AP (%)"),
        ("val_miou", "history-miou", "mIoU on the validation images by epoch", "mIoU (%)"),
    ):
        scale = 1.0 if column == "loss" else 100.0
        curves = [[_curve(table, column, scale) for table in model] for model in tables]
        if any(len(epochs) for model in curves for epochs, _ in model):
            name = "AP" if column == "val_ap" else "mIoU"
            points = np.concatenate([epochs for model in curves for epochs, _ in model])
            whole = points.max() >= 2 or not (points % 1).any()
            finding = (
                _loss_finding(report, curves) if column == "loss" else _best_finding(report, curves, name)
            )
            drawn.append(
                lines(
                    slug,
                    title,
                    finding,
                    report.labels,
                    curves,
                    LineAxes("epoch", axis, integer_x=bool(whole)),
                )
            )
    told = [figure for figure in drawn if figure.slug != "history-loss"] or drawn
    return Section(
        "training",
        "Training",
        " ".join(figure.finding for figure in told) or "No run has a training history.",
        figures=[replace(figure, caption="") if figure in told else figure for figure in drawn],
        tables=(_table(report, tables),),
        warnings=_warnings(report, tables),
        method=(
            "The loss is the sum of its terms, averaged over the updates since the last point; different loss functions are "
            "not comparable. AP is measured on the validation images, which are not used for training. The weights with the "
            "highest validation AP (or mIoU, where it is shown) are evaluated; the table shows the same measure.",
            "Validation AP was still rising when training ended if its highest value came in the last quarter of the epochs and "
            f"exceeds the highest value before by more than {100 * LEAST_GAIN:g} percentage points (or {LEAST_SHARE:.0%} of it, where that is less) and by more than twice the "
            "noise: the root mean square of the falls between evaluations in the second half of the epochs, rises counting as 0. "
            "Both are means over a model's runs.",
        ),
        links=(Link("training.csv", "one row per run and epoch"),),
    )


def history_csv(report: ReportData) -> str:
    """The training histories of all runs: ``training.csv``; empty if there are none."""
    frames = []
    for run in report.runs:
        table = run.run.history.copy()
        if "epoch" in table:
            table.insert(0, "run_id", run.run.result.name)
            frames.append(table)
    return to_csv(pd.concat(frames, ignore_index=True)) if frames else ""


def _curve(table: pd.DataFrame, column: str, scale: float = 1.0) -> Curve:
    if column in SELECTION:
        epochs, values = validation_curve(table, column)
        return epochs, values * scale
    if column not in table or "epoch" not in table:
        return np.zeros(0), np.zeros(0)
    epochs, values = _numbers(table["epoch"]), _numbers(table[column])
    known = np.isfinite(epochs) & (np.isfinite(values) | (column == "loss"))
    return epochs[known], values[known] * scale


def _loss_finding(report: ReportData, curves: Sequence[Sequence[Curve]]) -> str:
    parts = []
    several = any(len(values) > 1 for model in curves for _, values in model)
    for label, runs in zip(report.labels, curves, strict=True):
        ends = [(values[0], values[-1]) for _, values in runs if len(values)]
        if ends:
            first, last = np.mean(ends, axis=0)
            change = f"from {_loss_text(first)} to {_loss_text(last)}" if several else _loss_text(last)
            parts.append(f"{label} {change}")
    over = ", mean over runs" if report.seeds > 1 else ""
    when = " from the first to the last epoch" if several else ""
    return f"Training loss{when}{over}: {formatting.join_words(parts)}."


def _loss_text(loss: float) -> str:
    return f"{loss:.3g}" if np.isfinite(loss) else "no finite value"


def _best_finding(report: ReportData, curves: Sequence[Sequence[Curve]], name: str) -> str:
    parts = []
    for label, runs in zip(report.labels, curves, strict=True):
        best = [
            (float(values.max()), float(epochs[np.argmax(values)])) for epochs, values in runs if len(values)
        ]
        if best:
            value, epoch = max(best, key=lambda pair: pair[0])
            parts.append(f"{label} {value:.1f} (epoch {_epoch_text(epoch)})")
    over = " of all runs" if report.seeds > 1 else ""
    return f"Highest {name}{over} on the validation images: {formatting.join_words(parts)}."


def _warnings(report: ReportData, tables: Sequence[Sequence[pd.DataFrame]]) -> list[str]:
    warnings = []
    for note in report.training_notes:
        if note.kind == "still_rising":
            gains = [
                f"{formatting.printable(model)} {formatting.signed_points(gain)}"
                for model, gain in note.values.items()
            ]
            effect = "change the order of the models" if len(report.models) > 1 else f"raise {note.subject}"
            warnings.append(
                f"{formatting.sentence(note.text)} More epochs may {effect}. Gain in the last quarter of the epochs, in percentage "
                f"points: {formatting.join_words(gains)}."
            )
    broken = [
        label
        for label, model in zip(report.labels, tables, strict=True)
        if any("loss" in table and not np.isfinite(_numbers(table["loss"])).all() for table in model)
    ]
    if broken:
        warnings.append(f"The loss was not finite in some epochs of {formatting.join_words(broken)}.")
    return warnings


def _numbers(column: pd.Series) -> np.ndarray:
    return np.asarray(pd.to_numeric(column, errors="coerce"), np.float64)


def _table(report: ReportData, tables: Sequence[Sequence[pd.DataFrame]]) -> PageTable:
    rows = []
    for number, model in enumerate(tables):
        for run, table in zip(report.evaluated[number], model, strict=True):
            epochs, loss = _curve(table, "loss")
            at, ap = validation_curve(table)
            measure = "" if selection_column(table) == "val_ap" else SELECTION[selection_column(table)]
            best = int(np.argmax(ap)) if len(ap) else 0
            seed = run.run.result.seed
            rows.append(
                TableRow(
                    (
                        Cell(report.labels[number], note="" if seed is None else f"seed {seed}"),
                        _number(epochs[-1] if len(epochs) else None, _epoch_text),
                        _number(loss[0] if len(loss) else None, "{:.3g}".format),
                        _number(loss[-1] if len(loss) else None, "{:.3g}".format),
                        _number(100 * ap[best] if len(ap) else None, "{:.1f}".format, note=measure),
                        _number(at[best] if len(ap) else None, _epoch_text),
                        _number(100 * ap[-1] if len(ap) else None, "{:.1f}".format),
                    ),
                    series=number,
                )
            )
    titles = ("Epochs", "First loss", "Last loss", "Best validation AP", "Best epoch", "Last validation AP")
    columns = (TableColumn("Run"), *(TableColumn(title, numeric=True) for title in titles))
    return PageTable("training-table", "Training by run; AP in percent", columns, tuple(rows))


def _number(value: float | None, form: Callable[[float], str], note: str = "") -> Cell:
    if value is None or not np.isfinite(value):
        return Cell(formatting.MISSING)
    return Cell(form(float(value)), float(value), note=note)


def _epoch_text(epoch: float) -> str:
    """Whole epochs, or passes over the training images at a validation within one."""
    return f"{epoch:.0f}" if epoch.is_integer() else f"{epoch:.2f}"
