"""Pages of extreme results: no detections, AP 0 or close to it, one epoch, long names."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import every, parsed, part, words
from synthetic_runs import found_in, run_in, truth_of

from metrics.tables import DetectionTable
from reports.analysis.extremes import highest
from reports.figures.dot_plot import dot_plot
from reports.figures.lines import LineAxes, lines
from reports.figures.study_plots import clock
from reports.pages import write_report
from reports.records.run import RunFolder
from reports.sections.calibration import CalibrationMeans, finding_text
from reports.sections.learning_curves import _ticks
from reports.sections.verdict import ap_by_iou_text


@pytest.fixture(scope="module")
def page_of_none(tmp_path_factory):
    """A model and one without any detection."""
    out = tmp_path_factory.mktemp("none")
    truth = truth_of(12, ["a", "b"], seed=5)
    empty = DetectionTable.builder(truth.catalog).build()
    runs = [run_in(out, truth, "good", 0.8), run_in(out, truth, "silent", 0.1, found=empty)]
    return parsed(write_report(runs, out / "page"))


def test_no_sentence_has_a_dash_for_a_number(page_of_none):
    for tag in ("p", "figcaption", "li", "desc"):
        for element in every(page_of_none, tag):
            assert not re.search(r"\w –[.,; ]", words(element)), words(element)


def test_a_range_has_two_different_ends(page_of_none):
    for low, high in re.findall(r"([\d.]+) to ([\d.]+) on ", words(part(page_of_none, "classes"))):
        assert low != high


@given(st.lists(st.sampled_from([0.0, 0.0004, 0.004, 0.3]), min_size=2, max_size=3))
def test_the_highest_ap_is_not_said_to_be_zero(values):
    names = [f"m{at}" for at in range(len(values))]
    text = ap_by_iou_text(names, (highest(names, values), highest(names, values)))
    assert "(0.0)" not in text
    assert ("AP is 0 for all models" in text) == (max(values) == 0)


def test_models_without_detections_above_the_minimum_score_are_named():
    means = [
        CalibrationMeans("ssd", 0.2, 0.3, 0.1, 9.0),
        CalibrationMeans("fcos", np.nan, np.nan, np.nan, 0.0),
    ]
    assert finding_text(means, several_seeds=False).endswith(
        "fcos has no detections above the minimum score."
    )


def ticks(figure, axis):
    """Numbers that are written on an axis."""
    parts = re.split(rf'<g id="{axis}tick_\d+">', figure.svg)[1:]
    return [float(re.search(r">([−\d.]+)</text>", part)[1].replace("−", "-")) for part in parts]


def test_an_axis_without_values_above_zero_shows_percent():
    zeros = [np.zeros((3, 1)), np.zeros((3, 1))]
    assert max(ticks(dot_plot("s", "t", "f", ["a", "b", "c"], ["m", "n"], zeros, "AP (%)"), "x")) == 100
    none = [[(np.zeros(2), np.zeros(2))]]
    assert min(ticks(lines("s", "t", "f", ["m"], none, LineAxes("x", "y", log_x=True)), "x")) >= 0


def test_one_epoch_has_whole_ticks_and_one_loss(tmp_path):
    truth = truth_of(6, ["a"], seed=1)
    run = run_in(tmp_path, truth, "ssd", 0.5)
    pd.DataFrame({"epoch": [1.0], "loss": [12.3], "val_ap": [0.1]}).to_csv(
        run.path / "history.csv", index=False
    )
    tree = parsed(write_report([RunFolder.open(run.path)], tmp_path / "page"))
    text = words(part(tree, "training"))
    assert "Training loss: ssd 12.3." in text
    figure = (tmp_path / "page/figures/history-loss.svg").read_text()
    assert "0.98" not in figure


@given(st.floats(0.05, 4e5))
def test_times_on_an_axis_have_one_form(last):
    texts = [clock(last * part / 5, last) for part in range(6)]
    assert len({(text.count(":"), text.endswith(" s")) for text in texts}) == 1


def test_identical_detections_are_named(tmp_path, no_drawing):
    truth = truth_of(12, ["a", "b"], seed=5)
    first, other = found_in(truth, 0.8, 1), found_in(truth, 0.8, 2)
    runs = [
        run_in(tmp_path, truth, name, 0.8, found=found)
        for name, found in (("one", first), ("copy", first), ("other", other))
    ]
    text = words(part(parsed(write_report(runs, tmp_path / "page")), "verdict"))
    assert re.search(r"(one and copy|copy and one) have identical detections\.", text)
    assert len(re.findall("identical", text)) == 1


def test_learning_curves_have_a_tick_at_each_number_of_images():
    curves = [SimpleNamespace(images=np.array(images)) for images in ([10, 20, 40], [10, 20, 41, 400])]
    assert _ticks(curves) == (10, 20, 40, 400)
