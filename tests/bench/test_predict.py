"""Prediction of a split: boxes in the original images, and candidates that NMS reduces to the same detections."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import tiny_config
from torch import nn

from bench.data.types import Split
from bench.pipeline.candidates import Candidates
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.predict import predict
from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data
from detectors.nms import NMS, NMSConfig
from detectors.registry import VARIANTS
from detectors.types import Detections
from metrics.errors import InputError
from metrics.tables import AnnotationTable, Catalog


class Corner(nn.Module):
    """Finds in every image the box (8, 8, 24, 40) of the network's input, surer in later images of a batch."""

    def __init__(self, x: float = 8.0, score: float = 0.5) -> None:
        super().__init__()
        self.box = torch.tensor([[x, 8.0, 24.0, 40.0]])
        self.score = score
        self.batches: list[int] = []

    def predict(self, images):
        self.batches.append(len(images))
        return [
            Detections(self.box, torch.tensor([self.score]), torch.tensor([1])) for _ in range(len(images))
        ]


def split(count: int = 5, size: tuple[int, int] = (32, 64)):
    images = [np.full((*size, 3), 20 * k, dtype=np.uint8) for k in range(count)]
    catalog = Catalog.of(range(count), ("cat", "dog"), [size] * count)
    truth = AnnotationTable.of(catalog, range(count), [0] * count, [[1, 1, 8, 8]] * count)
    return Split("test", truth, images.__getitem__, truth.fingerprint, in_memory=True)


def test_boxes_are_in_pixels_of_the_original_image():
    # 32 x 64 in 64 x 64: letterboxed at scale 1, 16 rows of grey above.
    found = predict(Corner(), split(), ImageConfig(size=(64, 64)), batch=2)
    assert found.boxes.tolist() == [[8.0, 0.0, 24.0, 24.0]] * 5  # the part above the image is cut off
    assert found.image.tolist() == [0, 1, 2, 3, 4]
    assert found.label.tolist() == [1] * 5
    assert found.score.tolist() == [0.5] * 5
    stretched = predict(Corner(), split(), ImageConfig(size=(64, 64), resize="stretch"))
    assert stretched.boxes.tolist() == [[8.0, 4.0, 24.0, 20.0]] * 5


def test_each_image_is_predicted_once_and_the_last_batch_is_not_padded():
    detector = Corner()
    predict(detector, split(5), ImageConfig(size=(64, 64)), batch=2)
    assert detector.batches == [2, 2, 1]


def test_no_detections_give_an_empty_table():
    class Blind(nn.Module):
        def predict(self, images):
            nothing = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
            return [nothing] * len(images)

    found = predict(Blind(), split(), ImageConfig(size=(64, 64)))
    assert len(found) == 0
    assert len(found.catalog.image_ids) == 5


@pytest.mark.parametrize("broken", [Corner(score=math.nan), Corner(x=math.inf), Corner(x=math.nan)])
def test_fault_14_a_detection_that_is_not_finite_names_the_image(broken):
    with pytest.raises(InputError, match=r"image 0: a detection is not finite \(NaN or infinite\)"):
        predict(broken, split(), ImageConfig(size=(64, 64)))


@pytest.mark.parametrize("variant", VARIANTS.names())
def test_candidates_suppressed_again_are_the_detections(variant, tmp_path: Path):
    config = tiny_config(variant)
    data = open_run_data(config).splits["test"]
    detector = build_detector(config, 5).eval()
    file = tmp_path / "candidates.parquet"
    found = predict(detector, data, config.image, candidates=file, candidates_per_image=10_000)
    plain = predict(detector, data, config.image)
    assert np.array_equal(found.xywh, plain.xywh)
    assert np.array_equal(found.score, plain.score)
    kept = Candidates.load(file)
    assert kept.catalog == data.truth.catalog
    placement, again = kept.placement, []
    for index in range(len(data)):
        detections = detector.nms(kept.of(index))
        again.append(placement.to_original(detections.boxes, index).numpy())
    np.testing.assert_array_equal(np.concatenate(again), found.boxes)


def test_only_the_candidates_with_the_highest_scores_are_kept(tmp_path: Path):
    config = tiny_config("fcos")
    data = open_run_data(config).splits["test"]
    detector = build_detector(config, 5).eval()
    predict(detector, data, config.image, candidates=tmp_path / "all.parquet", candidates_per_image=10_000)
    predict(detector, data, config.image, candidates=tmp_path / "some.parquet", candidates_per_image=7)
    every, some = Candidates.load(tmp_path / "all.parquet"), Candidates.load(tmp_path / "some.parquet")
    for index in range(len(data)):
        scores = every.of(index).scores.sort(descending=True, stable=True).values[:7]
        assert torch.equal(some.of(index).scores, scores)


def test_candidates_keep_stretched_placement(tmp_path: Path):
    class Deciding(Corner):
        nms = NMS(NMSConfig(score=0.0))

        def forward(self, images):
            return len(images)

        def decode(self, output):
            return self.predict(torch.zeros(output, 3, 1, 1))

    file = tmp_path / "c.parquet"
    found = predict(Deciding(), split(), ImageConfig(size=(64, 64), resize="stretch"), candidates=file)
    kept = Candidates.load(file)
    assert kept.placement.to_original(kept.of(2).boxes, 2).tolist() == [[8.0, 4.0, 24.0, 20.0]]
    assert found.boxes[2].tolist() == [8.0, 4.0, 24.0, 20.0]


def test_a_file_of_something_else_is_no_candidates(tmp_path: Path):
    (tmp_path / "x.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a readable file of candidates"):
        Candidates.load(tmp_path / "x.parquet")
