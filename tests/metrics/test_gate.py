"""The gate: its three answers follow from where the interval lies against the limit, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scene_runs import run, scene_of
from strategies import Scene

from metrics.compare import Comparison, Limit, compare, parse_limit, rule_on
from metrics.errors import InputError


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of()


@pytest.fixture(scope="module")
def found(scene: Scene) -> Comparison:
    runs = {"old": run(scene), "new": run(scene, 0.5), "same": run(scene)}
    return compare(runs, also=["ap50", "olrp", "ap_small"], resamples=300, permutations=0)


@pytest.mark.parametrize("measure", ["ap", "ap50", "olrp"])
def test_the_answer_is_where_the_interval_lies_against_the_limit(found: Comparison, measure: str) -> None:
    row = found.difference("old", "new", measure)
    worse = 1 if measure != "olrp" else -1  # of oLRP less is better
    old_less_new = worse * (1 if row.model_a == "old" else -1)
    least, most = sorted((100 * old_less_new * row.ci_low, 100 * old_less_new * row.ci_high))
    assert 0 < least < most  # half of the detections are gone: it is worse, whatever the measure
    for points, state in (
        (0.0, "regressed"),
        (0.99 * least, "regressed"),
        (1.01 * least, "open"),
        (0.99 * most, "open"),
        (1.01 * most, "held"),
    ):
        (ruling,) = rule_on(found, [("old", "new")], [Limit(measure, points)])
        assert (ruling.state, points) == (state, points)
        assert ruling.delta == pytest.approx(
            100 * (found.standing("new", measure).value - found.standing("old", measure).value)
        )
        assert ruling.low < ruling.delta < ruling.high
        assert ruling.resolves == pytest.approx(280 * row.se)
    # The other way round the same data say that nothing was lost.
    (back,) = rule_on(found, [("new", "old")], [Limit(measure, 0.0)])
    assert back.state == "held"


def test_the_very_same_is_held_and_too_few_images_cannot_tell(scene: Scene, found: Comparison) -> None:
    (ruling,) = rule_on(found, [("old", "same")], [Limit("ap", 0.0)])
    assert (ruling.state, ruling.delta, ruling.low, ruling.high) == ("held", 0.0, 0.0, 0.0)
    few = scene.truth.select(np.arange(8)), scene.detections.select(np.arange(8))
    less = scene.truth.select(np.arange(8)), run(scene, 0.2)[1].select(np.arange(8))
    small = compare({"old": few, "new": less, "same": few}, resamples=100, permutations=0)
    rulings = rule_on(small, [("old", "new"), ("old", "same")], [Limit("ap", 0.0)])
    assert [each.state for each in rulings] == ["open", "held"]
    # However far from the limit the interval lies: it is not to be believed.
    (far,) = rule_on(small, [("old", "new")], [Limit("ap", 99.0)])
    assert (far.state, far.why_open) == (
        "open",
        "ap: too few images, groups or objects to say whether new is worse than old; use more of them",
    )


def test_what_is_not_defined_cannot_tell(found: Comparison) -> None:
    undefined = replace(
        found,
        pairwise=tuple(replace(row, delta=np.nan, ci_low=np.nan, ci_high=np.nan) for row in found.pairwise),
    )
    (ruling,) = rule_on(undefined, [("old", "new")], [Limit("ap", 1.0)])
    assert ruling.state == "open"
    assert str(ruling) == "ap: new less old not defined, 1 worse is allowed: cannot tell"
    assert ruling.why_open == "ap is not defined on these images; gate another measure"


def test_one_class_has_a_limit_of_its_own(found: Comparison) -> None:
    (ruling,) = rule_on(found, [("old", "new")], [parse_limit("ap:class 1=0")])
    row = found.difference("old", "new", scope="class 1")
    assert abs(ruling.delta) == pytest.approx(100 * abs(row.delta))
    assert str(ruling).startswith("ap on class 1: new less old ")
    with pytest.raises(InputError, match=r"ap:class 9: no class 'class 9' has an object; did you mean"):
        rule_on(found, [("old", "new")], [Limit("ap", 1, "class 9")])
    with pytest.raises(InputError, match="ap50:class 1: of single classes only ap is measured"):
        rule_on(found, [("old", "new")], [Limit("ap50", 1, "class 1")])


def test_a_line_says_the_difference_its_interval_and_what_follows(found: Comparison) -> None:
    (ruling,) = rule_on(found, [("old", "new")], [Limit("ap", 0.5)])
    told = replace(ruling, delta=-2.0, low=-3.456, high=-0.75)
    assert str(told) == "ap: new less old -2.00 [-3.46, -0.75], 0.5 worse is allowed: REGRESSED"
    open_ = replace(told, state="open", resolves=1.4)
    assert open_.why_open == (
        "ap: this test set shows differences of 1.40 points or more, but cannot say whether new is more than 0.5 points"
        " worse than old; use more images or seeds, or allow more"
    )


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("ap=0.5", Limit("ap", 0.5)),
        ("ar_100=0", Limit("ar_100", 0.0)),
        ("ap:a=b:c=2", Limit("ap", 2.0, "a=b:c")),
    ],
)
def test_a_limit_is_a_measure_a_class_perhaps_and_points(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize("text", ["ap", "=1", "ap:=1", "old", ""])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"expected a measure and the points of 100 that it may lose"):
        parse_limit(text)


@pytest.mark.parametrize("text", ["ap=", "ap=x", "ap=-1", "ap=nan", "ap=inf"])
def test_points_are_a_number_of_at_least_0(text: str) -> None:
    with pytest.raises(InputError, match=r"expected a number of at least 0 after ="):
        parse_limit(text)
