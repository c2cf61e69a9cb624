"""Limits: parsing, measuring, and that a trial over a limit is not trained."""

from __future__ import annotations

import optuna
import pytest
import torch
from tiny_runs import tiny_config

from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data
from bench.tune import limits as limits_module
from bench.tune.limits import LimitCheck, describe, parse_limits
from bench.tune.objectives import Objective, Objectives
from bench.tune.search_space import Space
from bench.tune.study import Study
from bench.tune.study_key import StudyKey
from metrics.errors import InputError, PartialError
from metrics.match_rule import MatchRule
from reports.records.trial import Dimension, Limit

AP = Objectives((Objective("ap", (("ap", 1.0),), True),), ("average_precision",), MatchRule())
SPACE = Space((Dimension(path="width", default=8, low=1, high=64, whole=True),))


def test_limits_are_ordered_by_cost_and_a_later_word_overrides():
    found = parse_limits(["latency_ms=30", "parameters=2e6", "latency_ms = 20"])
    assert found == (Limit(name="parameters", bound=2e6), Limit(name="latency_ms", bound=20.0))


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("latency=30", "unknown quantity 'latency'; did you mean 'latency_ms'?"),
        ("flops=1", "unknown quantity 'flops'; known: parameters, weights_mb, latency_ms"),
        ("latency_ms", "expected a number above 0, as in latency_ms=30"),
        ("latency_ms=fast", "expected a number above 0"),
        ("parameters=0", "expected a number above 0"),
        ("parameters=nan", "expected a number above 0"),
    ],
)
def test_an_invalid_limit_is_refused_with_the_reason(word, text):
    with pytest.raises(InputError) as error:
        parse_limits([word])
    assert text in str(error.value)


@pytest.fixture(scope="module")
def measured():
    """A tiny detector, and a check of generous limits."""
    config = tiny_config("ssd")
    split = open_run_data(config).splits["val"]
    wanted = parse_limits(["parameters=1e9", "weights_mb=1e3", "latency_ms=1e6"])
    return build_detector(config, 3), LimitCheck(wanted, split, config.image, torch.device("cpu"))


def test_size_and_speed_of_a_network(measured, tmp_path):
    from bench.training.checkpoint import save_weights

    detector, limits = measured
    found = limits.measure(detector)
    assert found["parameters"] == sum(p.numel() for p in detector.parameters())
    save_weights(tmp_path / "w.safetensors", detector)
    size = (tmp_path / "w.safetensors").stat().st_size / 1e6
    assert found["weights_mb"] <= size < found["weights_mb"] * 1.5  # the file names each tensor
    assert 0 < found["latency_ms"] < 1e4
    assert limits.exceeded(found) == ()


class _Wide(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(width))


def wide_study(out, most, trials=12, name=None):
    """A study in which wider is better and `most` parameters are allowed, and the widths that were trained."""
    limits = LimitCheck([Limit(name="parameters", bound=most)], None, None, torch.device("cpu"))
    trained = []

    def objective(trial, values, folder):
        limits.check(trial, lambda: _Wide(values["width"]))
        trained.append(values["width"])
        return (float(values["width"]),)

    study = Study(StudyKey("x", "y", "train", {"limits": most}), SPACE, AP, out, name=name)
    study.optimize(objective, trials)
    return study, trained


def test_a_trial_over_the_limit_is_not_trained_and_has_the_reason(tmp_path):
    study, trained = wide_study(tmp_path, 30)
    assert trained
    assert max(trained) <= 30
    assert study.best()[0].params["width"] == max(trained)
    pruned = [trial for trial in study.study.trials if trial.state == optuna.trial.TrialState.PRUNED]
    assert len(pruned) + len(trained) == 12
    for trial in pruned:
        width = trial.params["width"]
        assert trial.user_attrs["reason"] == f"over the limit: parameters {width} of 30"
        assert trial.constraints == {"parameters": pytest.approx(width / 30 - 1)}
        assert trial.user_attrs["measured"] == {"parameters": width}


def test_the_sampler_learns_from_trials_over_the_limit(tmp_path):
    study, _ = wide_study(tmp_path, 12, trials=30)
    late = [trial.params["width"] for trial in study.study.trials[15:]]
    # One in five of uniformly drawn widths is within the limit.
    assert sum(width <= 12 for width in late) > len(late) / 3


def test_a_study_without_feasible_trials_names_the_closest_one(tmp_path):
    study, trained = wide_study(tmp_path, 0.5, trials=3)
    assert trained == []
    nearest = min(study.study.trials, key=lambda trial: trial.params["width"])
    with pytest.raises(
        PartialError, match=rf"3 trials were measured, and the closest is trial {nearest.number}: "
    ):
        study.best()
    assert study.default() is None


def test_an_infeasible_trial_is_never_the_best_even_if_it_has_a_value(tmp_path):
    study = Study(StudyKey("x", "y", "train", {}), SPACE, AP, tmp_path)

    def objective(trial, values, folder):
        trial.set_constraint("weights_mb", float(values["width"] - 20))
        return (float(values["width"]),)

    study.optimize(objective, 8)
    assert all(trial.params["width"] <= 20 for trial in study.best(8))


def test_limits_hold_with_several_objectives(tmp_path):
    both = Objectives((*AP.each, Objective("olrp", (("olrp", 1.0),), False)), (), MatchRule())
    limits = LimitCheck([Limit(name="parameters", bound=30)], None, None, torch.device("cpu"))

    def objective(trial, values, folder):
        limits.check(trial, lambda: _Wide(values["width"]))
        return float(values["width"]), float(values["width"])

    study = Study(StudyKey("x", "y", "train", {}), SPACE, both, tmp_path)
    study.optimize(objective, 14)
    assert all(trial.params["width"] <= 30 for trial in study.best(20))
    assert study.states()["pruned"] > 0


def test_what_was_measured_for_a_trial_is_not_measured_again(monkeypatch):
    calls = []
    monkeypatch.setattr(
        limits_module.LimitCheck, "_measure_one", lambda self, name, network, image: calls.append(name) or 5.0
    )
    study = optuna.create_study()
    study.enqueue_trial({}, user_attrs={"measured": {"latency_ms": 7.0}})
    limits = LimitCheck(parse_limits(["latency_ms=10"]), None, None, torch.device("cpu"))
    trial = study.ask()
    limits.check(trial, lambda: torch.nn.Identity())
    assert calls == []
    assert trial.constraints["latency_ms"] == pytest.approx(-0.3)


def test_exceeded_limits_are_described_with_the_measured_value():
    limits = LimitCheck(parse_limits(["latency_ms=30", "parameters=2e6"]), None, None, torch.device("cpu"))
    measured = {"latency_ms": 41.23, "parameters": 1e6}
    exceeded = limits.exceeded(measured)
    assert [limit.name for limit in exceeded] == ["latency_ms"]
    assert describe(exceeded, measured) == "latency_ms 41.23 of 30"
