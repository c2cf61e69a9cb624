"""Post-processing trials: compiled suppression against `detectors.nms`, and the same detections as predicting again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import tiny_config

from bench.pipeline.candidates import Candidates
from bench.pipeline.predict import predict
from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data
from bench.tune.component_postprocessing import post_processing
from bench.tune.postprocessing import PostProcessing, save_candidates
from bench.tune.search_space import parse_space, with_values
from detectors import suppression
from detectors.nms import NMS, NMSConfig
from metrics.tables import AnnotationTable, Catalog

IMAGES = 3


def candidates_of(images):
    """From, for each image, a list of (xyxy, score, label)."""
    rows = [
        (k, label, score, *box)
        for k, image in enumerate(images)
        for box, score, label in sorted(image, key=lambda row: -row[1])
    ]
    table = np.array(rows, dtype=np.float32).reshape(-1, 7)
    catalog = Catalog.of(range(len(images)), ("a", "b", "c"), [(64, 64)] * len(images))
    return Candidates(
        catalog,
        table[:, 0].astype(np.int32),
        table[:, 1].astype(np.int32),
        table[:, 2].copy(),
        table[:, 3:].copy(),
        np.ones((len(images), 2)),
        np.zeros((len(images), 2)),
        np.full((len(images), 2), 64),
    )


def one_by_one(candidates, config):
    """Boxes, scores and labels that `NMS` keeps, image by image."""
    kept = [NMS(config)(candidates.of(k)) for k in range(len(candidates.sizes))]
    return (
        torch.cat([k.boxes for k in kept]).numpy(),
        torch.cat([k.scores for k in kept]).numpy(),
        torch.cat([k.labels for k in kept]).numpy(),
    )


def assert_same(candidates, config):
    rows, found = suppression.suppress(candidates.rows, config)
    boxes, scores, labels = one_by_one(candidates, config)
    np.testing.assert_array_equal(candidates.boxes[rows], boxes)
    np.testing.assert_array_equal(found, scores)
    np.testing.assert_array_equal(candidates.label[rows], labels)


coordinate = st.sampled_from([-2.0, 0.0, 1.0, 2.5, 4.0, 8.0, 8.1, 16.0])
box = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h),
    coordinate,
    coordinate,
    *[st.sampled_from([0.0, 4.0, 7.9, 8.0])] * 2,
)
candidate = st.tuples(box, st.sampled_from([0.05, 0.1, 0.3, 0.30000001, 0.9]), st.integers(0, 2))
config = st.builds(
    NMSConfig,
    score=st.sampled_from([0.0, 0.05, 0.1, 0.3]),
    iou=st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 0.9]),
    method=st.sampled_from(["hard", "diou", "soft_linear", "soft_gaussian", "none"]),
    sigma=st.sampled_from([0.1, 0.5, 1.0]),
    agnostic=st.booleans(),
    top_k=st.sampled_from([1, 4, 5000]),
    max_dets=st.sampled_from([1, 3, 100]),
)


@given(st.lists(st.lists(candidate, max_size=12), min_size=1, max_size=IMAGES), config)
def test_compiled_suppression_keeps_the_same_detections_as_nms(images, config):
    assert_same(candidates_of(images), config)


@pytest.mark.parametrize("count", [300, 1001])
@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("method", ["hard", "diou", "soft_linear", "soft_gaussian", "none"])
def test_compiled_suppression_agrees_with_nms_on_many_boxes(count, agnostic, method):
    random = np.random.default_rng(count)
    corner = random.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corner, corner + random.uniform(2, 24, (count, 2))], axis=1)
    image = list(
        zip(boxes.tolist(), random.random(count).tolist(), random.integers(0, 3, count).tolist(), strict=True)
    )
    for iou in (0.3, 0.5, 0.7):
        assert_same(
            candidates_of([image, [], image[:50]]),
            NMSConfig(score=0.1, iou=iou, agnostic=agnostic, method=method),
        )


def test_boxes_with_equal_scores_are_in_the_order_of_nms():
    random = np.random.default_rng(0)
    corner = random.uniform(0, 40, (1200, 2))
    boxes = np.concatenate([corner, corner + 4], axis=1).tolist()
    image = list(
        zip(boxes, random.integers(1, 5, 1200).tolist(), random.integers(0, 3, 1200).tolist(), strict=True)
    )
    assert_same(candidates_of([image[:20], image]), NMSConfig(score=0.1, iou=0.5, max_dets=200))


@pytest.mark.parametrize("max_dets", [40, 300])
@pytest.mark.parametrize("agnostic", [False, True])
@pytest.mark.parametrize("method", ["soft_linear", "soft_gaussian"])
def test_a_candidate_that_enters_late_is_faded_by_all_earlier_detections(method, agnostic, max_dets):
    random = np.random.default_rng(3)
    corner = random.uniform(0, 40, (500, 2))
    boxes = np.concatenate([corner, corner + random.uniform(6, 30, (500, 2))], axis=1).tolist()
    # A slow fall with equal scores: rows join all along, and a place among equals decides.
    scores = np.round(0.9 * 0.99 ** np.arange(500), 2).tolist()
    image = list(zip(boxes, scores, random.integers(0, 3, 500).tolist(), strict=True))
    given = {"method": method, "agnostic": agnostic, "max_dets": max_dets, "sigma": 0.8}
    assert_same(candidates_of([image[:65], image]), NMSConfig(score=0.001, iou=0.3, **given))


def test_a_score_that_fades_to_the_threshold_is_dropped():
    image = [((0, 0, 8, 8), 0.9, 0), ((0, 0, 8, 4), 0.6, 0)]  # IoU 1/2
    config = NMSConfig(method="soft_linear", iou=0.4, score=0.3)
    assert suppression.suppress(candidates_of([image]).rows, config)[0].tolist() == [0]
    assert_same(candidates_of([image]), config)


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """A tiny detector with random weights, its validation split, and the candidates for the whole search space."""
    config = tiny_config("ssd", image__size="96,64", data__val=6)  # letterboxed: boxes must be placed back
    split = open_run_data(config).splits["val"]
    detector = build_detector(config, 3).eval()
    path = tmp_path_factory.mktemp("tune") / "candidates.parquet"
    space = parse_space(config, ["nms"])
    return config, detector, split, save_candidates(detector, split, config, space, path), path


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"nms.iou": 0.3, "nms.score": 0.001},
        {"nms.score": 0.3, "nms.agnostic": True},
        {"nms.top_k": 120, "nms.max_dets": 20},
        {"nms.method": "soft_gaussian"},
        {"nms.method": "soft_gaussian", "nms.sigma": 0.17, "nms.agnostic": True, "nms.max_dets": 30},
        {"nms.method": "soft_linear", "nms.iou": 0.3},
        {"nms.method": "soft_linear", "nms.agnostic": True, "nms.top_k": 150},
        {"nms.method": "diou", "nms.iou": 0.4},
        {"nms.method": "diou", "nms.agnostic": True, "nms.score": 0.05},
    ],
)
def test_a_trial_has_the_same_detections_as_predicting_again(predicted, values):
    config, _, split, candidates, _ = predicted
    again = with_values(config, values)
    expected = predict(build_detector(again, 3).eval(), split, config.image)
    found = PostProcessing(candidates, split.truth, config.detector.nms).detections(values)
    assert len(expected) or values.get("nms.score") == 0.3
    for column in ("image", "label", "score", "xywh"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))


def test_settings_that_are_not_compiled_use_nms_itself(predicted, monkeypatch):
    config, _, split, candidates, _ = predicted
    stage = PostProcessing(candidates, split.truth, config.detector.nms)
    fast = stage.detections({"nms.iou": 0.4})
    monkeypatch.setattr(suppression, "_COMPILED", set())
    slow = stage.detections({"nms.iou": 0.4})
    for column in ("image", "label", "score", "xywh"):
        np.testing.assert_array_equal(getattr(fast, column), getattr(slow, column))


def test_stored_candidates_are_not_predicted_again(predicted):
    config, _, split, candidates, path = predicted
    again = save_candidates(None, split, config, parse_space(config, ["nms"]), path)
    np.testing.assert_array_equal(again.boxes, candidates.boxes)


def test_the_suppression_of_the_detector_is_restored(predicted):
    config, detector, *_ = predicted
    assert detector.nms.config == config.detector.nms


def test_an_image_without_candidates_has_no_detections():
    candidates = candidates_of([[], []])
    truth = AnnotationTable.of(candidates.catalog, [0], [0], [[1, 1, 8, 8]])
    assert len(PostProcessing(candidates, truth, NMSConfig()).detections({})) == 0


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    """A tiny U-Net with random weights, its validation split, and the components for the whole search space."""
    config = tiny_config("unet", image__size="96,64", data__val=6)
    split = open_run_data(config).splits["val"]
    detector = build_detector(config, 3).eval()
    torch.nn.init.normal_(detector.head.weight, generator=torch.Generator().manual_seed(0))  # many components
    space = parse_space(config, ["nms"])
    assert {"components.connectivity", "components.min_area"} <= {each.path for each in space}
    trials = post_processing(detector, split, config, space, tmp_path_factory.mktemp("tune") / "none")
    return config, detector.state_dict(), split, trials


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"components.min_area": 2},
        {"components.connectivity": 4, "components.min_area": 1},
        {"components.connectivity": 4, "components.min_area": 40, "nms.max_dets": 3},
        {"components.min_area": 5, "nms.method": "hard", "nms.iou": 0.3, "nms.score": 0.27},
    ],
)
def test_components_are_chosen_as_if_predicted_again(segmented, values):
    config, state, split, trials = segmented
    again = with_values(config, values)
    detector = build_detector(again, 3).eval()
    detector.load_state_dict(state)
    expected = predict(detector, split, config.image)
    found = trials.detections(values)
    assert len(expected)
    for column in ("image", "label", "score", "xywh"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))
