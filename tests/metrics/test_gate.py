"""The gate: its three outcomes depend only on the position of the interval relative to the limit."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scene_runs import run, scene_of
from strategies import Scene

from metrics.compare import Comparison, MeasureLimit, apply_gate, compare, gate_json, parse_limit
from metrics.errors import InputError
from metrics.limits import LimitUnit


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of()


@pytest.fixture(scope="module")
def found(scene: Scene) -> Comparison:
    runs = {"old": run(scene), "new": run(scene, 0.5), "same": run(scene)}
    return compare(runs, also=["ap50", "olrp", "ap_small"], resamples=300, permutations=0)


@pytest.mark.parametrize("measure", ["ap", "ap50", "olrp"])
def test_the_state_depends_on_the_position_of_the_interval_relative_to_the_limit(
    found: Comparison, measure: str
) -> None:
    row = found.difference("old", "new", measure)
    worse = 1 if measure != "olrp" else -1  # of oLRP less is better
    old_less_new = worse * (1 if row.model_a == "old" else -1)
    least, most = sorted((100 * old_less_new * row.ci_low, 100 * old_less_new * row.ci_high))
    assert 0 < least < most  # half of the detections are gone: it is worse, whatever the measure
    for points, state in (
        (0.0, "regressed"),
        (0.99 * least, "regressed"),
        (1.01 * least, "inconclusive"),
        (0.99 * most, "inconclusive"),
        (1.01 * most, "passed"),
    ):
        (result,) = apply_gate(found, [("old", "new")], [MeasureLimit(measure, points)])
        assert (result.state, points) == (state, points)
        assert result.delta == pytest.approx(
            100 * (found.standing("new", measure).value - found.standing("old", measure).value)
        )
        assert result.low < result.delta < result.high
        assert result.resolution == pytest.approx(100 * row.mdd)
    # In the other direction nothing is lost.
    (back,) = apply_gate(found, [("new", "old")], [MeasureLimit(measure, 0.0)])
    assert back.state == "passed"


def test_identical_detections_pass_and_too_few_images_are_inconclusive(
    scene: Scene, found: Comparison
) -> None:
    (result,) = apply_gate(found, [("old", "same")], [MeasureLimit("ap", 0.0)])
    assert (result.state, result.delta, result.low, result.high) == ("passed", 0.0, 0.0, 0.0)
    few = scene.truth.select(np.arange(8)), scene.detections.select(np.arange(8))
    less = scene.truth.select(np.arange(8)), run(scene, 0.2)[1].select(np.arange(8))
    small = compare({"old": few, "new": less, "same": few}, resamples=100, permutations=0)
    results = apply_gate(small, [("old", "new"), ("old", "same")], [MeasureLimit("ap", 0.0)])
    assert [each.state for each in results] == ["inconclusive", "passed"]
    # However far the interval is from the limit.
    (far,) = apply_gate(small, [("old", "new")], [MeasureLimit("ap", 99.0)])
    assert (far.state, far.explanation) == (
        "inconclusive",
        "ap: too few images, groups or objects to decide whether new is worse than old; use more",
    )


def test_an_undefined_measure_is_inconclusive(found: Comparison) -> None:
    undefined = replace(
        found,
        pairwise=tuple(replace(row, delta=np.nan, ci_low=np.nan, ci_high=np.nan) for row in found.pairwise),
    )
    (result,) = apply_gate(undefined, [("old", "new")], [MeasureLimit("ap", 1.0)])
    assert result.state == "inconclusive"
    assert str(result) == "ap: new vs old not defined, allowed loss 1: inconclusive"
    assert result.explanation == "ap is not defined on these images; use another measure"
    assert result.as_dict()["interval"] == [None, None]


def test_a_limit_can_apply_to_one_class(found: Comparison) -> None:
    (result,) = apply_gate(found, [("old", "new")], [parse_limit("ap:class 1=0")])
    row = found.difference("old", "new", scope="class 1")
    assert abs(result.delta) == pytest.approx(100 * abs(row.delta))
    assert str(result).startswith("ap on class 1: new vs old ")
    with pytest.raises(InputError, match=r"ap:class 9: no class 'class 9' with objects; did you mean"):
        apply_gate(found, [("old", "new")], [MeasureLimit("ap", 1, "class 9")])
    with pytest.raises(InputError, match="ap50:class 1: single classes are compared by ap only"):
        apply_gate(found, [("old", "new")], [MeasureLimit("ap50", 1, "class 1")])


def test_a_line_shows_difference_interval_limit_and_state(found: Comparison) -> None:
    (result,) = apply_gate(found, [("old", "new")], [MeasureLimit("ap", 0.5)])
    changed = replace(result, delta=-2.0, low=-3.456, high=-0.75)
    assert str(changed) == "ap: new vs old −2.00 [−3.46, −0.75], allowed loss 0.5: REGRESSED"
    unclear = replace(changed, state="inconclusive", resolution=1.4)
    assert unclear.explanation == (
        "ap: this test set resolves differences of 1.40 points, but cannot show whether new is more than 0.5 points worse"
        " than old; use more images, or a larger limit"
    )


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("ap=0.5", MeasureLimit("ap", 0.5)),
        ("ar_100=0", MeasureLimit("ar_100", 0.0)),
        ("ap:a=b:c=2", MeasureLimit("ap", 2.0, "a=b:c")),
        ("ap=40pt", MeasureLimit("ap", 40.0)),
    ],
)
def test_a_limit_is_a_measure_with_an_optional_class_and_a_number(text: str, limit: MeasureLimit) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize("text", ["ap", "=1", "ap:=1", "old", ""])
def test_other_text_is_rejected(text: str) -> None:
    with pytest.raises(InputError, match=r"expected a measure and a number, such as ap=0\.5"):
        parse_limit(text)


@pytest.mark.parametrize("text", ["ap=", "ap=x", "ap=-1", "ap=nan", "ap=inf"])
def test_the_number_must_be_finite_and_at_least_0(text: str) -> None:
    with pytest.raises(InputError, match=r"expected a number of at least 0 after ="):
        parse_limit(text)


@pytest.mark.parametrize(
    ("text", "unit", "value", "points"),
    [
        ("ap=0.4", "value", 0.4, 40.0),
        ("ap=40pt", "value", 0.4, 40.0),
        ("ap=57", "points", 0.57, 57.0),
        ("ap=0.57", "value", 0.57, 57.0),
        ("errors_missed=-3", "value", -3.0, -300.0),
    ],
)
def test_limits_convert_between_points_and_values(
    text: str, unit: LimitUnit, value: float, points: float
) -> None:
    limit = parse_limit(text, unit, minimum=-math.inf)
    assert (limit.value, limit.points) == (value, points)


def test_gate_json_has_limit_interval_and_answer(found: Comparison) -> None:
    pairs = [("old", "new"), ("old", "same")]
    document = json.loads(gate_json(apply_gate(found, pairs, [MeasureLimit("ap", 0.5)])))
    assert not document["passed"]
    worse, same = document["results"]
    assert (worse["answer"], same["answer"], same["reason"]) == ("regressed", "passed", "")
    assert (worse["measure"], worse["class"], worse["allowed_loss"], worse["unit"]) == (
        "ap",
        "",
        0.5,
        "percentage points",
    )
    row = found.difference("old", "new")
    assert sorted(map(abs, worse["interval"])) == pytest.approx(
        sorted(abs(100 * x) for x in (row.ci_low, row.ci_high))
    )
    assert gate_json([]) == '{\n "passed": true,\n "results": []\n}\n'
