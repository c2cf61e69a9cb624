"""The section on other sizes and brightness: its sentences and table against the records that they are made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import run_in, truth_of

from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.report_data import ReportData
from reports.analysis.shifts import shifts_of
from reports.pages import write_comparison
from reports.records.robustness import (
    CorruptedValue,
    RobustnessRecord,
    ShiftedValue,
    load_robustness,
    save_robustness,
)
from reports.records.run import RunFolder
from reports.sections import shifts as section


def measured(run: RunFolder, values: dict[float, float], noise: float = 0.0, images: str = "x") -> None:
    random = np.random.default_rng(0)

    def replicates(value: float, deviation: float) -> tuple[float, ...]:
        return tuple((value + random.normal(0, deviation, 60)).tolist())

    clean = CorruptedValue(corruption="clean", severity=0, ap=0.5, ap50=0.7, replicates=replicates(0.5, 0))
    shifts = tuple(
        ShiftedValue(shift="size", factor=factor, ap=ap, ap50=ap, replicates=replicates(ap, noise))
        for factor, ap in values.items()
    )
    save_robustness(run.path, RobustnessRecord(version=1, images=images, clean=clean, shifts=shifts))


@pytest.fixture
def runs(tmp_path: Path) -> list[RunFolder]:
    truth = truth_of(20, ("round",))
    names = (("ssd", 0.8), ("fcos", 0.6), ("dual", 0.5))
    return [run_in(tmp_path / "runs", truth, name, skill) for name, skill in names]


def report_of(runs: list[RunFolder]) -> ReportData:
    return ReportData.from_runs(runs, options=ComparisonOptions(resamples=20))


def test_the_largest_decisive_loss_is_named(runs):
    measured(runs[0], {0.5: 0.2, 2.0: 0.4})
    measured(runs[1], {0.5: 0.45, 2.0: 0.48}, noise=0.1)
    measured(runs[2], {0.5: 0.45, 2.0: 0.48}, images="other")
    report = report_of(runs)
    (shift,) = shifts_of(report)
    assert shift.factors == (0.5, 1.0, 2.0)
    first = shift.models[0]
    assert [value.value for value in first.values] == pytest.approx([0.2, 0.5, 0.4])
    assert [change.value for change in first.changes] == pytest.approx([-0.3, 0, -0.1])
    assert (first.changes[0].low, first.changes[0].high) == pytest.approx((-0.3, -0.3))
    assert shift.left_out == ("dual",)
    assert section.finding_text(report.labels, shift) == (
        "Size: ssd loses most AP at 0.5 times the size, −30.0 points [−30.0, −30.0]; no decisive loss of fcos between 0.5 and 2 times the size."
    )


def test_the_page_has_the_section_and_its_file(runs, tmp_path, no_drawing):
    assert shifts_of(report_of(runs)) == []
    for run in runs:
        measured(run, {0.5: 0.2, 2.0: 0.4})
    page = write_comparison(report_of(runs), tmp_path / "page")
    text = page.read_text(encoding="utf-8")
    assert 'id="shifts"' in text
    assert 'id="robustness"' not in text
    rows = pd.read_csv(tmp_path / "page" / "shifts.csv")
    assert rows[["factor", "ap"]].to_numpy().tolist() == [[0.5, 0.2], [1, 0.5], [2, 0.4]] * 3


def test_records_of_version_1_have_no_shifts(runs):
    measured(runs[0], {})
    file = runs[0].path / "robustness.json"
    text = file.read_text(encoding="utf-8").replace('"schema_version": 2', '"schema_version": 1')
    file.write_text(text.replace('  "shifts": [],\n', ""), encoding="utf-8")
    assert load_robustness(runs[0].path).shifts == ()
