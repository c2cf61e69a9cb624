"""Records of studies: round trips through JSON and CSV, and inconsistent records are refused."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.errors import InputError
from reports.records.final_evaluation import FinalEvaluation, Finalist, Gain
from reports.records.study import StudyFolder, StudyResult, changed_settings
from reports.records.trial import Dimension, TrialRecord

SPACE = (
    {"path": "nms.iou", "default": 0.5, "low": 0.1, "high": 0.9},
    {"path": "nms.method", "default": "hard", "options": ("hard", "linear", None, 1, True)},
)


def study(trials=(), **changes):
    """A small study; each trial is given whole, or as (state, value, params)."""
    records = [
        each
        if isinstance(each, dict)
        else {
            "number": at,
            "state": each[0],
            "values": each[1:2] if each[1] is not None else (),
            "params": each[2],
        }
        for at, each in enumerate(trials)
    ]
    return StudyResult.model_validate(
        {
            "name": "s",
            "variant": "ssd",
            "stage": "nms",
            "data": "d",
            "objectives": [{"text": "ap"}],
            "space": SPACE,
            "trials": records,
            **changes,
        }
    )


def test_settings_are_ranked_by_importance_also_after_reading_the_file(tmp_path):
    shares = {"nms.sigma": 0.1, "nms.iou": 0.3, "box_loss": 0.1, "train.lr": 0.5}
    saved = StudyFolder.save(tmp_path, study(importances=shares)).path
    read = StudyFolder.open(saved).result
    assert list(read.importances) != list(shares)
    ranked = (("train.lr", 0.5), ("nms.iou", 0.3), ("box_loss", 0.1), ("nms.sigma", 0.1))
    assert read.by_importance == ranked


params = st.fixed_dictionaries(
    {},
    optional={
        "nms.iou": st.floats(0.1, 0.9),
        "nms.method": st.sampled_from(["hard", "linear", None, 1, True]),
    },
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["complete"]), st.floats(), params)
        | st.tuples(st.sampled_from(["fail", "pruned", "running", "waiting"]), st.none(), params),
        max_size=5,
    ),
    st.text(min_size=1),
)
def test_a_record_survives_the_round_trip_through_json(trials, name):
    before = study(trials, name=name)
    again = StudyResult.from_json(before.to_json(), "study.json")
    assert again == before
    assert again.to_json() == before.to_json()
    for one, other in zip(before.trials, again.trials, strict=True):
        for path, value in one.params.items():
            assert type(other.params[path]) is type(value)  # true is not 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": [{"number": 1, "state": "fail"}]}, "expected the numbers 0, 1, 2"),
        ({"trials": [{"number": 0, "state": "complete"}]}, "number 0 has 0 values for 1 objective"),
        ({"space": [*SPACE, SPACE[0]]}, "a path occurs twice"),
        ({"space": [{"path": "a", "low": 1.0, "high": 0.0}]}, "a: neither options nor a range"),
        ({"objectives": []}, "at least 1 item"),
        (
            {"final_evaluation": {"objective": {"text": "ap"}, "finalists": [{}], "chosen": 1}},
            "'trial 1' is not one of",
        ),
        ({"colour": "red"}, "colour"),
    ],
)
def test_an_inconsistent_record_is_refused_with_its_location(changes, message):
    document = json.loads(study().to_json()) | changes
    with pytest.raises(InputError) as error:
        StudyResult.from_json(json.dumps(document), "a/study.json")
    assert message in str(error.value)
    assert str(error.value).startswith("a/study.json: ")


def test_a_newer_schema_is_refused_naming_both_versions():
    document = json.loads(study().to_json()) | {"schema_version": 9}
    with pytest.raises(InputError, match="schema version 9, and this detbench reads up to version 2"):
        StudyResult.from_json(json.dumps(document), "study.json")


def test_a_study_opens_by_its_folder_or_its_file(tmp_path):
    saved = StudyFolder.save(tmp_path / "s", study([("complete", 0.5, {})]))
    assert StudyFolder.open(saved.path / "study.json").result == saved.result
    assert saved.winner == ""
    with pytest.raises(InputError, match="no such folder"):
        StudyFolder.open(tmp_path / "absent")
    with pytest.raises(InputError, match=r"holds no study\.json; give the folder of a study"):
        StudyFolder.open(tmp_path)


def test_missing_stages_are_omitted_and_paths_stay_in_the_folder_of_studies(tmp_path):
    first = StudyFolder.save(tmp_path / "a", study(name="a", stage="train"))
    second = StudyFolder.save(tmp_path / "b", study(name="b", earlier=("a", "gone", "../../b/../a")))
    assert [stage.name for stage in first.stages] == ["a"]
    assert [stage.name for stage in second.stages] == ["a", "a", "b"]


def test_the_table_has_every_trial_and_distinguishes_none_from_missing(tmp_path):
    start = datetime(2026, 3, 1, tzinfo=UTC)
    trials = [
        {"number": 0, "state": "complete", "values": [0.25], "params": {"nms.iou": 0.5, "nms.method": None},
         "started": start, "finished": start + timedelta(seconds=90)},
        {"number": 1, "state": "fail", "reason": "=SUM(A1)", "params": {"nms.iou": 0.5}, "retry_of": 0},
    ]  # fmt: skip
    saved = StudyFolder.save(tmp_path, study(trials=trials))
    table = pd.read_csv(saved.path / "trials.csv", keep_default_na=False)
    assert list(table["number"]) == [0, 1]
    assert list(table["value"]) == ["0.25", ""]
    assert list(table["params.nms.method"]) == ["none", ""]
    assert list(table["seconds"]) == ["90.0", ""]
    assert list(table["retry_of"]) == ["", "0"]
    assert list(table["reason"]) == ["", "'=SUM(A1)"]


def test_the_best_is_the_best_of_the_feasible_ones():
    def trial(number, value, feasible):
        return {"number": number, "state": "complete", "values": [value], "feasible": feasible}

    trials = [trial(0, 0.3, True), trial(1, 0.9, False), trial(2, 0.5, True), trial(3, 0.5, True)]
    assert [each.number for each in study(trials=trials).complete] == [2, 3, 0, 1]
    lower = study(trials=trials, objectives=[{"text": "olrp", "higher": False}])
    assert [each.number for each in lower.complete] == [0, 2, 3, 1]


def test_superseded_and_surplus_trials_do_not_count():
    trials = [
        {"number": 0, "state": "fail", "superseded": True},
        {"number": 1, "state": "complete", "values": [0.5], "retry_of": 0},
        {"number": 2, "state": "fail", "surplus": True},
    ]
    assert study(trials=trials).states == {"complete": 1}


def test_validation_is_compared_with_the_study_and_the_test_split_by_means_and_nan_where_unknown():
    default = Finalist(tuned=0.4, retrained=(0.4, 0.5), test=(0.3,))
    best = Finalist(trial=3, tuned=0.6, retrained=(0.4, 0.6), test=(0.35, 0.45))
    evaluation = FinalEvaluation(
        objective={"text": "ap"}, finalists=(default, best), chosen=3, gain=Gain(delta=0.1)
    )
    assert (evaluation.winner, evaluation.default) == (best, default)
    assert (best.name, default.name) == ("trial 3", "default")
    assert best.study_minus_fresh == pytest.approx(0.1)
    assert best.validation_minus_test == pytest.approx(0.1)
    assert Finalist(tuned=0.6, test=(0.35, 0.45)).validation_minus_test == pytest.approx(0.2)
    assert evaluation.gain.delta == pytest.approx(best.mean_test - default.mean_test)
    unknown = Finalist(trial=4, tuned=0.6, retrained=(0.4, math.nan))
    assert math.isnan(unknown.study_minus_fresh)
    assert math.isnan(unknown.validation_minus_test)
    assert math.isnan(unknown.mean_test)


def test_a_dimension_contains_the_values_that_a_trial_may_have():
    number, choice = (Dimension.model_validate(each) for each in SPACE)
    assert [number.contains(value) for value in (0.1, 0.9, 0.95, True, "0.5", None)] == [
        True,
        True,
        *[False] * 4,
    ]
    assert [choice.contains(value) for value in (None, 1, True, False, 1.0)] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_changed_settings_are_in_the_order_of_the_space():
    assert changed_settings(study(), {"nms.method": "linear", "nms.iou": 0.5, "other": 3}) == {
        "nms.method": ("hard", "linear")
    }


def test_a_trial_without_limits_is_neither_feasible_nor_infeasible():
    assert TrialRecord(number=0, state="fail").feasible is None


def test_a_record_of_the_previous_version_is_refused_with_a_remedy():
    document = json.loads(study().to_json()) | {"schema_version": 1}
    with pytest.raises(InputError, match=r"has schema version 1, .*; run the same `bench tune` again"):
        StudyResult.from_json(json.dumps(document), "study.json")


def test_whole_numbers_stay_whole_in_the_table(tmp_path):
    space = [{"path": "nms.top_k", "default": 1000, "low": 100, "high": 5000, "whole": True}]
    trials = [("complete", 0.5, {"nms.top_k": 1000}), ("fail", None, {})]
    text = (StudyFolder.save(tmp_path, study(trials, space=space)).path / "trials.csv").read_text()
    assert [line.split(",")[3] for line in text.splitlines()] == ["params.nms.top_k", "1000", ""]
