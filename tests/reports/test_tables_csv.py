"""The CSV files: numbers come back exactly, missing is empty, nothing is a formula, the same runs are the same bytes."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.evaluation import TABLE_COLUMNS
from metrics.evaluator import evaluate_matches
from reports.analysis.leaderboard import leaderboard, run_tables
from reports.records.csv import escape_formula, to_csv
from reports.records.run import RunFolder


@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=5))
def test_numbers_are_read_back_exactly_and_nan_is_empty(values):
    text = to_csv(pd.DataFrame({"x": values, "row": range(len(values))}))
    cells = [row["x"] for row in csv.DictReader(io.StringIO(text))]
    for value, cell in zip(values, cells, strict=True):
        assert cell == "" if math.isnan(value) else float(cell) == value


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@x", "\tx", "\rx", "\nx"])
def test_fault_26_text_like_a_formula_is_quoted_and_numbers_are_not(name):
    assert escape_formula(name) == f"'{name}"
    text = to_csv(pd.DataFrame({name: [name], "number": [-1.5]}))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [[f"'{name}", "number"], [f"'{name}", "-1.5"]]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda text: "\0" not in text))
def test_names_survive_csv_except_for_the_escape(name):
    text = to_csv(pd.DataFrame({"name": [name], "n": [1]}))
    (row,) = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert row == [escape_formula(name), "1"]


def test_leaderboard_is_sorted_by_ap_best_first(runs):
    table = leaderboard(runs[::-1])
    assert list(table["rank"]) == [1, 2, 3, 4, 5, 6]
    assert list(table["ap"]) == sorted((run.result.headline["ap"] for run in runs), reverse=True)
    assert set(table["model_id"]) == {"ssd", "retinanet", "fcos"}


def tables(runs: Sequence[RunFolder]) -> dict[str, str]:
    return run_tables(runs, [evaluate_matches(run.matches()) for run in runs])


def test_metrics_are_tidy_and_include_every_class(runs):
    table = pd.read_csv(io.StringIO(tables(runs)["metrics.csv"]))
    assert tuple(table.columns) == TABLE_COLUMNS
    assert not table.duplicated(["run_id", "metric", "class_name", "iou", "area", "max_dets"]).any()
    whole = table[table["class_name"].isna()].set_index(["run_id", "metric"])["value"]
    for run in runs:
        for name, value in run.result.headline.items():
            assert whole[run.result.name, name] == pytest.approx(value, abs=0, nan_ok=True)
    truth = runs[0].truth
    one = table[(table["class_name"] == "long") & (table["run_id"] == runs[0].result.name)]
    valid = (truth.label == 1) & ~truth.ignored
    assert set(one["class_id"]) == {1}
    assert set(one["n_gt"]) == {int(valid.sum())}
    assert set(one["n_det"]) == {int((runs[0].detections.label == 1).sum())}


def test_the_same_runs_in_another_order_give_the_same_text(runs):
    first = tables(runs)
    assert first == tables(runs[::-1])
    assert "\r" not in "".join(first.values())
    assert "nan" not in {cell for row in csv.reader(first["metrics.csv"].splitlines()) for cell in row}


def test_an_infinite_score_is_an_empty_cell():
    assert to_csv(pd.DataFrame({"score": [np.inf, 1.0]})) == 'score\n""\n1.0\n'
