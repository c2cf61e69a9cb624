"""How training went: whether the loss still fell, and whether the validation images agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.lines import Curve, LineAxes, lines
from reports.records.csv import to_csv

STILL_RISING = 0.01
"""A gain of AP in the last tenth of training above which it had not come to rest."""


def section(report: ReportData) -> Section | None:
    """Loss and validation AP by epoch; None where no run was trained by us."""
    tables = [[run.run.history for run in runs] for runs in report.scored]
    if not any("epoch" in table and len(table) for model in tables for table in model):
        return None
    drawn: list[Figure] = []
    for column, slug, title, axis in (
        ("loss", "history-loss", "Training loss by epoch", "loss"),
        ("val_ap", "history-ap", "AP on the validation images by epoch", "AP (points of 100)"),
    ):
        scale = 100.0 if column == "val_ap" else 1.0
        curves = [[_curve(table, column, scale) for table in model] for model in tables]
        if any(len(epochs) for model in curves for epochs, _ in model):
            finding = _loss_finding(report, curves) if column == "loss" else _ap_finding(report, curves)
            drawn.append(
                lines(slug, title, finding, report.labels, curves, LineAxes("epoch", axis, whole=True))
            )
    return Section(
        "training",
        "Training",
        drawn[-1].finding if drawn else "No run kept a history of its training.",
        figures=[*drawn[:-1], *(replace(figure, caption="") for figure in drawn[-1:])],
        tables=(_table(report, tables),),
        warnings=_warnings(report, tables),
        method=(
            "Loss is the mean over the epoch's training images of the sum of its terms; models with different losses "
            "cannot be compared by it. AP is measured on the validation images, which no training saw; the weights "
            "that are evaluated are those of the highest.",
        ),
        links=(Link("training.csv", "one row an epoch"),),
    )


def history_csv(report: ReportData) -> str:
    """All runs' histories below each other, with the run's and the model's name."""
    frames = []
    for scored in report.runs:
        table = scored.run.history.copy()
        if "epoch" in table:
            table.insert(0, "run_id", scored.run.result.name)
            frames.append(table)
    return to_csv(pd.concat(frames, ignore_index=True)) if frames else ""


def _curve(table: pd.DataFrame, column: str, scale: float = 1.0) -> Curve:
    if column not in table or "epoch" not in table:
        return np.zeros(0), np.zeros(0)
    numbers = table[["epoch", column]].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    known = np.isfinite(numbers[:, 0])
    if column == "val_ap":  # not every epoch is validated: the line goes on to the next that was
        known &= np.isfinite(numbers[:, 1])
    return numbers[known, 0], numbers[known, 1] * scale


def _loss_finding(report: ReportData, curves: Sequence[Sequence[Curve]]) -> str:
    said = []
    for label, runs in zip(report.labels, curves, strict=True):
        ends = [(values[0], values[-1]) for _, values in runs if len(values)]
        if ends:
            first, last = np.mean(ends, axis=0)
            said.append(f"{label} from {first:.3g} to {last:.3g}")
    return f"The loss went: {formatting.join_words(said)}."


def _ap_finding(report: ReportData, curves: Sequence[Sequence[Curve]]) -> str:
    said = []
    for label, runs in zip(report.labels, curves, strict=True):
        best = [
            (float(values.max()), int(epochs[np.argmax(values)])) for epochs, values in runs if len(values)
        ]
        if best:
            value, epoch = max(best)
            said.append(f"{label} {value:.1f} (epoch {epoch})")
    return f"Highest AP on the validation images: {formatting.join_words(said)}."


def _warnings(report: ReportData, tables: Sequence[Sequence[pd.DataFrame]]) -> list[str]:
    rising, broken = [], []
    for label, model in zip(report.labels, tables, strict=True):
        gains = []
        for table in model:
            epochs, values = _curve(table, "val_ap")
            early = values[epochs <= 0.9 * epochs.max()] if len(epochs) else values
            if len(values) >= 5 and len(early):
                gains.append(float(values.max() - early.max()))
            loss = table["loss"] if "loss" in table else pd.Series(dtype=float)
            if len(loss) and not np.isfinite(pd.to_numeric(loss, errors="coerce").to_numpy(np.float64)).all():
                broken.append(label)
        if gains and np.mean(gains) > STILL_RISING:
            rising.append(label)
    said = []
    if rising:
        said.append(
            f"AP was still rising when training ended: {formatting.join_words(rising)}. More epochs may change the order."
        )
    if broken:
        said.append(f"The loss was not a number at times: {formatting.join_words(sorted(set(broken)))}.")
    return said


def _table(report: ReportData, tables: Sequence[Sequence[pd.DataFrame]]) -> PageTable:
    rows = []
    for number, model in enumerate(tables):
        for scored, table in zip(report.scored[number], model, strict=True):
            epochs, loss = _curve(table, "loss")
            at, ap = _curve(table, "val_ap")
            best = int(np.argmax(ap)) if len(ap) else 0
            seed = scored.run.result.seed
            rows.append(
                TableRow(
                    (
                        Cell(report.labels[number], note="" if seed is None else f"seed {seed}"),
                        _number(epochs[-1] if len(epochs) else None, "{:.0f}"),
                        _number(loss[0] if len(loss) else None, "{:.3g}"),
                        _number(loss[-1] if len(loss) else None, "{:.3g}"),
                        _number(100 * ap[best] if len(ap) else None, "{:.1f}"),
                        _number(at[best] if len(ap) else None, "{:.0f}"),
                        _number(100 * ap[-1] if len(ap) else None, "{:.1f}"),
                    ),
                    series=number,
                )
            )
    titles = ("Epochs", "First loss", "Last loss", "Best validation AP", "in epoch", "Last validation AP")
    columns = (TableColumn("Run"), *(TableColumn(title, numeric=True) for title in titles))
    return PageTable("training-table", "Training by run; AP in points of 100", columns, tuple(rows))


def _number(value: float | None, form: str) -> Cell:
    if value is None or not np.isfinite(value):
        return Cell(formatting.MISSING)
    return Cell(form.format(value), float(value))
