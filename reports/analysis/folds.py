"""Cross-validated models: AP of each fold, means over folds, and differences with intervals for folds that share images."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metrics.designs.folds import FoldInterval, fold_interval
from metrics.evaluator import evaluate_matches
from metrics.resampling.multiple_comparisons import holm
from metrics.slices.subset import select_images
from reports.analysis.report_data import Floats, ReportData

FOLD = "fold"
"""Image column of a pooled run: number of the fold, from 1, in which the image was tested."""

MEASURES = ("ap", "ap50")


@dataclass(frozen=True, slots=True)
class FoldDifference:
    """Difference of two models in AP over folds.

    Attributes:
        first, second: numbers of the models in the report.
        interval: of the mean difference, corrected for training images that folds share.
        p_adjusted: its p-value, adjusted by Holm's method for the number of pairs.
        wins: number of folds in which the first model has the higher AP.
    """

    first: int
    second: int
    interval: FoldInterval
    p_adjusted: float
    wins: int

    @property
    def decisive(self) -> bool:
        """Whether the interval excludes 0 and the adjusted p-value is below 0.05."""
        return self.interval.excludes_zero and self.p_adjusted < 0.05


@dataclass(frozen=True, eq=False)
class FoldResults:
    """Results of each fold.

    Attributes:
        folds: K.
        images: (K,) test images of each fold.
        train_images: mean number of training images.
        values: measure to the values of each model, (S, K): one row per seed; NaN where undefined.
        means: measure to the mean over folds of each model.
        differences: all pairs, of AP.
    """

    folds: int
    images: NDArray[np.intp]
    train_images: int
    values: dict[str, list[Floats]]
    means: dict[str, list[FoldInterval]]
    differences: list[FoldDifference]

    @property
    def test_share(self) -> float:
        """Test images of a fold for each training image."""
        return float(self.images.mean()) / self.train_images


def fold_results(report: ReportData) -> FoldResults | None:
    """Evaluate each fold of pooled runs; None for other runs."""
    column = report.truth.catalog.image_columns.get(FOLD)
    trained = [result.data.train_images for result in report.results]
    known = [count for count in trained if count]
    if column is None or None in column or "folds" not in report.data.split or not known:
        return None
    fold = np.array([int(value) for value in column if value is not None])
    numbers = np.unique(fold)
    values: dict[str, list[Floats]] = {name: [] for name in MEASURES}
    for runs in report.evaluated:
        headlines = [
            [evaluate_matches(select_images(run.matches, fold == number)).headline for number in numbers]
            for run in runs
        ]
        for name in MEASURES:
            values[name].append(np.array([[each[name] for each in of_run] for of_run in headlines]))
    images = np.bincount(fold)[numbers]
    train = round(sum(known) / len(known))
    share = float(images.mean()) / train
    over_seeds = {name: [of_model.mean(0) for of_model in of] for name, of in values.items()}
    means = {name: [fold_interval(of_model, share) for of_model in of] for name, of in over_seeds.items()}
    return FoldResults(len(numbers), images, train, values, means, _differences(over_seeds["ap"], share))


def _differences(values: list[Floats], share: float) -> list[FoldDifference]:
    pairs = list(combinations(range(len(values)), 2))
    intervals = [fold_interval(values[one] - values[other], share) for one, other in pairs]
    adjusted = holm([interval.p_value for interval in intervals])
    return [
        FoldDifference(one, other, interval, float(p), int((values[one] > values[other]).sum()))
        for (one, other), interval, p in zip(pairs, intervals, adjusted, strict=True)
    ]


def rows(report: ReportData, results: FoldResults) -> pd.DataFrame:
    """``folds.csv``: one row per run and fold."""
    made = []
    for at, model in enumerate(report.models):
        for seed, run in enumerate(model.runs):
            for fold in range(results.folds):
                made.append(
                    {
                        "run_id": run.result.name,
                        "model_id": model.label,
                        "seed": run.result.seed,
                        "fold": fold + 1,
                        "images": int(results.images[fold]),
                        **{name: float(results.values[name][at][seed, fold]) for name in MEASURES},
                    }
                )
    return pd.DataFrame(made).astype({"seed": "Int64"})


def difference_rows(report: ReportData, results: FoldResults) -> pd.DataFrame:
    """``fold-differences.csv``: one row per pair of models."""
    return pd.DataFrame(
        [
            {
                "model_a": report.models[row.first].label,
                "model_b": report.models[row.second].label,
                "metric": "ap",
                "delta": row.interval.mean,
                "ci_low": row.interval.low,
                "ci_high": row.interval.high,
                "se": row.interval.se,
                "p_raw": row.interval.p_value,
                "p_adj": row.p_adjusted,
                "folds_a_higher": row.wins,
                "folds": results.folds,
                "test_share": results.test_share,
            }
            for row in results.differences
        ],
        columns=[
            "model_a", "model_b", "metric", "delta", "ci_low", "ci_high", "se", "p_raw", "p_adj", "folds_a_higher", "folds",
            "test_share",
        ],
    )  # fmt: skip
