"""``bench reevaluate``: a finished run is evaluated again with its weights and other settings of prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import tiny_config
from torchvision.transforms.v2 import functional

from bench import load
from bench.cli import main
from bench.runs.context import RunContext
from bench.runs.finished_run import load_predictor
from bench.runs.reevaluation import prediction_settings
from bench.runs.run import run
from bench.runs.verification import verify
from metrics.errors import InputError
from reports.records.run import RunFolder

HARD = ["nms.method=hard", "nms.iou=0.3"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two epochs that keeps overlapping detections."""
    config = tiny_config("dual", ["nms.score=0", "nms.max_dets=30"])
    return run(config, tmp_path_factory.mktemp("runs"), context=RunContext(page=False))


def predict_again(trained: RunFolder, out: Path, *sets: str) -> RunFolder:
    dataset, config = prediction_settings(trained, sets)
    return run(config, out, dataset, RunContext(page=False), trained)


def test_detections_equal_those_of_a_run_that_was_trained_with_these_settings(trained, tmp_path):
    """Training does not depend on settings of prediction, so a whole run with them is the expected result."""
    sets = ["nms.score=0", "nms.max_dets=30", "inference=one_to_many", *HARD]
    whole = run(tiny_config("dual", sets), tmp_path, context=RunContext(page=False))
    again = predict_again(trained, tmp_path, "inference=one_to_many", *HARD)
    assert again.path != whole.path
    assert again.result.config == whole.result.config
    assert again.result.headline == whole.result.headline
    assert len(again.detections) == len(whole.detections) > 0
    np.testing.assert_array_equal(again.detections.xywh, whole.detections.xywh)
    np.testing.assert_array_equal(again.detections.score, whole.detections.score)
    assert not np.array_equal(again.detections.score, trained.detections.score)


def test_it_has_the_training_of_the_first_run(trained, tmp_path):
    again = predict_again(trained, tmp_path, "nms.max_dets=7")
    assert again.result.trained_by == trained.result.name
    assert again.result.budget == trained.result.budget
    assert again.result.seed == trained.result.seed
    assert again.history.equals(trained.history)
    assert (again.path / RunFolder.WEIGHTS).read_bytes() == (trained.path / RunFolder.WEIGHTS).read_bytes()
    assert any(trained.result.name in note for note in again.result.data.notes)
    states = {check.name: check.state for check in verify(again, again=True)}
    assert {"changed", "unknown"}.isdisjoint(states.values()), states


def test_a_larger_input_of_prediction_is_that_size_everywhere(trained, tmp_path):
    """The expected detections are those of the network in an image that torchvision made larger."""
    again = predict_again(trained, tmp_path, "image.prediction_scale=1.5")
    dataset, config = prediction_settings(trained, ["image.prediction_scale=1.5"])
    height, width = config.image.size
    larger = [round(1.5 * height), round(1.5 * width)]
    pixels = dataset.splits["test"].load(0)
    image = functional.resize(torch.from_numpy(pixels).permute(2, 0, 1), larger)
    found = load_predictor(again).predict(image[None] / 255)[0]
    rows = again.detections.image == 0
    assert rows.sum() == len(found.scores) > 0
    assert not np.array_equal(again.detections.score, trained.detections.score)
    np.testing.assert_allclose(np.sort(again.detections.score[rows]), np.sort(found.scores), rtol=1e-4)
    scale = pixels.shape[1] / larger[1]
    np.testing.assert_allclose(
        np.sort(again.detections.xywh[rows, 0]), np.sort(found.boxes[:, 0] * scale).clip(0), atol=1e-3
    )
    np.testing.assert_allclose(
        load(again)(pixels, score=0.0).scores, np.sort(found.scores)[::-1], rtol=1e-4
    )  # fmt: skip
    assert "changed" not in {check.state for check in verify(again, again=True)}
    assert (again.path / RunFolder.WEIGHTS).read_bytes() == (trained.path / RunFolder.WEIGHTS).read_bytes()


def test_the_command_shows_both_rows_of_one_training(trained, tmp_path, capsys):
    given = ["--set", "inference=one_to_many", *HARD, "--out", str(tmp_path), "--json"]
    assert main(["reevaluate", str(trained.path), *given]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert {row["name"] for row in rows} >= {trained.result.name}
    assert len(rows) == len({row["model"] for row in rows}) == 2
    assert main(["reevaluate", str(trained.path), *given]) == 0  # reuses the finished prediction
    assert len([path for path in tmp_path.iterdir() if path.name.startswith("dual-")]) == 1


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["train.lr=0.1"], "train.lr: affects training"),
        (["image.size=96,96", "nms.iou=0.3"], "image.size: affects training"),
        (["top=5"], "top: affects training"),
        ([], "no prediction setting has another value"),
        (["nms.score=0"], "no prediction setting has another value"),
    ],
)
def test_settings_of_training_and_no_settings_are_refused(trained, sets, message):
    with pytest.raises(InputError, match=message):
        prediction_settings(trained, sets)


def test_a_run_without_weights_is_refused(trained, tmp_path):
    (tmp_path / "imported").mkdir()
    (tmp_path / "imported" / "result.json").write_bytes((trained.path / "result.json").read_bytes())
    with pytest.raises(InputError, match="holds no weights of a variant"):
        prediction_settings(RunFolder.open(tmp_path / "imported"), HARD)


def test_which_settings_are_of_prediction_only():
    config = tiny_config("dual")
    for path in ("nms.iou", "candidates.top_k", "evaluate.flip", "inference"):
        assert config.is_prediction_only(path)
    for path in ("train.lr", "top", "image.size", "nope", "nope.iou", "backbone.name"):
        assert not config.is_prediction_only(path)


def test_the_advice_for_a_setting_of_training_works(trained, tmp_path):
    with pytest.raises(InputError) as caught:
        prediction_settings(trained, ["top=5"])
    advice = str(caught.value).rpartition("`bench ")[2].rstrip("`").replace("top=...", "top=5").split()
    assert main([*advice, "--epochs", "0", "--out", str(tmp_path), "--quiet"]) == 0
