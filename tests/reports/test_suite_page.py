"""The page over several data sets: its sentences and tables against values that are computed here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_runs import run_in, truth_of

from metrics.designs.data_sets import mean_difference
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.data_sets import suite_results
from reports.analysis.report_data import ReportData
from reports.pages import write_suite
from reports.records.run import DataFacts
from reports.sections import data_sets as section

SKILLS = {
    "cells": {"ssd": 0.5, "fcos": 0.85, "retinanet": 0.8},
    "cars": {"ssd": 0.55, "fcos": 0.9, "retinanet": 0.7},
    "birds": {"ssd": 0.4, "fcos": 0.8, "retinanet": 0.85, "dual": 0.5},
}


def report_of(folder: Path, name: str, skills: dict[str, float], seed: int, images: int = 52) -> ReportData:
    truth = truth_of(images, ("round", "long"), seed, most=4)
    facts = DataFacts(
        name=name, format="coco", split="test", fingerprint=truth.fingerprint, images=images, objects=len(truth), classes=2
    )  # fmt: skip
    runs = [
        run_in(folder, truth, variant, skill, name=f"{variant}-{name}", data=facts)
        for variant, skill in skills.items()
    ]
    return ReportData.from_runs(runs, options=ComparisonOptions(resamples=50))


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> list[ReportData]:
    folder = tmp_path_factory.mktemp("suite")
    return [report_of(folder, name, skills, at) for at, (name, skills) in enumerate(SKILLS.items())]


def ap_of(reports: list[ReportData], label: str) -> np.ndarray:
    return np.array(
        [
            run.result.headline["ap"]
            for report in reports
            for run in report.folders
            if run.result.variant == label
        ]
    )


def test_models_that_all_data_sets_have_are_ranked(reports):
    found = suite_results(reports)
    aps = {label: ap_of(reports, label) for label in ("ssd", "fcos", "retinanet")}
    assert found.left_out == ("dual",)
    ranks = np.mean([stats.rankdata([-aps[label][at] for label in aps]) for at in range(3)], axis=0)
    expected = dict(zip(aps, ranks, strict=True))
    assert found.labels == tuple(sorted(aps, key=expected.get))
    assert found.ranking.mean_ranks == pytest.approx([expected[label] for label in found.labels])
    assert found.values["ap"][:, 0] == pytest.approx(aps[found.labels[0]])
    text = section.finding_text(found)
    best = found.labels[0]
    assert text.startswith(f"{best} has the best mean rank by AP over 3 data sets ({expected[best]:.2f}).")
    for each in found.differences:
        name = found.labels[each.other]
        assert each.deltas == pytest.approx(aps[best] - aps[name])
        assert each.wins == (aps[best] > aps[name]).sum()
        rows = [report.statistics.difference(best, name) for report in reports]
        mean = mean_difference(aps[best] - aps[name], [row.se for row in rows])
        assert (each.mean.low, each.mean.high) == pytest.approx((mean.low, mean.high))
        sure = each.p_mean < 0.05 and mean.low > 0
        assert (f"not decisively better than {name}" in text) == (not sure) or len(found.differences) > 1
        if sure:
            assert f"better than {name} by +" in text


def test_the_highest_values_are_counted(reports):
    found = suite_results(reports)
    text = section.winners_text(found)
    table = np.stack([ap_of(reports, label) for label in found.labels], axis=1)
    for at, label in enumerate(found.labels):
        wins = int((table.argmax(1) == at).sum())
        assert (f"{label} on {wins}" in text) == (wins > 0)


def test_few_data_sets_are_a_warning(reports):
    (few, missing) = section.verdict(suite_results(reports)).warnings
    assert few.startswith("With 3 data sets, Wilcoxon's test cannot have a p-value below 0.25")
    assert missing == "Not run on all data sets, and left out here: dual."


def test_a_data_set_with_too_few_images_has_no_interval_and_no_more_weight(reports, tmp_path):
    few = report_of(tmp_path, "plants", SKILLS["cells"], 5, images=4)
    assert few.too_few
    found = suite_results([*reports, few])
    assert found.too_few == ("plants",)
    for each in found.differences:
        assert np.isnan(each.intervals[-1]).all()
        assert np.isfinite(each.intervals[:-1]).all()
        low, high = stats.t.interval(0.95, 3, each.deltas.mean(), stats.sem(each.deltas))
        assert each.mean.mean == pytest.approx(each.deltas.mean())
        assert (each.mean.low, each.mean.high) == pytest.approx((max(low, -1), min(high, 1)))
    assert np.isnan(found.intervals["ap"][-1]).all()
    assert any(
        "intervals: plants. All data sets have the same weight" in text
        for text in section.verdict(found).warnings
    )


def test_limits_of_a_difference_of_fractions_are_fractions(reports):
    for each in suite_results(reports).differences:
        assert -1 <= each.mean.new_low <= each.mean.low <= each.mean.high <= each.mean.new_high <= 1


def test_one_model_has_no_ranking(reports):
    alone = [
        ReportData.from_runs(
            [run for run in each.folders if run.result.variant == "ssd"], options=each.options
        )
        for each in reports
    ]
    found = suite_results(alone)
    assert found.ranking is None
    assert section.finding_text(found) == "ssd alone was run on all 3 data sets, so there is no ranking."


def test_the_page_and_its_tables(reports, tmp_path):
    page = write_suite(reports, tmp_path, {0: "1-cells/report.html"})
    text = page.read_text(encoding="utf-8")
    assert "Detectors on 3 data sets" in text
    assert 'href="1-cells/report.html"' in text
    assert (tmp_path / "figures" / "mean-ranks.svg").is_file()
    rows = pd.read_csv(tmp_path / "data-sets.csv")
    assert len(rows) == 3 * 3 * 2
    means = pd.read_csv(tmp_path / "data-set-differences.csv").query("dataset.isna()")
    assert len(means) == 2
