"""The section "Folds": its sentences and tables against values that are computed here."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import brute_force as brute
import numpy as np
import pytest
from drawn_reports import found_by, run_of, truth_of
from scipy import stats

from metrics.tables import AnnotationTable
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.folds import fold_results
from reports.analysis.report_data import ReportData
from reports.pages import write_comparison
from reports.records.run import Budget, RunFolder
from reports.sections import folds

K = 5


def in_folds(truth: AnnotationTable) -> AnnotationTable:
    number = tuple(1 + k % K for k in range(len(truth.catalog.image_ids)))
    return replace(truth, catalog=replace(truth.catalog, image_columns={"fold": number}))


def pooled(truth: AnnotationTable, kind: str, name: str, seed: int = 0) -> RunFolder:
    run = run_of(truth, found_by(kind, truth, np.random.default_rng(seed)), name, seed, [], Budget())
    facts = run.result.data.model_copy(update={"split": "folds", "train_images": 40})
    return run.replace(result=run.result.model_copy(update={"data": facts}))


def report_of(*runs: RunFolder) -> ReportData:
    return ReportData.from_runs(runs, options=ComparisonOptions(resamples=40))


@pytest.fixture(scope="module")
def truth() -> AnnotationTable:
    return in_folds(truth_of(60, 2, 3, np.random.default_rng(0)))


def by_fold(run: RunFolder) -> list[float]:
    number = np.array(run.truth.catalog.image_columns["fold"])
    parts = [number == k for k in range(1, K + 1)]
    return [brute.ap(run.truth.select(part), run.detections.select(part)) for part in parts]


def test_values_of_folds_and_the_mean_difference(truth):
    runs = [pooled(truth, "exact", "good"), *(pooled(truth, "fair", "fair", seed) for seed in (0, 1))]
    report = report_of(*runs)
    found = fold_results(report)
    good, fair = np.array(by_fold(runs[0])), np.mean([by_fold(run) for run in runs[1:]], axis=0)
    assert report.labels == ("good", "fair")
    assert found.values["ap"][0][0] == pytest.approx(good)
    assert found.values["ap"][1].mean(0) == pytest.approx(fair)
    (row,) = found.differences
    # 12 test images and 40 training images
    se = math.sqrt(1 / K + 12 / 40) * (good - fair).std(ddof=1)
    half = stats.t.ppf(0.975, K - 1) * se
    assert row.interval.low == pytest.approx((good - fair).mean() - half)
    assert row.wins == (good > fair).sum()
    assert row.decisive
    text = folds.finding_text(report.labels, found)
    assert f"good {100 * good.mean():.1f} [" in text
    assert f"Decisive over folds: good above fair by {100 * (good - fair).mean():.1f} [" in text


def test_equal_models_are_not_called_different(truth):
    report = report_of(pooled(truth, "fair", "one"), pooled(truth, "fair", "two"))
    found = fold_results(report)
    (row,) = found.differences
    assert (row.interval.mean, row.p_adjusted) == (0, 1)
    assert folds.finding_text(report.labels, found).endswith("The difference is not decisive over folds.")


def test_few_folds_are_a_warning_and_other_runs_have_no_section(truth, tmp_path, no_drawing):
    report = report_of(pooled(truth, "fair", "one"), pooled(truth, "exact", "two"))
    page = write_comparison(report, tmp_path / "page")
    text = page.read_text(encoding="utf-8")
    assert 'id="folds"' in text
    assert "all images, in folds" in text
    assert "degrees of freedom, which is wide" not in text
    assert (Path(page).parent / "fold-differences.csv").read_text().count("\n") == 2
    plain = run_of(truth, found_by("fair", truth, np.random.default_rng(0)), "m", 0, [], Budget())
    assert fold_results(report_of(plain)) is None
