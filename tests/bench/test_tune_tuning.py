"""Tuning from command to winner, on the smallest runs there are."""

from __future__ import annotations

import json

import pytest
from tiny_runs import tiny_config, tiny_sets

from bench import cli
from bench.process.interrupts import Stopped, StopRequest
from bench.settings.resolution import open_run_data, resolve
from bench.training import loop
from bench.tune import tuner
from bench.tune.objectives import parse_objectives
from bench.tune.outcome import Entry, choose
from bench.tune.spaces import space_of
from bench.tune.study import Cause, Study
from bench.tune.training import Training, make_pruner
from metrics.errors import InputError

SETS = tiny_sets("ssd", train__epochs=1)


def tune(out, *words):
    return cli.main(["tune", "--variant", "ssd", "--out", str(out), "--quiet", *words, "--set", *SETS])


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """The folder of studies after post-processing was tuned with four trials."""
    out = tmp_path_factory.mktemp("studies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuner, "write_study_page", lambda folder: None)  # takes longer than all the rest
        assert tune(out, "--space", "nms.iou", "nms.score", "--trials", "4", "--again", "0") == 0
    return out


def study_of(out):
    return next(path for path in out.glob("ssd-shapes-nms-*"))


def test_the_command_leaves_a_winner_that_run_takes(tuned):
    folder = study_of(tuned)
    config = resolve("ssd", file=folder / "winner.toml")
    outcome = json.loads((folder / "outcome.json").read_text())
    winner = next(entry for entry in outcome["entries"] if entry["name"] == outcome["chosen"])
    for path, value in winner["values"].items():
        assert config.get(path) == value
    assert outcome["states"] == {"nms": {"complete": 4}}
    assert outcome["entries"][0]["name"] == "default"
    assert len(outcome["entries"][0]["test"]) == 1
    assert (folder / "trials.csv").read_text().count("\n") == 5


def test_the_weights_of_a_run_are_tuned_for_and_the_study_is_extended(tuned, capsys, monkeypatch):
    monkeypatch.setattr(tuner, "write_study_page", lambda folder: None)
    run = next((tuned / "runs").glob("ssd-shapes-*"))
    words = ["tune", "--space", "nms.iou", "--run", str(run), "--out", str(tuned / "more"), "--quiet"]
    assert cli.main([*words, "--trials", "2"]) == 0
    assert cli.main([*words, "--trials", "3"]) == 0
    said = capsys.readouterr().out
    assert "nms trials: 3 complete" in said
    assert "not run again with fresh seeds" in said


def test_another_number_of_detections_that_count_is_another_study(tmp_path, monkeypatch):
    monkeypatch.setattr(tuner, "write_study_page", lambda folder: None)
    words = ["--space", "nms.iou", "--trials", "1", "--again", "0"]
    assert tune(tmp_path, *words) == 0
    assert tune(tmp_path, *words, "--set", "evaluate.max_dets=1,2,3") == 0
    assert len(list(tmp_path.glob("ssd-shapes-nms-*"))) == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "--space: say what to tune"),
        (["--space", "anchor"], "--space anchor: no group and no setting of that name"),
        (["--space", "nms", "--objective", "app"], "--objective: no number 'app'; did you mean 'ap'"),
        (["--space", "nms", "--run", "/nowhere"], "/nowhere"),
        (
            ["--space", "nms", "--set", "evaluate.flip=true"],
            "a study looks at each image once and as a whole",
        ),
        (
            ["--space", "nms", "--set", "evaluate.tile=32,32"],
            "a study looks at each image once and as a whole",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, capsys, words, text):
    assert tune(tmp_path, *words) == 2
    told = capsys.readouterr().err.strip()
    assert text in told
    assert "\n" not in told


def test_the_weights_of_a_run_are_not_for_a_space_that_trains(tuned, capsys):
    run = next((tuned / "runs").glob("ssd-shapes-*"))
    assert cli.main(["tune", "--space", "train.lr", "--run", str(run), "--out", str(tuned), "--quiet"]) == 2
    assert "name only --space nms" in capsys.readouterr().err


@pytest.fixture(scope="module")
def training():
    """What a study of a tiny training needs: configuration, data set, objectives."""
    config = tiny_config("ssd", train__epochs=2, train__validate_every=1)
    dataset = open_run_data(config)
    return config, dataset, parse_objectives(["ap"], dataset.splits["val"].truth)


def a_study(out, config, objectives):
    space = space_of(config, ["train.lr"])
    return Study(
        Cause("ssd", "shapes", "train", {}), space, objectives, out, pruner=make_pruner("asha", config, 12)
    )


def test_a_training_trial_reports_at_images_seen_and_leaves_its_weights(training, tmp_path):
    config, dataset, objectives = training
    study = a_study(tmp_path, config, objectives)
    study.optimize(Training(config, dataset, objectives), 1)
    trial = study.study.trials[0]
    assert list(trial.intermediate_values) == [12]  # the last epoch's value is the trial's own
    assert [path.name for path in sorted((study.folder / "trials" / "00000").iterdir())] == [
        "log.jsonl",
        "weights.safetensors",
    ]


def test_a_stopped_training_goes_on_from_its_checkpoint_to_the_same_value(training, tmp_path, monkeypatch):
    config, dataset, objectives = training
    whole = a_study(tmp_path / "whole", config, objectives)
    whole.optimize(Training(config, dataset, objectives), 1)
    stop = StopRequest()
    validate = loop._Training._validate

    def stops_then(self):
        stop.signum = 2
        return validate(self)

    broken = a_study(tmp_path / "broken", config, objectives)
    monkeypatch.setattr(loop._Training, "_validate", stops_then)
    with pytest.raises(Stopped):
        broken.optimize(Training(config, dataset, objectives, stop), 1, stop=stop)
    monkeypatch.undo()
    again = a_study(tmp_path / "broken", config, objectives)
    again.optimize(Training(config, dataset, objectives), 1)
    assert again.states() == {"complete": 1}
    assert again.finished()[0].values == whole.finished()[0].values
    log = (again.folder / "trials" / "00000" / "log.jsonl").read_text()
    assert "resumed" in log


def test_the_choice_is_made_by_fresh_runs_and_a_tie_goes_to_the_default():
    default = Entry("default", {}, 0.40, (0.40, 0.42))
    lucky = Entry("trial 3", {"nms.iou": 0.6}, 0.60, (0.39, 0.41))
    better = Entry("trial 5", {"nms.iou": 0.7}, 0.50, (0.44, 0.46))
    assert choose([default, lucky, better], higher=True) is better
    assert choose([default, lucky, better], higher=False) is lucky
    assert choose([default, Entry("trial 7", {}, 0.9, (0.41, 0.41))], higher=True) is default
    assert lucky.optimism == pytest.approx(0.2)


def test_a_study_without_the_default_still_chooses():
    failed = Entry("default", {}, None)
    assert choose([failed, Entry("trial 1", {}, 0.1)], higher=True).name == "trial 1"


def test_a_list_of_variants_is_refused(tmp_path, capsys):
    assert cli.main(["tune", "--variant", "ssd", "fcos", "--space", "nms", "--out", str(tmp_path)]) == 2
    assert "expected one variant, got" in capsys.readouterr().err
    with pytest.raises(InputError):
        space_of(tiny_config(), [])
