"""The honest ending: fixed stages, fresh runs, intervals on test, and what a winner has cost."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from tiny_runs import tiny_sets

from bench import cli
from bench.runs.context import RunContext
from bench.runs.naming import run_name
from bench.runs.run import run
from bench.settings.resolution import open_run_data, resolve
from bench.settings.sections import TunedConfig
from bench.tune import tuner
from bench.tune.objectives import parse_objectives
from bench.tune.outcome import Entry, Gain, Outcome, choose
from metrics.compare import compare
from metrics.errors import InputError, PartialError
from metrics.tables import AnnotationTable, Catalog, DetectionTable
from reports.records.study import StudyFolder
from reports.sections.tuning import finding

SETS = tiny_sets("ssd", train__epochs=1, data__train=30)  # as many objects as priors have shapes


def tune(out, *words):
    return cli.main(["tune", "--variant", "ssd", "--out", str(out), "--quiet", *words, "--set", *SETS])


def the(out, pattern):
    [path] = out.glob(pattern)
    return path


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """Studies of priors and training, the ending without fresh seeds."""
    out = tmp_path_factory.mktemp("studies")
    assert tune(out, "--space", "anchors", "train.lr", "--trials", "3", "--again", "0") == 0
    return out


@pytest.fixture
def no_page(monkeypatch):
    """Do without the page, which takes longer than all the rest."""
    monkeypatch.setattr(tuner, "write_study_page", lambda folder: None)


def test_what_fits_best_is_fixed_for_the_stages_that_follow(staged):
    anchors = StudyFolder.open(the(staged, "ssd-shapes-anchors-*")).result
    last = StudyFolder.open(the(staged, "ssd-shapes-train-*"))
    best = anchors.complete[0]
    assert last.result.fixed == best.params
    assert last.result.earlier == (the(staged, "ssd-shapes-anchors-*").name,)
    assert anchors.ending is None
    assert anchors.default.number == last.result.default.number == 0
    assert [trial.params["shapes"] != "" for trial in anchors.trials[:2]] == [False, True]
    chosen = resolve("ssd", file=last.path / "winner.toml")
    values = last.result.ending.winner.values
    if values:
        assert set(best.params) < set(values)
        assert chosen.train.lr == values["train.lr"]
    assert (last.path / "report.html").is_file()


def test_fit_is_told_by_size_on_training_and_on_validation_boxes(staged):
    outcome = json.loads((the(staged, "ssd-shapes-train-*") / "outcome.json").read_text())
    told = {(row["name"], row["split"], row["group"]) for row in outcome["fit"]}
    names = {row["name"] for row in outcome["fit"]}
    assert "default" in names
    assert told == {
        (n, s, g) for n in names for s in ("train", "val") for g in ("all", "small", "medium", "large")
    }


def test_without_fresh_seeds_the_weights_of_the_trials_are_measured(staged):
    ending = StudyFolder.open(the(staged, "ssd-shapes-train-*")).result.ending
    measured = [finalist for finalist in ending.finalists if finalist.test]
    assert {finalist.name for finalist in measured} == {"default", ending.chosen}
    for finalist in measured:
        low, high = finalist.test_interval
        assert low <= finalist.mean_test <= high or finalist.mean_test == 0
    # The trials were trained with the fitted priors, so the untuned settings need a run of their own.
    assert len(list((staged / "runs").glob("*"))) == 1


def test_a_fit_alone_says_nothing_of_a_detector_and_trains_none(tmp_path, capsys, no_page):
    assert tune(tmp_path, "--space", "anchors", "--trials", "3", "--again", "0") == 0
    said = capsys.readouterr().out
    assert "nothing was trained: priors that fit better need not make a better detector" in said
    assert not (tmp_path / "runs").exists()
    folder = the(tmp_path, "ssd-shapes-anchors-*")
    result = StudyFolder.open(folder).result
    assert result.goals[0].text == "recall + mean_iou"
    assert result.ending.winner.tuned == result.complete[0].value
    assert resolve("ssd", file=folder / "winner.toml").tuned.trials == 0


def test_a_fit_alone_is_judged_by_training_with_fresh_seeds(tmp_path, no_page):
    assert tune(tmp_path, "--space", "anchors", "--trials", "2", "--again", "1") == 0
    result = StudyFolder.open(the(tmp_path, "ssd-shapes-anchors-*")).result
    ending = result.ending
    assert (result.goals[0].text, result.ending_goal.text) == ("recall + mean_iou", "ap")
    assert "sought recall + mean_iou, which says nothing of the detector" in finding(result)
    assert [len(finalist.again) for finalist in ending.finalists] == [1, 1]
    assert [finalist.tuned for finalist in ending.finalists] == [None, None]
    assert len(list((tmp_path / "runs").glob("ssd-shapes-1000-*"))) == 2


def test_limits_that_nothing_keeps_end_before_anything_is_trained(tmp_path, capsys):
    assert (
        tune(tmp_path, "--space", "train.lr", "negatives", "--trials", "3", "--limit", "parameters=10") == 4
    )
    told = capsys.readouterr().err
    assert (
        "no trial keeps the limits; 3 trials were measured, and the nearest is trial 0: over the limit"
        in told
    )
    assert not list(tmp_path.glob("*/trials/*"))
    states = [t.state for t in StudyFolder.open(the(tmp_path, "ssd-shapes-train-*")).result.trials]
    assert states == ["pruned"] * 3


def test_an_unknown_limit_is_one_line(tmp_path, capsys):
    assert tune(tmp_path, "--space", "nms", "--limit", "parameters=2e6", "latency=3") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_of_the_winner_says_how_many_settings_were_tried(staged, tmp_path):
    winner = the(staged, "ssd-shapes-train-*") / "winner.toml"
    text = winner.read_text()
    if "[tuned]" not in text:
        pytest.fail("winner.toml has no section [tuned]")
    file = tmp_path / "mine.toml"
    file.write_text(text.replace('trials = "none"', "trials = 3"))
    config = resolve("ssd", file=file)
    done = run(config, tmp_path, context=RunContext(page=False))
    assert done.result.budget.trials == 3
    assert resolve("ssd", file=done.path / "config.toml").tuned == config.tuned
    by_hand = config.model_copy(update={"tuned": TunedConfig()})
    assert run_name(by_hand, open_run_data(by_hand)) != done.result.name


def test_settings_of_another_variant_are_refused(tmp_path, capsys, staged):
    winner = the(staged, "ssd-shapes-train-*") / "winner.toml"
    words = ["tune", "--variant", "fcos", "--config", str(winner), "--space", "nms", "--out", str(tmp_path)]
    assert cli.main(words) == 2
    assert "made for variant 'ssd', not for fcos" in capsys.readouterr().err


def scene(images=60, seed=0):
    """Truth with one object an image, and detections whose sureness and place are worse the larger `noise` is."""
    random = np.random.default_rng(seed)
    catalog = Catalog.of(range(images), ("a", "b"), [(100, 100)] * images)
    label, corner = random.integers(0, 2, images), random.uniform(0, 60, (images, 2))
    xywh = np.concatenate([corner, np.full((images, 2), 30.0)], axis=1)
    truth = AnnotationTable.of(catalog, range(images), label, xywh)

    def found(noise):
        moved = xywh + random.normal(size=xywh.shape) * [noise, noise, 0, 0]
        image, score = np.arange(images, dtype=np.int32), random.uniform(0.3, 1, images)
        return DetectionTable(catalog, image, label.astype(np.int32), moved, score)

    return truth, found


@pytest.mark.parametrize("text", ["ap", "ap50", "0.7*ap + 0.3*ap50", "ap - 0.5*olrp", "olrp"])
def test_a_resampled_objective_is_the_objective(text):
    truth, found = scene()
    objectives = parse_objectives([text], truth)
    [objective] = objectives.each
    table = found(4)
    comparison = compare(
        {"x": [(truth, table)]}, objective.statistic(objectives.rule), resamples=20, permutations=0
    )
    assert comparison.standing("x").value == pytest.approx(
        objective(objectives.numbers(truth, table)), abs=1e-12
    )


@pytest.mark.parametrize("text", ["ap", "olrp"])
def test_a_gain_is_the_chosen_less_the_untuned_whoever_leads(text):
    truth, found = scene()
    objectives = parse_objectives([text], truth)
    [objective] = objectives.each
    good, bad = found(1), found(9)
    value = {n: objective(objectives.numbers(truth, t)) for n, t in (("good", good), ("bad", bad))}
    for chosen, default, better in (("good", "bad", 1.0), ("bad", "good", 0.0)):
        tables = {"trial 3": good, "default": bad} if chosen == "good" else {"trial 3": bad, "default": good}
        comparison = compare(
            {name: [(truth, table)] for name, table in tables.items()},
            objective.statistic(objectives.rule),
            resamples=200,
            permutations=0,
        )
        gain = Gain.of(value[chosen] - value[default], comparison, "trial 3", 1)
        assert gain.p_better == pytest.approx(better)
        low, high = gain.interval
        assert low <= gain.delta <= high
        assert (gain.delta > 0) == ((chosen == "good") == objective.higher)
        assert not gain.doubt
        assert str(gain).endswith("(decisive)")


@pytest.mark.parametrize(
    ("share", "said"), [(1.0, "100%"), (0.997, "over 99%"), (0.5, "50%"), (0.001, "under 1%"), (0.0, "0%")]
)
def test_a_share_of_resamples_is_all_only_where_it_is_all(share, said):
    gain = Gain(0.035, (0.001, 0.07), share, 72, 2, "p = .061")
    assert str(gain).endswith(f"better in {said} of resamples (not decisive: p = .061)")


def test_an_objective_that_cannot_be_resampled_says_so():
    truth, _ = scene()
    objectives = parse_objectives(["integral_recall"], truth)
    with pytest.raises(InputError, match="no number 'integral_recall' can be resampled"):
        objectives.each[0].statistic(objectives.rule)


DEFAULT = Entry("default", {}, 0.5, (0.5,), (0.4,), (0.3, 0.5), {"latency_ms": 41.0}, "latency_ms 41 of 30")
OTHER = Entry("trial 3", {"nms.iou": 0.6}, 0.4, (0.3,), (0.35,), (0.2, 0.5), {"latency_ms": 21.0})


def test_settings_over_a_limit_are_not_chosen_however_good():
    assert choose([DEFAULT, OTHER], higher=True) is OTHER
    with pytest.raises(PartialError, match="no settings keep the limits: latency_ms 41 of 30"):
        choose([DEFAULT, replace(OTHER, over="latency_ms 31 of 30")], higher=True)


def test_the_ending_is_told_in_words_and_numbers(tmp_path):
    gain = Gain(-0.05, (-0.12, 0.02), 0.08, 72, 1, "its interval holds 0")
    outcome = Outcome("ap", True, (DEFAULT, OTHER), "trial 3", tmp_path, {"nms": {"complete": 4}}, {}, gain)
    console = Console(width=160, record=True, file=io.StringIO())
    outcome.show(console)
    said = console.export_text()
    assert "default (over the limit)" in said
    assert "0.350 [0.200, 0.500]" in said
    assert (
        "gain on 72 test images, chosen less default: -0.050 [-0.120, +0.020], better in 8% of resamples "
        "(not decisive: its interval holds 0)" in said
    )
    assert "one set of weights each: another seed could turn the difference round" in said
    outcome.save()
    saved = json.loads((tmp_path / "outcome.json").read_text())
    assert saved["gain"]["interval"] == [-0.12, 0.02]
    assert saved["entries"][0]["over"] == "latency_ms 41 of 30"
