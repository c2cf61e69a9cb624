"""``bench decide``: the plan of rounds, the ledger of time, and whole decisions on tiny data."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import tiny_sets

from bench.cli import main
from bench.decide import decider, finals
from bench.decide.ledger import Ledger
from bench.decide.rounds import SEEDS, Cost, next_round, plan_rounds
from bench.decide.task import DecisionTask, Entrant
from bench.process.interrupts import Stopped
from bench.runs.comparison import is_comparison
from bench.settings.resolution import open_entries
from metrics.errors import InputError, MachineError, PartialError
from metrics.matching import MatchRule
from reports.records.decision import BegunRound, Decision, DecisionModel, Look, Standing, Tuned, load_decision
from tests.benchmarks.decision_choice import simulate

COSTS = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.builds(Cost, st.floats(0.1, 20), st.floats(0.1, 60)),
    min_size=2,
)


def cost_of(plan, costs):
    mean_run = sum(cost.run for cost in costs.values()) / len(costs)
    mean_epoch = sum(cost.epoch for cost in costs.values()) / len(costs)
    return sum(SEEDS * each.models * (mean_run + mean_epoch * each.epochs) for each in plan)


@given(COSTS, st.floats(1, 20_000), st.integers(1, 40), st.floats(0, 100), st.floats(0, 100))
def test_a_plan_fits_the_time_or_the_error_says_how_much_does(costs, seconds, epochs, reserved, spent):
    try:
        plan = plan_rounds(costs, seconds, epochs, reserved, spent)
    except InputError as error:
        minutes = int("".join(re.findall(r"\d", re.search(r"take about (\S+) minute", str(error))[1])))
        assert 60 * minutes > seconds
        assert plan_rounds(costs, 60 * minutes, epochs, reserved, spent)
        return
    assert cost_of(plan, costs) + reserved + spent <= seconds + 1e-6
    assert plan[0].models == len(costs)
    assert 2 <= plan[-1].models <= len(costs)
    assert plan[-1].epochs <= epochs
    for one, other in pairwise(plan):
        assert one.epochs <= other.epochs <= 2 * one.epochs + 1
        assert other.models <= one.models


def test_with_enough_time_all_models_are_trained_in_one_whole_round():
    costs = {name: Cost(1, 10) for name in "abcde"}
    (only,) = plan_rounds(costs, 5 * SEEDS * 121 / 0.75, 12)
    assert (only.epochs, only.models) == (12, 5)
    plan = plan_rounds(costs, 5 * SEEDS * 121 / 0.75 - 1, 12)
    assert [(each.epochs, each.models) for each in plan] == [(3, 5), (6, 3), (12, 2)]


@given(COSTS, st.floats(0, 5000), st.integers(1, 16), st.integers(2, 4))
def test_a_round_takes_the_best_models_and_as_many_as_the_time_allows(costs, seconds, epochs, models):
    ranked = sorted(costs)
    planned = [plan_round(epochs, models)]
    found = next_round(planned, ranked, costs, seconds)
    least = SEEDS * sum(costs[name].of(1) for name in ranked[:2])
    if found is None:
        assert least > seconds
        return
    chosen_epochs, names = found
    assert names == ranked[: len(names)]
    assert len(names) >= min(2, len(ranked))
    assert 1 <= chosen_epochs <= epochs
    assert SEEDS * sum(costs[name].of(chosen_epochs) for name in names) <= seconds
    if chosen_epochs < epochs:
        assert len(names) == 2  # epochs are reduced last


def plan_round(epochs, models):
    from reports.records.decision import PlannedRound

    return PlannedRound(epochs=epochs, models=models)


def decision_of(minutes=1.0):
    models = tuple(DecisionModel(name=name, variant="ssd") for name in ("a", "b"))
    return Decision(data="d", fingerprint="f", minutes=minutes, full_epochs=1, models=models)


def test_the_ledger_keeps_the_time_of_interrupted_and_killed_parts(tmp_path):
    ledger = Ledger(tmp_path, decision_of())
    with pytest.raises(RuntimeError), ledger.spend("training", "run"):
        raise RuntimeError
    assert ledger.has("training", "run")
    again = Ledger(tmp_path, decision_of())  # another process
    again.at_least("training", "run", 30.0)
    assert again.left == pytest.approx(30.0)
    with again.spend("training", "run"):
        pass
    again.at_least("training", "run", 20.0)  # less than is known
    assert len(again.decision.spent) == 1
    assert load_decision(tmp_path).spent_seconds == pytest.approx(30.0, abs=0.5)


def test_more_minutes_continue_a_finished_decision_and_fewer_change_nothing(tmp_path):
    Ledger(tmp_path, decision_of()).update(used="a")
    assert Ledger(tmp_path, decision_of(0.5)).decision.used == "a"
    longer = Ledger(tmp_path, decision_of(3.0)).decision
    assert (longer.used, longer.minutes) == ("", 3.0)


def look_of(names, number, level):
    standings = [Standing(name=name, value=0.5, low=0.4, high=0.6, seeds=(0.5,), runs=()) for name in names]
    return Look(
        number=number, split="test", epochs=1, images=60, final=True, level=level, pair_level=level, spent_seconds=0, standings=standings
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tested", "levels"),
    [
        (["ab", "ab"], [0.02, 0.004]),
        (["a", "ab", "ab"], [0.02, 0.02, 0.004]),
        (["ab", "a", "b", "ab"], [0.02, 0.004, 0.004, 0.004]),
    ],
)
def test_a_look_at_the_test_images_with_one_model_left_uses_up_no_error_rate(
    tmp_path, monkeypatch, tested, levels
):
    """Of 2.5%, the first comparison has 80%, the second 80% of the rest."""

    def take(runs, split, *, number, level, **more):
        return look_of(runs, number, level)

    monkeypatch.setattr(finals, "take_look", take)
    ledger = Ledger(tmp_path, decision_of())
    ledger.update(rounds=(BegunRound(planned=0, epochs=1, seeds=2, models=("a", "b")),))
    for names in tested:
        finals.Finals(tmp_path, ledger, None, None, MatchRule())._look({name: [] for name in names})
    looks = ledger.decision.looks
    assert [look.level for look in looks] == pytest.approx(levels)
    assert [look.number for look in looks] == list(range(1, len(tested) + 1))
    assert sum(look.level for look in looks if look.compares) <= 0.025


@pytest.mark.parametrize(
    ("after", "states", "used"),
    [
        ({"a": 0.50, "b": 0.52}, {}, "b"),
        ({"a": 0.50, "b": 0.50}, {}, "a"),
        ({"a": None, "b": 0.49}, {}, "b"),
        ({"a": None, "b": 0.45}, {}, "a"),
        ({"a": 0.50, "b": 0.52}, {"b": "eliminated"}, "a"),
    ],
)
def test_the_used_model_has_the_highest_tuned_validation_value_of_those_left(tmp_path, after, states, used):
    """Before tuning, a has 0.48 and b 0.47; None: the model has no settings of post-processing."""
    standings = tuple(
        Standing(name=name, value=value, low=None, high=None, seeds=(value,), runs=(name,))
        for name, value in (("a", 0.48), ("b", 0.47))
    )
    look = look_of({}, 1, 0.004).model_copy(update={"split": "val", "standings": standings})
    ledger = Ledger(tmp_path, decision_of())
    models = [
        each.model_copy(update={"state": states.get(each.name, "active")}) for each in ledger.decision.models
    ]
    tuned = [
        Tuned(name=name, settings={}, before=None, after=value, trials=3) for name, value in after.items()
    ]
    ledger.update(looks=(look,), models=tuple(models), tuned=tuple(tuned))
    finals.Finals(tmp_path, ledger, None, None, MatchRule())._choose()
    assert ledger.decision.used == used
    assert ledger.decision.used_value == (after[used] or 0.48)


@pytest.mark.parametrize("images", [87, 500])
def test_choosing_after_tuning_loses_less_where_tuning_gains_differ_and_little_elsewhere(images):
    """The standard error of a mean of 4,000 decisions is below 0.03 points."""
    differing, equal = simulate(images, 2, 3.0), simulate(images, 2, 0.0, fixed=1)
    assert differing.after < differing.before - 0.2
    assert equal.after < equal.before + 0.1


@pytest.fixture
def quick(monkeypatch, no_pages):
    """Without timing in fresh processes, and with three settings of post-processing."""
    monkeypatch.setattr(finals, "profile", lambda *args, **settings: [])
    monkeypatch.setattr(finals, "TRIALS", 3)


def words(out, *more, variants=("ssd", "fcos"), minutes="3", **sets):
    own = [
        f"{variant}.{text}"
        for variant in variants
        for text in tiny_sets(variant)
        if "head." in text or "neck_" in text
    ]
    shared = [text for text in tiny_sets("none", **sets) if "epochs" not in text]
    return [
        "decide", "--minutes", minutes, "--variant", *variants, "--quiet", "--out", str(out), "--epochs", "1",
        "--set", *shared, *own, *more,
    ]  # fmt: skip


def folder_of(out):
    (folder,) = out.glob("decision-*")
    return folder


@pytest.mark.usefixtures("quick")
def test_a_decision_trains_looks_and_tests_once_and_continues_after_a_stop(tmp_path, monkeypatch, capsys):
    calls = []
    real = decider.run

    def stopping(config, *args):
        calls.append((config.variant, config.seed))
        if len(calls) == 3:
            raise Stopped(2)
        return real(config, *args)

    monkeypatch.setattr(decider, "run", stopping)
    assert main(words(tmp_path)) == 130
    stopped = load_decision(folder_of(tmp_path))
    assert stopped.used == ""
    assert stopped.looks == ()
    assert is_comparison(folder_of(tmp_path))  # `bench compare runs/*` leaves it out
    assert main(words(tmp_path)) == 0
    assert calls[:3] == calls[3:6] == [("ssd", 0), ("fcos", 0), ("ssd", 1)]
    assert calls[6:] == [("fcos", 1)]
    done = load_decision(folder_of(tmp_path))
    assert [(look.split, look.epochs, look.images) for look in done.looks] == [("val", 1, 4), ("test", 1, 6)]
    assert all(look.too_few and not look.eliminated for look in done.looks)
    assert done.used in ("ssd", "fcos")
    assert done.used_value == max(each.after for each in done.tuned)
    assert done.used_value == next(each.after for each in done.tuned if each.name == done.used)
    assert [each.level for each in done.looks] == pytest.approx([0.004, 0.02])
    assert all(each.final for each in done.looks)
    assert {each.trials for each in done.tuned} == {3}
    assert all(each.after >= each.before for each in done.tuned)
    assert {step.step for step in done.spent} == {
        "check",
        "priors",
        "timing",
        "training",
        "tuning",
        "test",
        "profile",
        "page",
    }
    text = " ".join(capsys.readouterr().out.split())
    assert f"Use {done.used}, which has the highest validation AP" in text
    assert "With 4 validation images nothing can be eliminated" in text
    # The runs on test images predict with the weights of those on validation images.
    runs = [path for path in tmp_path.iterdir() if path.name.startswith(("ssd-", "fcos-"))]
    assert len(runs) == 8

    (folder_of(tmp_path) / "report.html").touch()
    monkeypatch.setattr(decider, "run", None)  # nothing is trained
    assert main(words(tmp_path)) == 0
    assert load_decision(folder_of(tmp_path)) == done
    monkeypatch.setattr(decider, "run", real)
    assert main(words(tmp_path, minutes="4")) == 0  # more time, which cannot help here
    longer = load_decision(folder_of(tmp_path))
    assert longer.minutes == 4
    assert (longer.looks, longer.used) == (done.looks, done.used)  # the test images are not looked at again


@pytest.mark.usefixtures("quick")
def test_a_model_whose_training_fails_is_left_out_and_timing_may_fail(tmp_path, monkeypatch, capsys):
    real = decider.run

    def failing(config, *args):
        if config.variant == "fcos":
            raise PartialError("the loss is not finite")
        return real(config, *args)

    def busy(*args, **settings):
        raise MachineError("another `bench profile` is running")

    monkeypatch.setattr(decider, "run", failing)
    monkeypatch.setattr(finals, "profile", busy)
    assert main(words(tmp_path)) == 0
    assert "latency was not measured: another `bench profile` is running" in capsys.readouterr().err
    done = load_decision(folder_of(tmp_path))
    assert done.model("fcos").state == "failed"
    assert done.model("fcos").reason == "the loss is not finite"
    assert done.used == "ssd"
    assert [len(look.standings) for look in done.looks] == [1, 1]
    assert done.decided


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": ("ssd",)}, "one model (ssd) leaves nothing to decide; name two or more"),
        ({"variants": ("ssd", "fcoss")}, "unknown variant 'fcoss'; did you mean 'fcos'?"),
        ({"variants": ("ssd", "torchvision/ssd300_vgg16")}, "an external model, which is not trained here"),
        ({"minutes": "0"}, "--minutes 0: expected a number above 0"),
        ({"minutes": "0.02"}, "--minutes 0.02: not enough for 2 models"),
        ({"more": ("--measure", "olrp")}, "expected a measure for which higher values are better"),
        ({"more": ("--limit", "parameters=10")}, "fewer than two models are left to decide between"),
        ({"evaluate__flip": True}, "not supported by `bench decide`"),
    ],
)  # fmt: skip
def test_fault_126_a_decision_that_cannot_be_made_is_refused(tmp_path, capsys, change, message):
    more = change.pop("more", ())
    assert main(words(tmp_path, *more, **change)) in (2, 4)
    assert message in capsys.readouterr().err


def test_the_folder_of_a_decision_does_not_depend_on_the_time(tmp_path):
    def folder(minutes, **sets):
        dataset, configs = open_entries(
            [("ssd", None), ("fcos", None)],
            {"data": None, "file": None, "sets": tiny_sets("none", **sets), "options": {}},
        )
        entrants = tuple(Entrant(config.variant, None, config) for config in configs)
        return DecisionTask(entrants, dataset, minutes, tmp_path).folder

    assert folder(1) == folder(2)
    assert folder(1) != folder(1, train__lr=0.1)
