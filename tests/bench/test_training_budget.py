"""Budgets of a training: how many updates they pay for, and everything else that follows the length of a training."""

from __future__ import annotations

import math
import time

import pytest
import torch
from forked import in_two_processes
from hypothesis import given
from hypothesis import strategies as st
from killing_log import Killed, KillingLog
from tiny_runs import tiny_config, tiny_sets
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.callbacks import StartedRun
from bench.cli import main
from bench.runs.context import RunContext
from bench.runs.detector import build_detector
from bench.runs.naming import run_name
from bench.runs.run import run
from bench.settings.budget import BudgetConfig, parse_budget
from bench.settings.resolution import open_run_data, resolve
from bench.settings.sections import TrainConfig
from bench.training.checkpoint import Position
from bench.training.clock import TrainingClock
from bench.training.device import make_accelerator
from bench.training.length import TimeLength, affordable_updates, training_flops, training_length
from bench.training.loop import train
from bench.training.run_events import RunEvents
from bench.tune.training_trials import make_pruner
from metrics.errors import InputError


def trained(folder, log=None, events=None, **settings):
    """Result and final weights of a training of 12 images in batches of 4, with a state saved after each update."""
    config = tiny_config(**({"train__checkpoint_minutes": 1e-9, "train__validate_every": 1} | settings))
    dataset = open_run_data(config)
    detector = build_detector(config, len(dataset.classes))
    splits = dataset.splits
    result = train(detector, splits["train"], splits["val"], config, folder, log=log, events=events)
    return result, {name: tensor.clone() for name, tensor in detector.state_dict().items()}


def without_clock(result):
    return [{name: value for name, value in row.items() if "seconds" not in name} for row in result.history]


def assert_same(one, other):
    assert without_clock(one[0]) == without_clock(other[0])
    assert (one[0].epochs, one[0].images_seen) == (other[0].epochs, other[0].images_seen)
    for name, tensor in one[1].items():
        assert torch.equal(tensor, other[1][name]), name


@given(
    st.integers(0, 300),
    st.integers(1, 60),
    st.integers(1, 20),
    st.integers(1, 4),
    st.booleans(),
)
def test_updates_are_as_many_as_can_be_paid_one_after_another(images, count, batch, accumulate, drop_last):
    full, rest = divmod(count, batch)
    batches = [batch] * full + ([rest] if rest and not (drop_last and full) else [])
    updates = [sum(batches[k : k + accumulate]) for k in range(0, len(batches), accumulate)]
    paid, steps = 0, 0
    while paid + updates[steps % len(updates)] <= images:
        paid += updates[steps % len(updates)]
        steps += 1
    assert affordable_updates(images, batches, accumulate) == steps


def test_images_of_whole_epochs_are_that_number_of_epochs(tmp_path):
    one = trained(tmp_path / "epochs", train__epochs=2)
    other = trained(tmp_path / "images", train__budget__images=24)
    assert_same(one, other)
    assert other[0].epochs == 2


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A training that ends within its second epoch."""
    return trained(tmp_path_factory.mktemp("cut"), train__budget__images=23)


def test_a_budget_of_images_ends_training_within_an_epoch(cut):
    result, _ = cut
    assert (result.images_seen, len(result.history)) == (20, 2)
    assert result.epochs == pytest.approx(5 / 3)
    # Of 5 updates the schedule is over at the last one, which is followed by a validation.
    assert result.history[-1]["lr"] == pytest.approx(tiny_config().train.lr * 0.01)
    assert all(row["val_ap"] is not None for row in result.history)


@pytest.mark.parametrize("after", [1, 6, 7])
def test_an_interrupted_budget_of_images_is_resumed_to_the_same_weights(cut, tmp_path, after):
    """Also one that dies between the last update and the end of its epoch (7)."""
    with pytest.raises(Killed):
        trained(tmp_path, KillingLog(after), train__budget__images=23)
    assert_same(trained(tmp_path, train__budget__images=23), cut)


@pytest.fixture(scope="module")
def at_shares(tmp_path_factory):
    """The same, validated after each of its five updates."""
    return trained(
        tmp_path_factory.mktemp("shares"),
        train__budget__images=23,
        train__validations=5,
        train__validate_every=0,
    )


def test_shares_of_a_budget_are_validated_within_an_epoch(at_shares, cut):
    rows = at_shares[0].history
    assert [row["images_seen"] for row in rows] == [4, 8, 12, 16, 20]
    assert [row["epoch"] for row in rows] == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3], abs=1e-6)
    assert all(row["val_ap"] is not None for row in rows)
    # Training is as without these validations: the loss of an epoch is the mean of those of its updates.
    means = [sum(row["loss"] for row in rows[:3]) / 3, sum(row["loss"] for row in rows[3:]) / 2]
    assert means == pytest.approx([row["loss"] for row in cut[0].history], rel=1e-6)
    assert [rows[2]["val_ap"], rows[4]["val_ap"]] == [row["val_ap"] for row in cut[0].history]


@pytest.mark.parametrize("after", [1, 2, 3, 6, 9, 10])
def test_an_interrupted_training_is_validated_at_the_same_shares(at_shares, tmp_path, after):
    """Also one that dies between an update and the validation that follows it (odd numbers)."""
    settings = {"train__budget__images": 23, "train__validations": 5, "train__validate_every": 0}
    with pytest.raises(Killed):
        trained(tmp_path, KillingLog(after), **settings)
    assert_same(trained(tmp_path, **settings), at_shares)


@pytest.mark.parametrize(
    ("budget", "validations", "expected"), [(8, 2, [4, 8]), (8, 1, [8]), (8, 9, [4, 8]), (20, 2, [12, 20])]
)
def test_a_share_is_validated_after_the_update_that_completes_it(tmp_path, budget, validations, expected):
    """Budgets of 2 and 5 updates, the first below one epoch of 3: half of 5 is complete after 3 updates."""
    settings = {"train__budget__images": budget, "train__validations": validations}
    rows = trained(tmp_path, train__validate_every=0, **settings)[0].history
    assert [row["images_seen"] for row in rows if row["val_ap"] is not None] == expected


def test_flops_are_three_times_those_of_a_prediction_for_each_image(cut, tmp_path):
    config = tiny_config()
    network = build_detector(config, len(open_run_data(config).classes))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.eval()(torch.zeros(1, 3, 64, 64))
    each = 3 * counter.get_total_flops()
    assert training_flops(network, (64, 64)) == each
    result, weights = trained(tmp_path, train__budget__flops=20.5 * each)
    assert_same((result, weights), cut)
    assert result.flops == 20 * each


def test_three_times_the_forward_pass_is_what_both_passes_take():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 5, 3))
    images = torch.zeros(2, 3, 16, 16, requires_grad=True)
    forward, both = FlopCounterMode(display=False), FlopCounterMode(display=False)
    with forward:
        network(images)
    with both:
        network(images).sum().backward()
    assert both.get_total_flops() == 3 * forward.get_total_flops()


def test_fault_130_a_budget_below_one_update_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        trained(tmp_path, train__budget__images=3)
    assert str(caught.value) == (
        "train.budget.images=3: one update of the weights takes 4 images; give more, or lower train.batch"
    )
    trained(tmp_path, train__budget__images=3, train__batch=2)


def minutes(amount, **settings):
    return TrainConfig(budget=BudgetConfig(minutes=amount), **settings)


def after(durations):
    return Position(step=len(durations), step_seconds=sum(durations))


@given(st.lists(st.floats(0.01, 30), min_size=200, max_size=200), st.floats(0.05, 3))
def test_time_is_not_exceeded_as_far_as_the_mean_update_tells(durations, amount):
    length = training_length(minutes(amount), 0.1, [4, 4, 4], 1)
    steps = next((n for n in range(1, 200) if length.is_over(after(durations[:n]))), None)
    if steps is None:
        assert sum(durations) < 60 * amount
        return
    spent = sum(durations[:steps])
    assert spent * (1 + 1 / steps) > 60 * amount
    if steps > 1:
        assert sum(durations[: steps - 1]) * steps / (steps - 1) <= 60 * amount
        assert length.share(after(durations[: steps - 1])) == pytest.approx(
            sum(durations[: steps - 1]) / 60 / amount
        )
    assert length.share(after(durations[:steps])) == 1


@pytest.mark.parametrize("schedule", ["cosine", "linear", "one_cycle", "polynomial", "steps"])
def test_equal_updates_have_the_schedule_of_a_number_of_updates(schedule):
    """400 updates of 0.3 s in two minutes, compared at the same share of the training."""
    settings = minutes(2, schedule=schedule, warmup=0.1, average=0.1)
    timed = training_length(settings, 0.25, [4] * 8, 1)
    counted = training_length(TrainConfig(epochs=50, schedule=schedule, warmup=0.1), 0.25, [4] * 8, 1)
    for step in range(0, 400, 9):
        position = Position(step=step, step_seconds=0.3 * step)
        assert timed.factor(position) == pytest.approx(counted.factor(position), abs=0.03)
        assert timed.share(position) == pytest.approx(counted.share(position))
        if step:
            assert timed.steps(position) == pytest.approx(400)
        assert timed.is_closing(0, 0, position) == (step >= 300)


@pytest.mark.parametrize(("images", "first"), [(40, 7), (16, 3), (400, 75)])
def test_mosaics_are_closed_in_the_last_share_of_the_updates(images, first):
    """Of 10, 4 and 100 updates, a quarter; not rounded to whole epochs of 3 updates."""
    length = training_length(TrainConfig(budget=BudgetConfig(images=images)), 0.25, [4, 4, 4], 1)
    closing = [length.is_closing(step // 3, step % 3, Position()) for step in range(images // 4)]
    # Python rounds 7.5 to the even 8.
    assert closing.index(True) == (8 if first == 7 else first)
    assert all(closing[closing.index(True) :])


@pytest.fixture
def three_seconds(monkeypatch):
    """Each update takes three seconds, or as many as the list says."""
    durations: list[float] = []

    def add_update(self, position):
        position.step_seconds += durations[position.step - 1] if durations else 3.0

    monkeypatch.setattr(TrainingClock, "add_update", add_update)
    return durations


def test_minutes_end_training_and_its_schedule(three_seconds, tmp_path):
    result, _ = trained(tmp_path, train__budget__minutes=0.5)
    assert (result.step_seconds, result.images_seen, len(result.history)) == (30.0, 40, 4)
    assert result.history[-1]["lr"] < 0.1 * result.history[1]["lr"]
    assert [row["step_seconds"] for row in result.history] == [9.0, 18.0, 27.0, 30.0]


@pytest.mark.parametrize(("settings", "steps"), [({"minutes": 0.1}, 0), ({"images": 23}, 5)])
def test_callbacks_are_told_the_updates_that_a_budget_determines(three_seconds, tmp_path, settings, steps):
    told = []

    class Events(RunEvents):
        def start(self, step=0, epoch=0, steps=0, resumed=False):
            told.append(steps)

    events = Events({}, StartedRun("", tmp_path))
    trained(tmp_path, events=events, **{f"train__budget__{unit}": value for unit, value in settings.items()})
    assert told == [steps]


def test_slower_updates_are_fewer(three_seconds, tmp_path):
    three_seconds += [7.0] * 10
    assert trained(tmp_path, train__budget__minutes=0.5)[0].step_seconds == 28.0


def test_interrupted_minutes_continue_with_the_time_that_was_spent(three_seconds, tmp_path):
    whole = trained(tmp_path / "whole", train__budget__minutes=0.3)
    with pytest.raises(Killed):
        trained(tmp_path / "killed", KillingLog(5), train__budget__minutes=0.3)
    assert_same(trained(tmp_path / "killed", train__budget__minutes=0.3), whole)


def test_time_of_validation_and_saving_is_not_that_of_updates(monkeypatch, tmp_path):
    from bench.training import loop
    from bench.training.validation import Validation

    def slow(real):
        def called(*args):
            time.sleep(0.2)
            return real(*args)

        return called

    monkeypatch.setattr(loop, "save_state", slow(loop.save_state))
    monkeypatch.setattr(Validation, "__call__", slow(Validation.__call__))
    result, _ = trained(
        tmp_path, train__budget__images=24
    )  # 6 saves after updates, 2 after epochs, 2 validations
    assert result.seconds - result.step_seconds > 1.9


def test_two_processes_count_the_time_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def work(rank):
        clock = TrainingClock(make_accelerator("cpu", "no"), agreed=True)
        position = Position()
        time.sleep(0.05 * rank)
        clock.add_update(position)
        (tmp_path / f"{rank}.txt").write_text(str(position.step_seconds))

    in_two_processes(work, tmp_path / "meeting")
    first, second = [float((tmp_path / f"{rank}.txt").read_text()) for rank in range(2)]
    assert first == second


def test_early_stopping_names_the_budget(tmp_path):
    result, _ = trained(
        tmp_path, train__budget__images=60, train__patience=1, train__lr=1e-12, train__average=0
    )
    assert result.epochs < 5
    (note,) = [note for note in result.notes if note.startswith("training stopped")]
    epochs = round(result.epochs)
    assert note.startswith(
        f"training stopped after epoch {epochs} at {epochs / 5:.0%} of train.budget.images=60, "
    )


def test_equal_budgets_have_one_name_whatever_the_epochs(tmp_path):
    def name(*sets):
        config = resolve("ssd", sets=[*tiny_sets()[:5], *sets])
        return run_name(config, open_run_data(config))

    assert name("train.budget.images=none", "train.epochs=3") == name("train.epochs=3")
    toml = tmp_path / "a.toml"
    names = set()
    for epochs in (3, 9):
        toml.write_text(f"[train]\nepochs = {epochs}\nbudget.images = 40\n")
        config = resolve("ssd", file=toml, sets=tiny_sets()[:5])
        names.add(run_name(config, open_run_data(config)))
    assert len(names) == 1
    assert names != {name("train.epochs=3")}


def test_the_result_records_budget_and_effort(tmp_path, capsys):
    config = tiny_config("ssd", data__train=8, train__budget__images=12, train__validate_every=1)
    folder = run(config, tmp_path, context=RunContext(page=False))
    budget = folder.result.budget
    assert budget.limit is not None
    assert (budget.limit.unit, budget.limit.amount, budget.images_seen) == ("images", 12, 12)
    assert budget.epochs == pytest.approx(1.5)
    detector = build_detector(config, len(folder.truth.catalog.classes))
    assert budget.train_flops == 12 * training_flops(detector, (64, 64))
    assert 0 < budget.step_seconds < budget.train_seconds
    assert list(folder.history["images_seen"]) == [8, 12]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("minutes=10", {"minutes": 10.0}),
        ("images=2e4", {"images": 20000}),
        (" flops = 2e15", {"flops": 2e15}),
    ],
)
def test_budgets_of_the_command_line(text, expected):
    given = {name: value for name, value in parse_budget(text).items() if value is not None}
    assert given == expected
    assert type(given.get("images", 0)) is int


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--budget", "hours=1"],
            "error: --budget hours=1: expected minutes, images or flops with a number above 0, as in minutes=10, "
            "images=20000 or flops=2e15",
        ),
        (["--budget", "images=1.5"], "error: train.budget.images: expected a whole number, got 1.5"),
        (
            ["--set", "train.budget.images=9", "train.budget.minutes=1"],
            "error: train.budget: minutes and images are given, but a training has one budget; set "
            "train.budget.images=none",
        ),
        (
            ["--budget", "images=20000", "--epochs", "5"],
            "error: train.epochs: has no effect, because train.budget.images=20000 ends training; leave one of them "
            "out (train.budget.images=none)",
        ),
    ],
)
def test_fault_130_budgets_that_cannot_be_meant_are_refused(words, line, capsys):
    assert main(["run", "--variant", "ssd", "--show-config", *words]) == 2
    assert capsys.readouterr().err.splitlines() == [line]


@pytest.mark.parametrize(
    "text", ["images", "images=0", "minutes=-1", "minutes=inf", "flops=nan", "=3", "images=x"]
)
def test_fault_130_a_text_that_is_no_budget_is_refused(text):
    with pytest.raises(InputError, match="expected minutes, images or flops"):
        parse_budget(text)


def test_the_advice_of_both_conflicts_works(capsys):
    words = ["run", "--variant", "ssd", "--show-config"]
    sets = ["train.budget.images=9", "train.budget.minutes=1", "train.budget.images=none"]
    assert main([*words, "--set", *sets]) == 0
    assert main([*words, "--epochs", "5", "--set", "train.budget.images=9", "train.budget.images=none"]) == 0


def test_the_pruner_knows_the_images_of_a_whole_trial():
    def most(**settings):
        return make_pruner("hyperband", tiny_config(**settings), 12, 3)._max_resource

    assert most() == 24
    assert most(train__budget__images=100) == 100
    first = make_pruner("asha", tiny_config(train__budget__images=100, train__validations=20), 12, 3)
    assert first._min_resource == 5
    each = training_flops(build_detector(tiny_config(), 3), (64, 64))
    assert most(train__budget__flops=70.5 * each) == 70
    with pytest.raises(InputError, match=r"train.budget.minutes=2 does not determine; use --pruner asha"):
        most(train__budget__minutes=2)
    make_pruner("asha", tiny_config(train__budget__minutes=2), 12, 3)


def test_the_time_of_a_whole_training_is_unknown_before_its_first_update():
    length = training_length(minutes(1), 0.1, [4], 1)
    assert isinstance(length, TimeLength)
    assert not length.is_over(Position())
    assert length.share(Position()) == 0
    assert math.isfinite(length.steps(Position()))
