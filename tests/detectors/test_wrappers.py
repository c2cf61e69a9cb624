"""Wrappers around a predictor with known results: it detects painted rectangles."""

from __future__ import annotations

import pytest
import torch
from agreement import assert_same_detections
from hypothesis import given
from hypothesis import strategies as st

from detectors.registry import VARIANTS
from detectors.types import Detections, Predictor
from detectors.wrappers.ensemble import Ensemble
from detectors.wrappers.flipped import Flipped
from detectors.wrappers.tiled import Tiled
from metrics.errors import InputError


class RectangleDetector:
    """Detect rectangles by their gray level, which differs between rectangles, and record the shapes of all inputs."""

    def __init__(self) -> None:
        self.shapes = []

    def predict(self, images):
        self.shapes.append(tuple(images.shape))
        return [self.detect((image[0] * 100).round().long()) for image in images]

    def detect(self, image):
        boxes, scores, labels = [], [], []
        for gray in image.unique().tolist():
            if gray:
                y, x = (image == gray).nonzero(as_tuple=True)
                boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
                scores.append(gray / 100)
                labels.append(gray % 3)
        return Detections(
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.tensor(scores),
            torch.tensor(labels).long(),
        )


def paint(size, rectangles):
    image = torch.zeros(1, 3, *size)
    for number, (x, y, w, h) in enumerate(rectangles, start=1):
        image[:, :, y : y + h, x : x + w] = (40 + number) / 100
    return image


def sorted_boxes(detections):
    return sorted(tuple(box) for box in detections.boxes.tolist())


def sorted_corners(rectangles):
    return sorted((x, y, x + w, y + h) for x, y, w, h in rectangles)


@st.composite
def separate_rectangles(draw, max_side=15):
    """Up to nine rectangles in an image of 96 x 128, each in its own cell of a grid."""
    cells = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), unique=True, max_size=9))
    rectangles = []
    for row, column in cells:
        w, h = draw(st.integers(2, max_side)), draw(st.integers(2, max_side))
        x = 32 * column + draw(st.integers(0, 31 - w))
        y = 32 * row + draw(st.integers(0, 31 - h))
        rectangles.append((x, y, w, h))
    return rectangles


@given(rectangles=separate_rectangles(), tile=st.sampled_from([(32, 32), (48, 40), (96, 33), (200, 50)]))
def test_tiles_detect_all_objects_that_fit_into_the_overlap(rectangles, tile):
    """The overlap is about 16 pixels and rectangles are at most 15, so each lies completely in some tile."""
    image = paint((96, 128), rectangles)
    (detections,) = Tiled(RectangleDetector(), tile, overlap=0.5, whole=False).predict(image)
    assert sorted_boxes(detections) == sorted_corners(rectangles)
    assert (detections.scores.diff() <= 0).all()


@pytest.mark.parametrize("size", [(96, 128), (97, 131), (200, 64)])
def test_object_larger_than_a_tile_is_detected_in_the_whole_image(size):
    """Downscaling blurs its edges by one pixel, which is `size` / 48 or / 64 pixels of the image."""
    image = paint(size, [(4, 6, 56, 80)])
    predictor = RectangleDetector()
    predictor.detect = lambda image: RectangleDetector.detect(predictor, torch.where(image == 41, image, 0))
    (detections,) = Tiled(predictor, (48, 64), overlap=0.5).predict(image)
    assert len(detections.scores) == 1
    assert detections.boxes[0].tolist() == pytest.approx(
        [4, 6, 60, 86], abs=2 * max(size[0] / 48, size[1] / 64)
    )
    assert not len(Tiled(predictor, (48, 64), overlap=0.5, whole=False).predict(image)[0].scores)


def test_object_across_all_tile_borders_is_detected_once():
    (detections,) = Tiled(RectangleDetector(), (40, 40), overlap=0.5, whole=False).predict(
        paint((80, 80), [(30, 30, 16, 17)])
    )
    assert sorted_boxes(detections) == [(30, 30, 46, 47)]


def test_object_at_the_image_border_is_kept():
    (detections,) = Tiled(RectangleDetector(), (40, 40), overlap=0.5, whole=False).predict(
        paint((80, 80), [(0, 0, 9, 9), (71, 70, 9, 10)])
    )
    assert sorted_boxes(detections) == [(0, 0, 9, 9), (71, 70, 80, 80)]


def test_small_image_is_not_tiled():
    predictor = RectangleDetector()
    Tiled(predictor, (100, 100)).predict(torch.zeros(2, 3, 90, 100))
    assert predictor.shapes == [(2, 3, 90, 100)]


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    tile=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    overlap=st.sampled_from([0.0, 0.25, 0.5]),
)
def test_tiles_cover_every_pixel_and_have_the_requested_size(size, tile, overlap):
    seen = torch.zeros(size, dtype=torch.bool)
    pixels = torch.arange(size[0] * size[1]).reshape(1, 1, *size).float().expand(1, 3, -1, -1)

    class PixelRecorder(RectangleDetector):
        def predict(self, images):
            seen.view(-1)[images[0, 0].long().flatten()] = True
            assert images.shape[2] <= max(tile[0], size[0] if size[0] <= tile[0] else 0)
            assert images.shape[3] <= max(tile[1], size[1] if size[1] <= tile[1] else 0)
            return [Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))]

    Tiled(PixelRecorder(), tile, overlap, whole=False).predict(pixels)
    assert seen.all()


@pytest.mark.parametrize(("tile", "overlap"), [((0, 5), 0.2), ((5, 5), 1.0), ((5, 5), -0.1)])
def test_impossible_tiles_are_an_error(tile, overlap):
    with pytest.raises(InputError, match="expected sides of at least 1 and an overlap in"):
        Tiled(RectangleDetector(), tile, overlap)


@given(rectangles=separate_rectangles(max_side=31))
def test_flipped_predictions_of_an_exact_predictor_do_not_change(rectangles):
    image = paint((96, 128), rectangles)
    (plain,), (detections,) = RectangleDetector().predict(image), Flipped(RectangleDetector()).predict(image)
    assert sorted_boxes(detections) == sorted_boxes(plain)
    assert sorted(detections.scores.tolist()) == pytest.approx(sorted(plain.scores.tolist()))
    assert sorted(detections.labels.tolist()) == sorted(plain.labels.tolist())


def test_flipping_halves_scores_of_objects_detected_in_one_orientation():
    class LeftHalfDetector(RectangleDetector):
        def predict(self, images):
            return super().predict(torch.where(torch.arange(images.shape[3]) < 64, images, 0.0))

    (detections,) = Flipped(LeftHalfDetector()).predict(
        paint((96, 128), [(10, 10, 20, 20), (90, 50, 20, 30)])
    )
    assert sorted_boxes(detections) == [(10, 10, 30, 30), (90, 50, 110, 80)]
    assert detections.scores.tolist() == pytest.approx([0.42 / 2, 0.41 / 2])


def test_ensemble_of_identical_predictors_is_that_predictor():
    image = paint((96, 128), [(10, 10, 20, 20), (90, 50, 20, 30)])
    (plain,), (detections,) = (
        RectangleDetector().predict(image),
        Ensemble([RectangleDetector()] * 3).predict(image),
    )
    assert sorted_boxes(detections) == sorted_boxes(plain)
    assert sorted(detections.scores.tolist()) == pytest.approx(sorted(plain.scores.tolist()))
    with pytest.raises(InputError, match="Ensemble: no predictors"):
        Ensemble([])


def make_wrappers(predictor):
    return [
        Flipped(predictor),
        Ensemble([predictor, predictor]),
        Tiled(predictor, (64, 64), overlap=0.5),
        Flipped(Tiled(Ensemble([predictor]), (64, 48), overlap=0.5)),
    ]


@given(first=separate_rectangles(), second=separate_rectangles())
def test_wrapped_detections_do_not_depend_on_the_batch(first, second):
    images = torch.cat([paint((96, 128), first), paint((96, 128), second)])
    for predictor in make_wrappers(RectangleDetector()):
        for k, detections in enumerate(predictor.predict(images)):
            assert_same_detections(detections, predictor.predict(images[k : k + 1])[0])


def test_wrappers_accept_any_detector():
    ssd = VARIANTS["ssd"]
    detector = ssd.build(ssd.config.model_validate({"backbone": {"base_channel": 4}}), 3).eval()
    wrapped: list[Predictor] = make_wrappers(detector)
    for predictor in wrapped:
        for detections in predictor.predict(torch.rand(2, 3, 96, 80)):
            assert len(detections.scores) > 0
            assert detections.boxes.min() >= 0
            assert detections.boxes[:, 2].max() <= 80
            assert detections.boxes[:, 3].max() <= 96
