"""The section "Learning curves": its sentences against values and fits that are computed here."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic_sizes import sized_runs

from metrics.designs.learning_curve import PowerLaw
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.learning_curves import LearningResults, learning_results
from reports.analysis.report_data import ReportData
from reports.pages import write_comparison
from reports.sections import learning_curves as section

LAWS = {"good": (0.95, 2.2, 0.45), "poor": (0.5, 1.5, 0.5)}
SIZES = (25, 50, 100, 200)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    runs = sized_runs(tmp_path_factory.mktemp("sizes"), LAWS, SIZES, images=52)
    return ReportData.from_runs(runs, options=ComparisonOptions(resamples=60))


@pytest.fixture(scope="module")
def results(report) -> LearningResults:
    return learning_results(report)


def test_only_runs_with_the_most_images_are_compared(report):
    assert report.labels == ("good", "poor")
    assert {run.result.data.train_images for run in report.folders} == {200}
    assert len(report.smaller) == 12


def test_values_are_those_of_the_runs(report, results):
    (good, _) = results.curves["ap"]
    assert good.images.tolist() == list(SIZES)
    for size, seeds in zip(SIZES, good.seeds, strict=True):
        runs = [run for run in [*report.folders, *report.smaller] if run.result.name.startswith("good-")]
        expected = [run.result.headline["ap"] for run in runs if run.result.data.train_images == size]
        assert sorted(seeds) == pytest.approx(sorted(expected))


def test_the_leader_is_named_at_each_number_of_images(report, results):
    text = section.leaders_text(report.labels, results)
    for leader in results.leaders:
        at = SIZES.index(leader.images)
        values = [curve.values[at].value for curve in results.curves["ap50"]]
        assert leader.number == int(np.argmax(values))
        apart = [curve.values[at] for curve in results.curves["ap50"]]
        if not leader.tied:
            assert apart[leader.number].low > apart[1 - leader.number].low
    assert not results.leaders[-1].tied
    assert (
        re.search(r"200 training images good is best\.", text)
        or "to 200 training images good is best." in text
    )


@pytest.mark.parametrize(
    ("law", "words"),
    [
        (PowerLaw(0.8, 1.0, 0.5), "m does not reach AP50 90.0 within 4 times the data (800 images)."),
        (PowerLaw(0.99, 2.0, 0.5), "m is expected to reach AP50 90.0 with 494 images [494, 494]."),
    ],
)
def test_the_number_of_images_until_the_level(results, law, words):
    curve = results.curves["ap50"][0]
    laws = np.array([[law.a, law.b, law.c]] * 5)
    values = tuple(
        replace(value, value=float(v)) for value, v in zip(curve.values, law.at(SIZES), strict=True)
    )
    fitted = replace(curve.curve, law=law, laws=laws, unsupported=None)
    assert section.until_text("m", replace(curve, values=values, curve=fitted)) == words


def test_an_unsupported_curve_makes_no_promise(results):
    curve = results.curves["ap50"][0]
    refused = replace(curve, curve=replace(curve.curve, unsupported="one_seed"))
    text = section.until_text("m", refused)
    assert text.startswith("How many images m needs for AP50 90.0 cannot be estimated from one seed")
    assert section.until_cell(refused).text == "–"
    reached = replace(curve, values=tuple(replace(value, value=0.95) for value in curve.values))
    assert section.until_text("m", reached) == "m reaches AP50 90.0 with 25 images or fewer."


def test_another_model_pays_more_than_more_images_for_the_poor_one(report, results):
    best, poor = results.payoffs
    assert (best.best, best.switching) == (None, None)
    assert poor.best == 0
    values = [curve.values[-1].value for curve in results.curves["ap50"]]
    assert poor.switching.value == pytest.approx(values[0] - values[1])
    if poor.doubling is not None:
        assert poor.verdict == "variant"
        assert section.payoff_text(report.labels, results, 1).endswith("the other model helps more.")


def test_the_page_has_the_section_and_its_tables(report, results, tmp_path, no_drawing):
    page = write_comparison(report, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert 'id="learning-curves"' in text
    assert (tmp_path / "learning-curves.csv").read_text().count("\n") == 1 + 2 * 2 * 4
    assert (tmp_path / "learning-fits.csv").read_text().count("\n") == 1 + 2 * 2
    alone = ReportData.from_runs(report.folders, options=ComparisonOptions(resamples=20))
    assert learning_results(alone) is None
