"""Settings for flips and tiles apply to the evaluation and to the loaded predictor of a finished run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from agreement import assert_same_tables
from tiny_runs import tiny_config, tiny_sets

from bench.pipeline.inference import wrap_predictor
from bench.pipeline.predict import predict
from bench.runs.context import RunContext
from bench.runs.finished_run import load_predictor
from bench.runs.run import run
from bench.settings.resolution import open_run_data, resolve
from bench.settings.sections import EvaluateConfig
from detectors.types import Detections
from detectors.wrappers.flipped import Flipped
from detectors.wrappers.tiled import Tiled
from metrics.errors import InputError


class Still(torch.nn.Module):
    """Has no detections; records the sizes of its images."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[int, ...]] = []

    def predict(self, images):
        self.shown.append(tuple(images.shape[2:]))
        empty = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
        return [empty] * len(images)


def test_without_such_settings_the_predictor_is_itself():
    still = Still()
    assert wrap_predictor(still, EvaluateConfig()) is still


def test_tiles_and_mirror_image_go_together():
    still = Still()
    looking = wrap_predictor(still, EvaluateConfig(flip=True, tile=(40, 50), tile_overlap=0.0))
    assert isinstance(looking, Flipped)
    assert isinstance(looking.predictor, Tiled)
    looking.predict(torch.zeros(2, 3, 80, 100))
    assert (
        still.shown == [(40, 50)] * (4 + 1) * 2
    )  # four tiles and the whole, for the image and its mirror image


def test_only_a_variants_network_can_be_compiled():
    with pytest.raises(InputError, match="only a variant's network"):
        wrap_predictor(Still(), EvaluateConfig(compile=True))


def test_a_wrapped_network_moves_and_changes_mode_with_its_wrapper():
    still = Still()
    looking = wrap_predictor(still, EvaluateConfig(flip=True, tile=(8, 8)))
    assert still in set(looking.modules())
    looking.eval()
    assert not still.training


@pytest.mark.parametrize("sets", [["evaluate.flip=true"], ["evaluate.tile=48,48"]])
def test_a_run_and_its_loaded_predictor_apply_the_settings(tmp_path, sets):
    context = RunContext(page=False)
    config = tiny_config(sets=[*sets, "nms.score=0"], train__epochs=0)
    plain = run(tiny_config(sets=["nms.score=0"], train__epochs=0), tmp_path, context=context)
    done = run(config, tmp_path, context=context)
    assert done.path != plain.path
    assert len(done.detections) != len(plain.detections) or not np.array_equal(
        done.detections.score, plain.detections.score
    )
    split = open_run_data(config).splits["test"]
    again = predict(load_predictor(done), split, config.image, batch=config.evaluate.batch)
    assert_same_tables(again, done.detections)


def test_candidates_cannot_be_kept_of_what_is_joined_after_suppression():
    with pytest.raises(InputError, match="evaluate: save_candidates saves candidates before suppression"):
        resolve("ssd", sets=[*tiny_sets(), "evaluate.save_candidates=true", "evaluate.flip=true"])
