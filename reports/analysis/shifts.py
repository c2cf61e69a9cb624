"""Shifts of the test images: AP of models by the size of objects and by brightness."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from metrics.designs.corruption import RobustValue, percentiles
from reports.analysis.report_data import ReportData
from reports.analysis.robustness import mean_of, replicates_of
from reports.records.robustness import RobustnessRecord, load_robustness


@dataclass(frozen=True, eq=False)
class ShiftedModel:
    """One model, mean over its seeds.

    Attributes:
        number: of the model in the report.
        values: AP at each factor, in the order of `Shift.factors`, with intervals over images.
        changes: AP minus that at factor 1, with paired intervals; the images of both are the same, the objects in them need not be.
    """

    number: int
    values: tuple[RobustValue, ...]
    changes: tuple[RobustValue, ...]


@dataclass(frozen=True, eq=False)
class Shift:
    """One kind of shift.

    Attributes:
        name: `size` or `brightness`.
        factors: increasing; with 1, the images as they are.
        models: those with all of these factors.
        left_out: labels of the others.
    """

    name: str
    factors: tuple[float, ...]
    models: tuple[ShiftedModel, ...]
    left_out: tuple[str, ...]


def shifts_of(report: ReportData) -> list[Shift]:
    """The shifts that were measured, of runs whose records are of the same images and version as the first one."""
    records = {
        model.number: [record for run in model.runs if (record := load_robustness(run.path)) is not None]
        for model in report.models
    }
    measured = [record for of in records.values() for record in of if record.shifts]
    if not measured:
        return []
    same = (measured[0].version, measured[0].images)
    names = dict.fromkeys(value.shift for record in measured for value in record.shifts)
    return [_shift(report, name, records, same) for name in names]


def _shift(
    report: ReportData, name: str, records: dict[int, list[RobustnessRecord]], same: tuple[int, str]
) -> Shift:
    kept: dict[int, list[RobustnessRecord]] = {}
    for number, of in records.items():
        found = [
            r for r in of if (r.version, r.images) == same and any(value.shift == name for value in r.shifts)
        ]
        if found:
            kept[number] = found
    every = [record for of in kept.values() for record in of]
    shared = set.intersection(*({v.factor for v in r.shifts if v.shift == name} for r in every))
    factors = tuple(sorted({1.0, *shared}))
    models = tuple(_model(number, of, name, factors) for number, of in kept.items())
    left_out = tuple(label for number, label in enumerate(report.labels) if number not in kept)
    return Shift(name, factors, models, left_out)


def _model(
    number: int, records: list[RobustnessRecord], name: str, factors: tuple[float, ...]
) -> ShiftedModel:
    at = [[r.clean if factor == 1 else r.shifted(name, factor) for r in records] for factor in factors]
    means = [mean_of(values, "ap") for values in at]
    replicates = [replicates_of(values) for values in at]
    clean = factors.index(1.0)
    return ShiftedModel(
        number,
        tuple(RobustValue(mean, *percentiles(of)) for mean, of in zip(means, replicates, strict=True)),
        tuple(
            RobustValue(mean - means[clean], *percentiles(of - replicates[clean]))
            for mean, of in zip(means, replicates, strict=True)
        ),
    )


def rows(report: ReportData, shifts: list[Shift]) -> pd.DataFrame:
    """``shifts.csv``: one row per model, shift and factor."""
    return pd.DataFrame(
        [
            {
                "model_id": report.models[model.number].label,
                "shift": shift.name,
                "factor": factor,
                "ap": value.value,
                "ap_low": value.low,
                "ap_high": value.high,
                "change": change.value,
                "change_low": change.low,
                "change_high": change.high,
            }
            for shift in shifts
            for model in shift.models
            for factor, value, change in zip(shift.factors, model.values, model.changes, strict=True)
        ]
    )
