"""Robustness of models: AP under each corruption and severity, and means over them with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metrics.designs.corruption import Robustness, RobustValue, mean_replicates, percentiles, robustness
from reports.analysis.report_data import Floats, ReportData
from reports.records.robustness import CorruptedValue, RobustnessRecord, ShiftedValue, load_robustness

Cell = tuple[str, int]


@dataclass(frozen=True, eq=False)
class ModelRobustness:
    """One model, mean over its seeds.

    Attributes:
        number: of the model in the report.
        clean: AP on clean images.
        values: AP of each cell.
        values50: AP50 of each cell.
        summary: mean performance under corruption.
        replicates: (B,) of mPC.
    """

    number: int
    clean: float
    values: dict[Cell, float]
    values50: dict[Cell, float]
    summary: Robustness
    replicates: Floats


@dataclass(frozen=True, eq=False)
class RobustnessResults:
    """Models whose robustness was measured, the highest mPC first.

    Attributes:
        cells: corruptions and severities that all of these models have.
        models: the models.
        lead: of the first model over each other one in mPC, with a paired interval, in the order of `models`.
        left_out: labels of models that were not measured, or on other images.
    """

    cells: tuple[Cell, ...]
    models: tuple[ModelRobustness, ...]
    lead: tuple[RobustValue, ...]
    left_out: tuple[str, ...]

    @property
    def corruptions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for name, _ in self.cells))

    @property
    def severities(self) -> tuple[int, ...]:
        return tuple(sorted({severity for _, severity in self.cells}))


def summary_of(record: RobustnessRecord) -> Robustness:
    """The summary of one run over all of its cells."""
    cells = [(cell.corruption, cell.severity) for cell in record.cells]
    return _summary([record], cells)[0]


def robustness_results(report: ReportData) -> RobustnessResults | None:
    """Read the records of the runs of a report; None if no run has one.

    Only runs whose record is of the same images and version as the first one count, and only cells that all of them have.
    """
    found = [
        (model.number, [record for run in model.runs if (record := load_robustness(run.path)) is not None])
        for model in report.models
    ]
    every = [record for _, records in found for record in records if record.cells]
    if not every:
        return None
    version = (every[0].version, every[0].images)
    kept = [
        (number, [r for r in records if r.cells and (r.version, r.images) == version])
        for number, records in found
    ]
    kept = [(number, records) for number, records in kept if records]
    order = [(cell.corruption, cell.severity) for cell in every[0].cells]
    cells = [cell for cell in order if all(r.value(*cell) for _, records in kept for r in records)]
    if not cells:
        return None
    models = []
    for number, records in kept:
        summary, replicates = _summary(records, cells)
        values = {cell: mean_of([r.value(*cell) for r in records], "ap") for cell in cells}
        values50 = {cell: mean_of([r.value(*cell) for r in records], "ap50") for cell in cells}
        clean = mean_of([r.clean for r in records], "ap")
        models.append(ModelRobustness(number, clean, values, values50, summary, replicates))
    models.sort(key=lambda model: (math.isnan(model.summary.mpc.value), -model.summary.mpc.value))
    lead = [
        RobustValue(
            models[0].summary.mpc.value - other.summary.mpc.value,
            *percentiles(models[0].replicates - other.replicates),
        )
        for other in models[1:]
    ]
    numbers = {model.number for model in models}
    left_out = tuple(label for number, label in enumerate(report.labels) if number not in numbers)
    return RobustnessResults(tuple(cells), tuple(models), tuple(lead), left_out)


def _summary(records: Sequence[RobustnessRecord], cells: Sequence[Cell]) -> tuple[Robustness, Floats]:
    values = {cell: mean_of([record.value(*cell) for record in records], "ap") for cell in cells}
    replicates = {cell: replicates_of([record.value(*cell) for record in records]) for cell in cells}
    clean = [record.clean for record in records]
    if not cells:
        unknown = RobustValue(math.nan, math.nan, math.nan)
        return Robustness(unknown, unknown), np.zeros(0)
    found = robustness(mean_of(clean, "ap"), values, replicates_of(clean), replicates)
    return found, mean_replicates(replicates)


def mean_of(values: Sequence[CorruptedValue | ShiftedValue | None], name: str) -> float:
    """Mean of a field of several runs; NaN if one is missing or not defined."""
    known = [getattr(value, name) for value in values]
    return math.nan if None in known else float(np.mean(known))


def replicates_of(values: Sequence[CorruptedValue | ShiftedValue | None]) -> Floats:
    """(B,) mean of the replicates of several runs."""
    tables = [[np.nan if x is None else x for x in value.replicates] for value in values if value is not None]
    return np.asarray(np.mean(np.array(tables, np.float64), axis=0))


def rows(report: ReportData, results: RobustnessResults) -> pd.DataFrame:
    """``robustness.csv``: one row per model, corruption and severity; severity 0 is clean."""
    made = []
    for model in results.models:
        label = report.models[model.number].label
        made.append({"model_id": label, "corruption": "", "severity": 0, "ap": model.clean})
        for name, severity in results.cells:
            cell = (name, severity)
            made.append(
                {
                    "model_id": label,
                    "corruption": name,
                    "severity": severity,
                    "ap": model.values[cell],
                    "ap50": model.values50[cell],
                }
            )
    return pd.DataFrame(made)
