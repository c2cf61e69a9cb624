"""Early stopping: training ends after validations without a new best value, also when it was interrupted."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from killing_log import Killed, KillingLog
from tiny_runs import tiny_config

from bench.cli import main
from bench.process.progress import Progress
from bench.runs.context import RunContext
from bench.runs.detector import build_detector
from bench.runs.run import run
from bench.settings.resolution import open_run_data
from bench.training import validation
from bench.training.loop import train
from reports.analysis.report_data import ReportData
from reports.sections import budget


@pytest.fixture
def validation_ap(monkeypatch):
    """Sets the validation AP by epoch, or by update with `train.validations`; the network is not evaluated."""
    curve: list[float] = []
    number = [0]
    real = validation.Validation.__call__

    def called(self, position, epochs):
        number[0] = position.step if self.config.train.validations else position.epoch
        return real(self, position, epochs)

    matches = SimpleNamespace(at=lambda threshold: threshold, rule=SimpleNamespace(iou_thresholds=(0.5,)))
    monkeypatch.setattr(validation.Validation, "__call__", called)
    monkeypatch.setattr(validation.Validation, "compile", lambda self: None)
    monkeypatch.setattr(validation, "predict", lambda *args, **settings: None)
    monkeypatch.setattr(
        validation,
        "evaluate",
        lambda *args, **settings: SimpleNamespace(
            headline={"ap": curve[number[0] - 1], "ap50": 0.5}, matches=matches
        ),
    )
    monkeypatch.setattr(validation, "score_curve", lambda at: SimpleNamespace(best=lambda: (0.3, at)))
    return curve


def trained(folder, log=None, **settings):
    config = tiny_config(**({"data__train": 4, "train__epochs": 9, "train__validate_every": 1} | settings))
    dataset = open_run_data(config)
    detector = build_detector(config, len(dataset.classes))
    result = train(detector, dataset.splits["train"], dataset.splits["val"], config, folder, log=log)
    return result, detector.state_dict()


@pytest.mark.parametrize(
    ("curve", "patience", "last", "best"),
    [
        ([0.1, 0.3, 0.2, 0.3, 0.1, 0.9], 3, 5, 2),  # an equal value is no improvement
        ([0.1, 0.3, 0.2, 0.4, 0.4, 0.9], 2, 6, 6),
        ([0.5, 0.4, 0.9], 1, 2, 1),
        ([0.5, 0.4, 0.9, 0.1, 0.1, 0.1], 0, 6, 3),
        ([math.nan] * 4, 1, 4, 0),  # nothing was ever measured
    ],
)
def test_training_stops_after_that_many_validations_without_a_new_best(
    validation_ap, tmp_path, curve, patience, last, best
):
    validation_ap += curve
    result, _ = trained(tmp_path, train__epochs=len(curve), train__patience=patience)
    assert (result.epochs, result.best_epoch, len(result.history)) == (last, best, last)
    stopped = [note for note in result.notes if note.startswith("training stopped")]
    expected = f"training stopped after epoch {last} of {len(curve)}, {last - best} after the best one (train.patience={patience})"
    assert stopped == ([expected] if last < len(curve) else [])


def test_validations_are_counted_and_not_epochs(validation_ap, tmp_path):
    validation_ap += [0.0, 0.5, 0.9, 0.4, 0.9, 0.3, 0.9, 0.9]
    result, _ = trained(tmp_path, train__epochs=8, train__validate_every=2, train__patience=2)
    assert (result.epochs, result.best_epoch) == (6, 2)


@pytest.mark.parametrize("killed_at", [None, (1, 1), (1, 2)])
def test_training_stops_within_an_epoch_after_validations_at_shares(validation_ap, tmp_path, killed_at):
    """Of 9 updates, 3 per epoch; the best is the third, at the end of the first epoch, and the fifth is the last."""
    validation_ap += [0.1, 0.2, 0.5, 0.4, 0.3, 0.9, 0.9, 0.9, 0.9]
    settings = {"data__train": 12, "train__budget__images": 36, "train__validate_every": 0}
    settings |= {"train__validations": 9, "train__patience": 2}
    if killed_at is not None:
        log = KillingLog(when=lambda facts: (facts["epoch"], facts["batch"]) == killed_at)
        with pytest.raises(Killed):
            trained(tmp_path, log=log, **settings)
    result, _ = trained(tmp_path, **settings)
    assert (result.images_seen, result.best_epoch) == (20, 1)
    assert [row["epoch"] for row in result.history] == pytest.approx(
        [1 / 3, 2 / 3, 1, 4 / 3, 5 / 3], abs=1e-6
    )
    assert result.notes[-1] == (
        "training stopped after epoch 1.667 at 56% of train.budget.images=36, 0.6667 after the best one "
        "(train.patience=2)"
    )


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_an_interrupted_training_stops_at_the_same_epoch_with_the_same_weights(
    validation_ap, tmp_path, after
):
    """Also one that died after its last state was saved, which must not go on."""
    validation_ap += [0.2, 0.4, 0.3, 0.3, 0.9, 0.9, 0.9, 0.9, 0.9]
    whole = trained(tmp_path / "whole", train__patience=2)
    with pytest.raises(Killed):
        trained(
            tmp_path / "killed", KillingLog(when=lambda facts: facts["epoch"] == after), train__patience=2
        )
    resumed = trained(tmp_path / "killed", train__patience=2)
    assert resumed[0].epochs == whole[0].epochs == 4
    assert resumed[0].notes == whole[0].notes
    for name, tensor in whole[1].items():
        assert torch.equal(tensor, resumed[1][name]), name


def test_patience_without_validations_is_refused_and_the_advice_works(capsys):
    words = ["run", "--variant", "ssd", "--show-config", "--set", "train.patience=2"]
    assert main(words) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: train: patience counts validations, but validate_every is 0; set train.validate_every=1"
    ]
    assert main([*words, "train.validate_every=1"]) == 0


def test_the_result_and_its_report_have_the_number_of_epochs(validation_ap, tmp_path, capsys):
    validation_ap += [0.5, 0.4, 0.9]
    config = tiny_config(data__train=4, train__epochs=3, train__validate_every=1, train__patience=1)
    folder = run(config, tmp_path, context=RunContext(page=False, progress=Progress("lines")))
    assert folder.result.budget.epochs == 2
    note = "training stopped after epoch 2 of 3, 1 after the best one (train.patience=1)"
    assert note in folder.result.data.notes
    assert f"note: {note}" in capsys.readouterr().err
    assert (
        "trained for 2 epochs of 3 (stopped early) with"
        in budget.section(ReportData.from_runs([folder])).finding
    )
