"""Optimism of selecting by validation images, against toy models whose true values are known; looks at the test split."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from test_tune_study import AP, hill, key, study
from tiny_runs import tiny_sets

from bench import cli
from bench.tune import tuner
from bench.tune.final_evaluation import Finals
from bench.tune.looks import record_look, recorded_looks
from bench.tune.study import Study
from metrics.errors import InputError
from reports.records.final_evaluation import Finalist
from reports.records.study import StudyFolder

CANDIDATES = 30
IMAGES, SEEDS = 0.02, 0.01
"""Standard deviations of a value: between sets of images, and between seeds."""


class ToyObjective:
    """Higher is better; nothing is resampled."""

    text, higher = "ap", True

    def compare(self, runs, truth, rule, seed):
        raise InputError("a toy")


class Toy:
    """A tuning whose settings are all equally good: values differ only by images and by seeds.

    Weights are (candidate, seed); the value on a split is 0.5 + error by the images of the split + error by the seed.
    """

    def __init__(self, rng, seed_noise):
        self.rng, self.seed_noise = rng, seed_noise
        self.by_images = {split: rng.normal(0, IMAGES, CANDIDATES + 1) for split in ("val", "test")}
        self.by_seed = {}
        self.plan = SimpleNamespace(fresh_seeds=2, run=None)
        self.config = SimpleNamespace(seed=0)
        self.objectives = SimpleNamespace(each=[ToyObjective()], rule=None)
        self.limits = SimpleNamespace(limits=())
        self.space = SimpleNamespace(defaults={"x": 0})
        self.dataset = SimpleNamespace(splits={"test": SimpleNamespace(truth=None)})

    def train(self, values, seed):
        return Path(f"{values.get('x', 0)}/{seed}")

    def predict(self, values, path, split):
        return path

    def value(self, path, split):
        error = self.by_seed.setdefault(path, self.rng.normal(0, self.seed_noise) if self.seed_noise else 0.0)
        return 0.5 + self.by_images[split][int(path.parent.name)] + error


class ToyStudy:
    """Every candidate was tried once, with seed 0."""

    def __init__(self, task):
        self.trials = [
            SimpleNamespace(number=n, params={"x": n}, values=[task.value(task.train({"x": n}, 0), "val")])
            for n in range(CANDIDATES + 1)
        ]
        self.study = SimpleNamespace(user_attrs={}, set_user_attr=lambda key, value: None)

    def default(self):
        return self.trials[0]

    def best(self, count):
        return sorted(self.trials, key=lambda trial: -trial.values[0])[:count]

    def num_finished(self):
        return len(self.trials)


def toy_evaluations(seed_noise, sets, seed=0):
    """Final evaluations of `sets` toy tunings, each with the true optimism of its winner."""
    rng = np.random.default_rng(seed)
    for _ in range(sets):
        task = Toy(rng, seed_noise)
        evaluation = Finals(task, {"train": ToyStudy(task)}, {}, None).run()
        yield evaluation, task.by_images["val"][evaluation.chosen or 0]


def test_validation_minus_test_is_the_optimism_of_selection_and_fresh_seeds_do_not_show_it():
    sets = 400
    made = list(toy_evaluations(SEEDS, sets))
    true = np.mean([optimism for _, optimism in made])
    gaps = [each.winner.validation_minus_test for each, _ in made]
    seeds_only = [each.winner.study_minus_fresh for each, _ in made]
    # The error is that of the test images of the winners.
    error = IMAGES / np.sqrt(sets)
    assert true > 1.5 * IMAGES
    assert np.mean(gaps) == pytest.approx(true, abs=4 * error)
    assert np.mean(seeds_only) < true / 3
    defaults = [each.default.validation_minus_test for each, _ in made if each.chosen is not None]
    assert np.mean(defaults) == pytest.approx(0, abs=4 * np.sqrt(2) * error)


def test_without_noise_of_seeds_the_optimism_is_the_expected_maximum_of_normal_variables():
    sets, count = 400, CANDIDATES + 1
    density = quad(lambda z: z * count * norm.pdf(z) * norm.cdf(z) ** (count - 1), -8, 8)[0]
    made = [evaluation for evaluation, _ in toy_evaluations(0.0, sets, seed=1)]
    gaps = [each.winner.validation_minus_test for each in made]
    assert np.mean(gaps) == pytest.approx(IMAGES * density, abs=4 * np.std(gaps) / np.sqrt(sets))
    assert [each.winner.study_minus_fresh for each in made] == pytest.approx([0.0] * sets)


WINNER = Finalist(trial=3, values={"nms.iou": 0.7}, tuned=0.5)


def test_a_look_is_counted_once_for_each_number_of_trials(tmp_path):
    tuned = study(tmp_path)
    tuned.optimize(hill, 2)
    assert recorded_looks([tuned]) == ()
    record_look([tuned], WINNER, 2)
    record_look([study(tmp_path)], WINNER, 2)  # another machine, or the same command again
    assert [(look.trials, look.chosen, look.fresh_seeds) for look in recorded_looks([tuned])] == [(2, 3, 2)]
    tuned.optimize(hill, 4)
    record_look([tuned], WINNER, 2)
    record_look([tuned], WINNER, 3)
    looks = recorded_looks([study(tmp_path)])
    assert [(look.trials, look.fresh_seeds) for look in looks] == [(2, 2), (4, 2), (4, 3)]
    # The study itself is unchanged by them.
    tuned.optimize(hill, 5)
    assert len(tuned.study.trials) == 5


def test_looks_are_kept_when_an_early_stage_has_another_result(tmp_path):
    first = study(tmp_path)
    first.optimize(hill, 2)
    for settings in ("a", "b"):
        last = Study(key(settings=settings), first.space, AP, tmp_path)
        last.optimize(hill, 2)
        record_look([first, last], WINNER.model_copy(update={"values": {"x": settings}}), 0)
    assert len(recorded_looks([first, last])) == 2


def test_extending_a_study_is_another_look_that_the_command_reports(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tuner, "write_study_page", lambda folder: None)
    words = [
        "tune",
        "--variant",
        "ssd",
        "--out",
        str(tmp_path),
        "--quiet",
        "--space",
        "train.lr",
        "--fresh-seeds",
        "0",
    ]
    sets = ["--set", *tiny_sets("ssd", train__epochs=1)]
    expected = [
        ("1", [1], "The study looked at the test split once, after 1 trial."),
        ("2", [1, 2], "The study looked at the test split 2 times, after 1 and 2 trials."),
        ("2", [1, 2], "The study looked at the test split 2 times, after 1 and 2 trials."),
    ]  # fmt: skip
    for trials, looks, text in expected:
        assert cli.main([*words, "--trials", trials, *sets]) == 0
        assert text in capsys.readouterr().out
        (folder,) = tmp_path.glob("ssd-shapes-train-*")
        assert [look.trials for look in StudyFolder.open(folder).result.test_looks] == looks
    assert cli.main([*words, "--trials", "2", "--json", *sets]) == 0
    assert [look["trials"] for look in json.loads(capsys.readouterr().out)["study"]["test_looks"]] == [1, 2]
