"""The regression gate on measures of label maps."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_masks import CLASSES, draw_maps, found_maps, mask_run, plain_iou, plain_miou

from metrics.compare import parse_limit
from metrics.errors import InputError
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.report_data import ReportData


@pytest.fixture(scope="module")
def maps():
    """Truth of 60 images, and good and bad label maps of them."""
    rng = np.random.default_rng(5)
    truth = draw_maps(rng, 60)
    return truth, found_maps(rng, truth, 0.02), found_maps(rng, truth, 0.3)


def gated(runs, *limits, resamples=200):
    """Results of the gate with the first run as the baseline."""
    options = ComparisonOptions(
        resamples=resamples,
        limits=tuple(parse_limit(text, option="--fail-on-regression") for text in limits),
        baseline=frozenset({runs[0].result.name}),
    )
    return ReportData.from_runs(runs, options=options).gate_results


def test_the_gate_compares_miou_and_measures_of_detections_together(maps, tmp_path):
    truth, good, bad = maps
    old, new = mask_run(tmp_path, truth, good, "old"), mask_run(tmp_path, truth, bad, "new")
    results = gated([old, new], "miou=2", "ap=50", "miou:dog=2")
    assert [str(result.limit) for result in results] == ["miou", "ap", "miou on dog"]
    whole, _, dog = results
    assert whole.delta == pytest.approx(100 * (plain_miou(truth, bad) - plain_miou(truth, good)))
    at = CLASSES.index("dog")
    assert dog.delta == pytest.approx(100 * (plain_iou(truth, bad)[at] - plain_iou(truth, good)[at]))
    assert (whole.state, dog.state) == ("regressed", "regressed")
    assert whole.low < whole.delta < whole.high < -2


def test_a_better_model_passes(maps, tmp_path):
    truth, good, bad = maps
    old, new = mask_run(tmp_path, truth, bad, "old"), mask_run(tmp_path, truth, good, "new")
    assert [result.state for result in gated([old, new], "miou=0", "mdice=0")] == ["passed", "passed"]


def test_fault_131_models_without_label_maps_or_resampling_are_refused(maps, tmp_path):
    truth, good, bad = maps
    old, bare = mask_run(tmp_path, truth, good, "old"), mask_run(tmp_path, truth, None, "bare")
    with pytest.raises(
        InputError, match="miou is of label maps, which the runs of bare do not have; use a measure of detec"
    ):
        gated([old, bare], "miou=1")
    new = mask_run(tmp_path, truth, bad, "new")
    with pytest.raises(InputError, match=r"no confidence intervals of miou, .*; use --resamples above 0"):
        gated([old, new], "miou=1", resamples=0)
