"""`evaluate.precision`: every command predicts with the same weights in the same precision, whatever that of training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_runs import tiny_config, tiny_sets

from bench.pipeline import configured_prediction
from bench.pipeline.inference import with_precision, wrap_predictor
from bench.pipeline.predict import predict
from bench.process.interrupts import StopRequest
from bench.process.progress import Progress
from bench.runs.context import RunContext
from bench.runs.ensemble import fuse_runs
from bench.runs.finished_run import evaluated_split, load_predictor
from bench.runs.run import run
from bench.timing.clock import clock_of
from bench.timing.passes import Passes
from bench.timing.timed_run import prepare_run
from bench.training import validation
from bench.tune import training_trials
from bench.tune.plan import TuningPlan, TuningTask
from bench.tune.postprocessing import PostProcessing, save_candidates
from detectors.wrappers.flipped import Flipped
from detectors.wrappers.mixed_precision import MixedPrecision
from metrics.tables import DetectionTable
from reports.records.run import RunFolder

PRECISIONS = {"float32": "no", "bfloat16": "bf16"}


@pytest.fixture(scope="module", params=PRECISIONS)
def trained(request, tmp_path_factory) -> tuple[RunFolder, str, list[str]]:
    """A run that was trained in the other precision; each image is predicted alone, as in timing."""
    precision = PRECISIONS[request.param]
    other = "bf16" if precision == "no" else "no"
    sets = tiny_sets(
        train__precision=other, evaluate__precision=precision, evaluate__batch=1, nms__score=0.001
    )
    folder = run(tiny_config(sets=sets), tmp_path_factory.mktemp("runs"), context=RunContext(page=False))
    assert len(folder.detections)
    return folder, precision, sets


def assert_identical(actual: DetectionTable, expected: DetectionTable) -> None:
    for name in ("image", "label", "score", "boxes"):
        np.testing.assert_array_equal(getattr(actual, name), getattr(expected, name), err_msg=name)


def task_of(folder: RunFolder, sets: list[str]) -> TuningTask:
    plan = TuningPlan("ssd", ("nms",), {"sets": sets}, out=folder.path.parent / "studies")
    return TuningTask(plan, Progress(), StopRequest())


def test_a_finished_run_is_predicted_again_identically(trained):
    folder, _, _ = trained
    config = tiny_config(sets=trained[2])
    again = predict(load_predictor(folder), evaluated_split(folder), config.image, batch=1, workers=0)
    assert_identical(again, folder.detections)


def test_tuning_predicts_identically(trained):
    folder, _, sets = trained
    task = task_of(folder, sets)
    again = task.predict({}, folder.path / "weights.safetensors", "test")
    assert_identical(again.detections, folder.detections)


def test_post_processing_of_stored_candidates_is_identical(trained, tmp_path):
    folder, _, sets = trained
    task = task_of(folder, sets)
    detector = task.detector({}, folder.path / "weights.safetensors")
    split = task.dataset.splits["test"]
    candidates = save_candidates(detector, split, task.config, task.space, tmp_path / "c.parquet")
    post = PostProcessing(candidates, split.truth, task.config.detector.nms)
    assert_identical(post.detections({}), folder.detections)


def test_timing_predicts_identically(trained):
    folder, precision, _ = trained
    timed = prepare_run(folder, torch.device("cpu"))
    assert timed.precision == precision
    passes = Passes(timed, clock_of(torch.device("cpu")))
    for image in range(len(timed.split)):
        (detections,) = passes([image]).detections
        rows = folder.detections.image == image
        np.testing.assert_array_equal(detections.scores.double().numpy(), folder.detections.score[rows])
        np.testing.assert_allclose(detections.boxes.numpy(), folder.detections.boxes[rows], rtol=1e-12)


def test_validation_and_training_trials_use_the_precision(trained, tmp_path, monkeypatch):
    _, precision, sets = trained
    used = []

    def remember(predictor, *args, **settings):
        used.append(predictor(torch.zeros(1, 3, 64, 64)).logits.dtype)
        return predict(predictor, *args, **settings)

    monkeypatch.setattr(validation, "predict", remember)
    monkeypatch.setattr(configured_prediction, "predict", remember)
    task = task_of(trained[0], sets)
    trials = training_trials.TrainingTrials(task.config, task.dataset, task.objectives)
    trials(None, {}, tmp_path)
    assert used == [torch.float32 if precision == "no" else torch.bfloat16] * 2


def test_an_ensemble_fuses_the_detections_of_the_runs(trained):
    folder, _, _ = trained
    fused = fuse_runs([folder, folder])
    assert set(fused.image.tolist()) == set(folder.detections.image.tolist())


def test_the_two_precisions_differ(trained):
    """Otherwise the tests above would hold for any precision."""
    folder, precision, sets = trained
    other = task_of(folder, [*sets, f"evaluate.precision={'bf16' if precision == 'no' else 'no'}"])
    again = other.predict({}, folder.path / "weights.safetensors", "test")
    assert not np.array_equal(again.detections.score, folder.detections.score)


def test_flips_are_outside_of_the_mixed_precision_of_the_network():
    config = tiny_config(sets=["evaluate.precision=bf16", "evaluate.flip=true"])

    class Plain:
        def predict(self, images):
            return []

    wrapped = wrap_predictor(Plain(), config.evaluate)
    assert isinstance(wrapped, Flipped)
    assert isinstance(wrapped.predictor, MixedPrecision)
    assert with_precision(wrapped, "no") is wrapped
