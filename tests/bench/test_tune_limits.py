"""Limits: what they are called, how they are measured, and that a trial over one is not trained."""

from __future__ import annotations

import optuna
import pytest
import torch
from tiny_runs import tiny_config

from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data
from bench.tune import limits as limits_module
from bench.tune.limits import Limit, Limits, parse_limits
from bench.tune.objectives import Objective, Objectives
from bench.tune.spaces import Dimension, Space
from bench.tune.study import Cause, Study
from metrics.errors import InputError, PartialError
from metrics.matching import MatchRule

AP = Objectives((Objective("ap", (("ap", 1.0),), True),), ("average_precision",), MatchRule())
SPACE = Space((Dimension("width", 8, 1, 64, whole=True),))


def test_limits_are_read_the_cheapest_first_and_a_later_word_overrules():
    found = parse_limits(["latency_ms=30", "parameters=2e6", "latency_ms = 20"])
    assert found == (Limit("parameters", 2e6), Limit("latency_ms", 20.0))


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("latency=30", "nothing called 'latency' can be limited; did you mean 'latency_ms'?"),
        ("flops=1", "nothing called 'flops' can be limited; known: parameters, weights_mb, latency_ms"),
        ("latency_ms", "expected a number above 0, as in latency_ms=30"),
        ("latency_ms=fast", "expected a number above 0"),
        ("parameters=0", "expected a number above 0"),
        ("parameters=nan", "expected a number above 0"),
    ],
)
def test_a_limit_that_cannot_be_says_why(word, text):
    with pytest.raises(InputError) as error:
        parse_limits([word])
    assert text in str(error.value)


@pytest.fixture(scope="module")
def measured():
    """A tiny detector, and what its size limits say of it."""
    config = tiny_config("ssd")
    split = open_run_data(config).splits["val"]
    wanted = parse_limits(["parameters=1e9", "weights_mb=1e3", "latency_ms=1e6"])
    return build_detector(config, 3), Limits(wanted, split, config.image, torch.device("cpu"))


def test_size_and_speed_of_a_network(measured, tmp_path):
    from bench.training.checkpoint import save_weights

    detector, limits = measured
    found = limits.measured(detector)
    assert found["parameters"] == sum(p.numel() for p in detector.parameters())
    save_weights(tmp_path / "w.safetensors", detector)
    size = (tmp_path / "w.safetensors").stat().st_size / 1e6
    assert found["weights_mb"] <= size < found["weights_mb"] * 1.5  # the file names each tensor
    assert 0 < found["latency_ms"] < 1e4
    assert limits.over(found) == ""


class _Wide(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(width))


def wide_study(out, most, trials=12, name=None):
    """Wider is better, and only so many parameters are allowed; which widths were trained."""
    limits = Limits([Limit("parameters", most)], None, None, torch.device("cpu"))
    trained = []

    def objective(trial, values, folder):
        limits.hold(trial, lambda: _Wide(values["width"]))
        trained.append(values["width"])
        return (float(values["width"]),)

    study = Study(Cause("x", "y", "train", {"limits": most}), SPACE, AP, out, name=name)
    study.optimize(objective, trials)
    return study, trained


def test_a_trial_over_the_limit_is_not_trained_and_says_why(tmp_path):
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
        assert trial.user_attrs["limited"] == {"parameters": width}


def test_the_sampler_learns_from_what_was_over_the_limit(tmp_path):
    study, _ = wide_study(tmp_path, 12, trials=30)
    late = [trial.params["width"] for trial in study.study.trials[15:]]
    # Of widths drawn at random one in five would keep it.
    assert sum(width <= 12 for width in late) > len(late) / 3


def test_a_study_in_which_nothing_keeps_the_limits_names_the_nearest(tmp_path):
    study, trained = wide_study(tmp_path, 0.5, trials=3)
    assert trained == []
    nearest = min(study.study.trials, key=lambda trial: trial.params["width"])
    with pytest.raises(
        PartialError, match=rf"3 trials were measured, and the nearest is trial {nearest.number}: "
    ):
        study.best()
    assert study.default() is None


def test_an_infeasible_trial_is_never_the_best_even_if_it_has_a_value(tmp_path):
    study = Study(Cause("x", "y", "train", {}), SPACE, AP, tmp_path)

    def objective(trial, values, folder):
        trial.set_constraint("weights_mb", float(values["width"] - 20))
        return (float(values["width"]),)

    study.optimize(objective, 8)
    assert all(trial.params["width"] <= 20 for trial in study.best(8))


def test_several_objectives_keep_limits_too(tmp_path):
    both = Objectives((*AP.each, Objective("olrp", (("olrp", 1.0),), False)), (), MatchRule())
    limits = Limits([Limit("parameters", 30)], None, None, torch.device("cpu"))

    def objective(trial, values, folder):
        limits.hold(trial, lambda: _Wide(values["width"]))
        return float(values["width"]), float(values["width"])

    study = Study(Cause("x", "y", "train", {}), SPACE, both, tmp_path)
    study.optimize(objective, 14)
    assert all(trial.params["width"] <= 30 for trial in study.best(20))
    assert study.states()["pruned"] > 0


def test_what_was_measured_for_a_trial_is_not_measured_again(monkeypatch):
    calls = []
    monkeypatch.setattr(
        limits_module.Limits, "_measured", lambda self, name, network, image: calls.append(name) or 5.0
    )
    study = optuna.create_study()
    study.enqueue_trial({}, user_attrs={"limited": {"latency_ms": 7.0}})
    limits = Limits(parse_limits(["latency_ms=10"]), None, None, torch.device("cpu"))
    trial = study.ask()
    limits.hold(trial, lambda: torch.nn.Identity())
    assert calls == []
    assert trial.constraints["latency_ms"] == pytest.approx(-0.3)
