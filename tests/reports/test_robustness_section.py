"""The section "Robustness": its sentences and tables against the records that they are made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import run_in, truth_of

from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.report_data import ReportData
from reports.analysis.robustness import robustness_results
from reports.pages import write_comparison
from reports.records.robustness import (
    FILE,
    CorruptedValue,
    RobustnessRecord,
    load_robustness,
    save_robustness,
)
from reports.records.run import RunFolder
from reports.sections import robustness as section

CELLS = [(name, severity) for name in ("fog", "jpeg_compression") for severity in (1, 5)]


def measured(run: RunFolder, values: list[float], noise: float = 0.01, images: str = "x") -> None:
    random = np.random.default_rng(0).normal(0, noise, 50)
    cells = tuple(
        CorruptedValue(
            corruption=name,
            severity=severity,
            ap=value,
            ap50=value,
            replicates=tuple((value + random).tolist()),
        )
        for (name, severity), value in zip(CELLS, values, strict=False)
    )
    clean = CorruptedValue(
        corruption="clean", severity=0, ap=0.5, ap50=0.7, replicates=tuple((0.5 + random).tolist())
    )
    save_robustness(run.path, RobustnessRecord(version=1, images=images, clean=clean, cells=cells))


@pytest.fixture
def runs(tmp_path: Path) -> list[RunFolder]:
    truth = truth_of(20, ("round",))
    return [
        run_in(tmp_path / "runs", truth, name, skill)
        for name, skill in (("ssd", 0.8), ("fcos", 0.6), ("dual", 0.5))
    ]


def report_of(runs: list[RunFolder]) -> ReportData:
    return ReportData.from_runs(runs, options=ComparisonOptions(resamples=20))


def test_the_model_with_the_highest_mean_is_named_with_its_lead(runs):
    measured(runs[0], [0.4, 0.2, 0.3, 0.1])
    measured(runs[1], [0.5, 0.4, 0.3, 0.2])
    report = report_of(runs)
    found = robustness_results(report)
    assert [report.labels[model.number] for model in found.models] == ["fcos", "ssd"]
    assert [model.summary.mpc.value for model in found.models] == pytest.approx([0.35, 0.25])
    # The noise is the same in both, so that the paired difference has none.
    assert (found.lead[0].low, found.lead[0].high) == pytest.approx((0.1, 0.1))
    assert found.left_out == ("dual",)
    assert section.finding_text(report.labels, found) == (
        "fcos: AP 35.0 [33.5, 37.2] on average under corruption, 70.0% of 50.0 on clean images. It is above ssd by 10.0 "
        "[10.0, 10.0]. The lowest AP of fcos is under JPEG compression (25.0)."
    ).replace("[33.5, 37.2]", section.formatting.points_interval(*_ends(found)))


def _ends(found) -> tuple[float, float]:
    random = np.random.default_rng(0).normal(0, 0.01, 50)
    low, high = np.quantile(0.35 + random, [0.025, 0.975])
    assert (found.models[0].summary.mpc.low, found.models[0].summary.mpc.high) == pytest.approx((low, high))
    return float(low), float(high)


def test_only_cells_and_images_that_all_models_share_count(runs):
    measured(runs[0], [0.4, 0.2, 0.3, 0.1])
    measured(runs[1], [0.5, 0.4])
    measured(runs[2], [0.5, 0.4, 0.3, 0.2], images="other")
    report = report_of(runs)
    found = robustness_results(report)
    assert found.cells == (("fog", 1), ("fog", 5))
    assert found.left_out == ("dual",)
    assert [model.summary.mpc.value for model in found.models] == pytest.approx([0.45, 0.3])


def test_the_page_has_the_section_and_its_table(runs, tmp_path, no_drawing):
    assert robustness_results(report_of(runs)) is None
    for run in runs:
        measured(run, [0.4, 0.2, 0.3, 0.1])
    page = write_comparison(report_of(runs), tmp_path / "page")
    text = page.read_text(encoding="utf-8")
    assert 'id="robustness"' in text
    assert "It is not decisively above" in text
    rows = pd.read_csv(tmp_path / "page" / "robustness.csv")
    assert len(rows) == 3 * (1 + 4)
    assert load_robustness(runs[0].path).value("fog", 5).ap == 0.2
    (runs[0].path / FILE).unlink()
    assert load_robustness(runs[0].path) is None
