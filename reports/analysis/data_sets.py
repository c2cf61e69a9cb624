"""Models on several data sets: values on each, ranks, tests over data sets, and mean differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from metrics.designs.data_sets import (
    MeanDifference,
    Ranking,
    mean_difference,
    rank_models,
    signed_rank_p_value,
)
from metrics.resampling.multiple_comparisons import holm
from reports.analysis.report_data import Floats, ReportData

MEASURES = ("ap", "ap50")
"""Measures of the tables; the first one decides."""


@dataclass(frozen=True, eq=False)
class DataSetDifference:
    """The best model and another one over all data sets, by the deciding measure.

    Attributes:
        other: number of the other model; the best one has the number 0.
        deltas: (D,) value of the best model minus that of the other on each data set.
        intervals: (D, 2) of each; NaN without statistics, and for data sets with too few images or objects.
        wins: number of data sets on which the best model has the higher value.
        mean: over data sets, weighted by standard errors if all are known; its limits are those of differences of fractions.
        p_value: of Wilcoxon's signed-rank test, adjusted by Holm's method for the other models.
        p_mean: p-value of the mean, adjusted in the same way.
    """

    other: int
    deltas: Floats
    intervals: Floats
    wins: int
    mean: MeanDifference
    p_value: float
    p_mean: float

    @property
    def decisive(self) -> bool:
        """Whether the mean difference excludes 0 with an adjusted p-value below 0.05."""
        return (self.mean.low > 0 or self.mean.high < 0) and self.p_mean < 0.05


@dataclass(frozen=True, eq=False)
class SuiteResults:
    """Models on several data sets.

    Attributes:
        reports: of each data set.
        names: of the data sets, unique.
        labels: of the models that every data set has, by mean rank; their place is their number.
        left_out: labels of models that some data set lacks.
        values: measure to (D, M) fractions, mean over seeds.
        intervals: measure to (D, M, 2) limits; NaN without statistics, and for data sets with too few images or objects.
        ranking: by the deciding measure; None with fewer than two models, or if a value is undefined.
        differences: of the best model from each other one.
    """

    reports: tuple[ReportData, ...]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    left_out: tuple[str, ...]
    values: dict[str, Floats]
    intervals: dict[str, Floats]
    ranking: Ranking | None
    differences: tuple[DataSetDifference, ...]

    @property
    def too_few(self) -> tuple[str, ...]:
        """Names of the data sets with too few images or objects for intervals, whose standard errors are not used either."""
        return tuple(name for name, report in zip(self.names, self.reports, strict=True) if report.too_few)


def suite_results(reports: Sequence[ReportData]) -> SuiteResults:
    """Compare the models that all data sets have, by their labels.

    Args:
        reports: one for each data set, at least two.
    """
    names = _names([report.data.name for report in reports])
    every = [label for label in reports[0].labels if all(label in report.labels for report in reports)]
    left_out = dict.fromkeys(label for report in reports for label in report.labels if label not in every)
    table = _values(reports, every, MEASURES[0])
    ranking = None
    if len(every) > 1 and not np.isnan(table).any():
        ranking = rank_models(table)
        best_first = np.lexsort((-table.mean(0), ranking.mean_ranks))
        every = [every[at] for at in best_first]
        ranking = rank_models(table[:, best_first])
    values = {measure: _values(reports, every, measure) for measure in MEASURES}
    intervals = {measure: _intervals(reports, every, measure) for measure in MEASURES}
    differences = () if ranking is None else _differences(reports, every, values[MEASURES[0]])
    return SuiteResults(
        tuple(reports), names, tuple(every), tuple(left_out), values, intervals, ranking, differences
    )


def _names(names: Sequence[str]) -> tuple[str, ...]:
    """The names, numbered where they are equal."""
    return tuple(
        f"{name} ({1 + names[:at].count(name)})" if names.count(name) > 1 else name
        for at, name in enumerate(names)
    )


def _values(reports: Sequence[ReportData], labels: Sequence[str], measure: str) -> Floats:
    table = np.empty((len(reports), len(labels)))
    for at, report in enumerate(reports):
        headline = dict(zip(report.labels, report.headline(measure), strict=True))
        table[at] = [float(headline[label].mean()) for label in labels]
    return table


def _intervals(reports: Sequence[ReportData], labels: Sequence[str], measure: str) -> Floats:
    table = np.full((len(reports), len(labels), 2), np.nan)
    for at, report in enumerate(reports):
        if labels and report.statistics is not None and not report.too_few:
            standings = dict(zip(report.labels, report.standings(measure), strict=True))
            table[at] = [(standings[label].ci_low, standings[label].ci_high) for label in labels]
    return table


def _differences(
    reports: Sequence[ReportData], labels: Sequence[str], values: Floats
) -> tuple[DataSetDifference, ...]:
    found = []
    for other in range(1, len(labels)):
        deltas = values[:, 0] - values[:, other]
        intervals, errors = np.full((len(reports), 2), np.nan), np.full(len(reports), np.nan)
        for at, report in enumerate(reports):
            statistics = report.statistics
            if statistics is None or report.too_few:
                continue
            model = {label: model.label for label, model in zip(report.labels, report.models, strict=True)}
            row = statistics.difference(model[labels[0]], model[labels[other]], MEASURES[0])
            sign = 1.0 if row.model_a == model[labels[0]] else -1.0
            intervals[at] = sorted((sign * row.ci_low, sign * row.ci_high))
            errors[at] = row.se
        if not np.isfinite(errors).all():
            errors[:] = np.nan
        mean = _within_fractions(mean_difference(deltas, errors))
        found.append((deltas, intervals, mean, signed_rank_p_value(deltas)))
    wilcoxon = holm([p for *_, p in found])
    of_means = holm([mean.p_value for _, _, mean, _ in found])
    return tuple(
        DataSetDifference(
            at + 1, deltas, intervals, int((deltas > 0).sum()), mean, float(wilcoxon[at]), float(of_means[at])
        )
        for at, (deltas, intervals, mean, _) in enumerate(found)
    )


def _within_fractions(mean: MeanDifference) -> MeanDifference:
    """Limits of a difference of two values from 0 to 1."""
    names = ("low", "high", "new_low", "new_high")
    return replace(mean, **{name: float(np.clip(getattr(mean, name), -1.0, 1.0)) for name in names})


def value_rows(results: SuiteResults) -> pd.DataFrame:
    """``data-sets.csv``: one row per data set, model and measure."""
    return pd.DataFrame(
        [
            {
                "dataset": name,
                "model_id": label,
                "metric": measure,
                "value": float(results.values[measure][row, column]),
                "ci_low": float(results.intervals[measure][row, column, 0]),
                "ci_high": float(results.intervals[measure][row, column, 1]),
                "rank": None
                if results.ranking is None or measure != MEASURES[0]
                else float(results.ranking.ranks[row, column]),
            }
            for row, name in enumerate(results.names)
            for column, label in enumerate(results.labels)
            for measure in MEASURES
        ]
    )


def difference_rows(results: SuiteResults) -> pd.DataFrame:
    """``data-set-differences.csv``: one row per other model and data set, and one with the mean over data sets."""
    made = []
    for each in results.differences:
        pair = {"model_a": results.labels[0], "model_b": results.labels[each.other], "metric": MEASURES[0]}
        for name, delta, (low, high) in zip(results.names, each.deltas, each.intervals, strict=True):
            made.append({**pair, "dataset": name, "delta": float(delta), "ci_low": low, "ci_high": high})
        made.append(
            {
                **pair,
                "dataset": "",
                "delta": each.mean.mean,
                "ci_low": each.mean.low,
                "ci_high": each.mean.high,
                "p_mean_adj": each.p_mean,
                "p_wilcoxon_adj": each.p_value,
                "spread": each.mean.spread,
                "new_low": each.mean.new_low,
                "new_high": each.mean.new_high,
            }
        )
    return pd.DataFrame(made)
