"""Tuning from command to winner, on tiny runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_runs import tiny_config, tiny_sets

from bench import cli
from bench.pipeline.predict import predict
from bench.process.interrupts import Stopped, StopRequest
from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data, resolve
from bench.training.checkpoint import load_weights
from bench.training.validation import Validation
from bench.tune import tuner
from bench.tune.final_evaluation import choose
from bench.tune.objectives import parse_objectives
from bench.tune.search_space import parse_space
from bench.tune.study import Study
from bench.tune.study_key import StudyKey
from bench.tune.training_trials import TrainingTrials, make_pruner
from metrics.errors import InputError
from reports.records.final_evaluation import Finalist
from reports.records.study import StudyFolder

SETS = tiny_sets("ssd", train__epochs=1)


def tune(out, *words):
    return cli.main(["tune", "--variant", "ssd", "--out", str(out), "--quiet", *words, "--set", *SETS])


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A folder of studies: post-processing was tuned with four trials."""
    out = tmp_path_factory.mktemp("studies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuner, "write_study_page", lambda folder: None)  # takes longer than the tuning
        assert tune(out, "--space", "nms.iou", "nms.score", "--trials", "4", "--again", "0") == 0
    return out


def study_of(out):
    return next(path for path in out.glob("ssd-shapes-nms-*"))


def test_the_command_leaves_a_winner_that_run_takes(tuned):
    folder = study_of(tuned)
    config = resolve("ssd", file=folder / "winner.toml")
    result = StudyFolder.open(folder).result
    evaluation = result.final_evaluation
    for path, value in evaluation.winner.values.items():
        assert config.get(path) == value
    assert result.states == {"complete": 4}
    assert evaluation.finalists[0] is evaluation.default
    assert len(evaluation.default.test) == 1
    assert (folder / "trials.csv").read_text().count("\n") == 5


def test_the_weights_of_a_run_are_tuned_for_and_the_study_is_extended(tuned, capsys, monkeypatch):
    monkeypatch.setattr(tuner, "write_study_page", lambda folder: None)
    run = next((tuned / "runs").glob("ssd-shapes-*"))
    words = ["tune", "--space", "nms.iou", "--run", str(run), "--out", str(tuned / "more"), "--quiet"]
    assert cli.main([*words, "--trials", "2"]) == 0
    assert cli.main([*words, "--trials", "3"]) == 0
    output = capsys.readouterr().out
    assert "nms trials: 3 complete" in output
    assert "not retrained with fresh seeds" in output


def test_another_maximum_number_of_detections_is_another_study(tmp_path, monkeypatch):
    monkeypatch.setattr(tuner, "write_study_page", lambda folder: None)
    words = ["--space", "nms.iou", "--trials", "1", "--again", "0"]
    assert tune(tmp_path, *words) == 0
    assert tune(tmp_path, *words, "--set", "evaluate.max_dets=1,2,3") == 0
    assert len(list(tmp_path.glob("ssd-shapes-nms-*"))) == 2


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "--space: name what to tune"),
        (["--space", "anchor"], "--space anchor: no group or setting of that name"),
        (["--space", "nms", "--objective", "app"], "--objective: unknown measure 'app'; did you mean 'ap'"),
        (["--space", "nms", "--run", "/nowhere"], "/nowhere"),
        (
            ["--space", "nms", "--set", "evaluate.flip=true"],
            "not supported by tuning, which predicts each image once and as a whole",
        ),
        (
            ["--space", "nms", "--set", "evaluate.tile=32,32"],
            "not supported by tuning, which predicts each image once and as a whole",
        ),
    ],
)
def test_an_invalid_option_is_one_line_and_exit_code_2(tmp_path, capsys, words, text):
    assert tune(tmp_path, *words) == 2
    error = capsys.readouterr().err.strip()
    assert text in error
    assert "\n" not in error


def test_the_weights_of_a_run_are_refused_for_a_space_that_trains(tuned, capsys):
    run = next((tuned / "runs").glob("ssd-shapes-*"))
    assert cli.main(["tune", "--space", "train.lr", "--run", str(run), "--out", str(tuned), "--quiet"]) == 2
    assert "name only --space nms" in capsys.readouterr().err


@pytest.fixture(scope="module")
def training():
    """Configuration, data set and objectives of a tiny training."""
    config = tiny_config("ssd", train__epochs=2, train__validate_every=1)
    dataset = open_run_data(config)
    return config, dataset, parse_objectives(["ap"], dataset.splits["val"].truth)


def a_study(out, config, objectives):
    space = parse_space(config, ["train.lr"])
    return Study(
        StudyKey("ssd", "shapes", "train", {}),
        space,
        objectives,
        out,
        pruner=make_pruner("asha", config, 12, 3),
    )


def test_a_training_trial_reports_at_images_seen_and_leaves_its_weights(training, tmp_path):
    config, dataset, objectives = training
    study = a_study(tmp_path, config, objectives)
    study.optimize(TrainingTrials(config, dataset, objectives), 1)
    trial = study.study.trials[0]
    assert list(trial.intermediate_values) == [12]  # the last epoch's value is the trial's own
    assert [path.name for path in sorted((study.folder / "trials" / "00000").iterdir())] == [
        "log.jsonl",
        "weights.safetensors",
    ]


def test_a_trial_of_label_maps_has_the_miou_of_its_weights_and_reports_it_after_each_epoch(tmp_path):
    config = tiny_config("unet", train__epochs=2, train__validate_every=1)
    dataset = open_run_data(config)
    val = dataset.splits["val"]
    objectives = parse_objectives(["miou"], val.truth, masks=True)
    study = a_study(tmp_path, config, objectives)
    study.optimize(TrainingTrials(config, dataset, objectives), 1)
    trial = study.study.trials[0]
    folder = study.folder / "trials" / "00000"
    detector = build_detector(config, 5)
    load_weights(folder / "weights.safetensors", detector)
    found = []
    predict(detector.eval(), val, config.image, label_maps=lambda index, label_map: found.append(label_map))
    pairs = [(val.label_maps(index), label_map) for index, label_map in enumerate(found)]
    ious = [
        sum(((truth == label) & (label_map == label)).sum() for truth, label_map in pairs) / union
        for label in range(6)
        if (union := sum(((truth == label) | (label_map == label)).sum() for truth, label_map in pairs))
    ]
    assert trial.value == pytest.approx(np.mean(ious))
    epochs = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    values = [each["val_miou"] for each in epochs if each["event"] == "epoch"]
    assert list(trial.intermediate_values.values()) == values[:1]
    assert trial.value == pytest.approx(max(values))


def test_fault_143_label_maps_are_no_objective_of_post_processing(tmp_path, capsys):
    words = ["tune", "--variant", "unet", "--space", "nms", "--out", str(tmp_path), "--quiet"]
    assert cli.main([*words, "--objective", "miou", "--set", *tiny_sets("unet")]) == 2
    assert (
        "miou: post-processing does not change label maps; tune nms.score on its own, with --objective ap"
        in (capsys.readouterr().err)
    )


def test_a_stopped_training_continues_from_its_checkpoint_to_the_same_value(training, tmp_path, monkeypatch):
    config, dataset, objectives = training
    whole = a_study(tmp_path / "whole", config, objectives)
    whole.optimize(TrainingTrials(config, dataset, objectives), 1)
    stop = StopRequest()
    validate = Validation.__call__

    def stops_then(self, *given):
        stop.signum = 2
        return validate(self, *given)

    broken = a_study(tmp_path / "broken", config, objectives)
    monkeypatch.setattr(Validation, "__call__", stops_then)
    with pytest.raises(Stopped):
        broken.optimize(TrainingTrials(config, dataset, objectives, stop), 1, stop=stop)
    monkeypatch.undo()
    again = a_study(tmp_path / "broken", config, objectives)
    again.optimize(TrainingTrials(config, dataset, objectives), 1)
    assert again.states() == {"complete": 1}
    assert again.complete()[0].values == whole.complete()[0].values
    log = (again.folder / "trials" / "00000" / "log.jsonl").read_text()
    assert "resumed" in log


def test_the_choice_rests_on_retrained_values_and_a_tie_goes_to_the_default():
    default = Finalist(tuned=0.40, retrained=(0.40, 0.42))
    lucky = Finalist(trial=3, values={"nms.iou": 0.6}, tuned=0.60, retrained=(0.39, 0.41))
    better = Finalist(trial=5, values={"nms.iou": 0.7}, tuned=0.50, retrained=(0.44, 0.46))
    assert choose([default, lucky, better], higher=True) is better
    assert choose([default, lucky, better], higher=False) is lucky
    assert choose([default, Finalist(trial=7, tuned=0.9, retrained=(0.41, 0.41))], higher=True) is default
    assert lucky.study_minus_fresh == pytest.approx(0.2)


def test_a_default_without_a_value_is_not_chosen():
    assert choose([Finalist(), Finalist(trial=1, tuned=0.1)], higher=True).trial == 1


def test_a_list_of_variants_is_refused(tmp_path, capsys):
    assert cli.main(["tune", "--variant", "ssd", "fcos", "--space", "nms", "--out", str(tmp_path)]) == 2
    assert "expected one variant, got" in capsys.readouterr().err
    with pytest.raises(InputError):
        parse_space(tiny_config(), [])
