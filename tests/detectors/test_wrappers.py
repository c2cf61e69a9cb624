"""Predictors made of predictors, around one whose answer is known: it finds painted rectangles."""

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


class Painted:
    """Finds every rectangle, each painted in a grey of its own, by that grey; and notes what it was shown."""

    def __init__(self) -> None:
        self.shown = []

    def predict(self, images):
        self.shown.append(tuple(images.shape))
        return [self.one((image[0] * 100).round().long()) for image in images]

    def one(self, image):
        boxes, scores, labels = [], [], []
        for grey in image.unique().tolist():
            if grey:
                y, x = (image == grey).nonzero(as_tuple=True)
                boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
                scores.append(grey / 100)
                labels.append(grey % 3)
        return Detections(
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.tensor(scores),
            torch.tensor(labels).long(),
        )


def painted(size, rectangles):
    image = torch.zeros(1, 3, *size)
    for number, (x, y, w, h) in enumerate(rectangles, start=1):
        image[:, :, y : y + h, x : x + w] = (40 + number) / 100
    return image


def boxes(detections):
    return sorted(tuple(box) for box in detections.boxes.tolist())


def expected(rectangles):
    return sorted((x, y, x + w, y + h) for x, y, w, h in rectangles)


@st.composite
def apart(draw, most=15):
    """Up to nine rectangles in an image of 96 x 128, one in each cell of a grid, of sides up to `most`."""
    cells = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), unique=True, max_size=9))
    rectangles = []
    for row, column in cells:
        w, h = draw(st.integers(2, most)), draw(st.integers(2, most))
        x = 32 * column + draw(st.integers(0, 31 - w))
        y = 32 * row + draw(st.integers(0, 31 - h))
        rectangles.append((x, y, w, h))
    return rectangles


@given(rectangles=apart(), tile=st.sampled_from([(32, 32), (48, 40), (96, 33), (200, 50)]))
def test_tiles_find_what_the_whole_finds_where_objects_fit_into_the_overlap(rectangles, tile):
    """Half of 32 pixels, less twice a hundredth: all rectangles lie whole in some tile."""
    image = painted((96, 128), rectangles)
    (found,) = Tiled(Painted(), tile, overlap=0.5, whole=False).predict(image)
    assert boxes(found) == expected(rectangles)
    assert (found.scores.diff() <= 0).all()


@pytest.mark.parametrize("size", [(96, 128), (97, 131), (200, 64)])
def test_an_object_larger_than_any_tile_is_found_in_the_whole_image(size):
    """Shrunk, its rim blurs over a pixel, which is `size` / 48 or / 64 of them in the image."""
    image = painted(size, [(4, 6, 56, 80)])
    predictor = Painted()
    predictor.one = lambda greys: Painted.one(predictor, torch.where(greys == 41, greys, 0))
    (found,) = Tiled(predictor, (48, 64), overlap=0.5).predict(image)
    assert len(found.scores) == 1
    assert found.boxes[0].tolist() == pytest.approx([4, 6, 60, 86], abs=2 * max(size[0] / 48, size[1] / 64))
    assert not len(Tiled(predictor, (48, 64), overlap=0.5, whole=False).predict(image)[0].scores)


def test_an_object_across_every_border_is_found_once():
    (found,) = Tiled(Painted(), (40, 40), overlap=0.5, whole=False).predict(
        painted((80, 80), [(30, 30, 16, 17)])
    )
    assert boxes(found) == [(30, 30, 46, 47)]


def test_what_ends_at_the_images_own_border_stays():
    (found,) = Tiled(Painted(), (40, 40), overlap=0.5, whole=False).predict(
        painted((80, 80), [(0, 0, 9, 9), (71, 70, 9, 10)])
    )
    assert boxes(found) == [(0, 0, 9, 9), (71, 70, 80, 80)]


def test_a_small_image_is_looked_at_as_it_is():
    predictor = Painted()
    Tiled(predictor, (100, 100)).predict(torch.zeros(2, 3, 90, 100))
    assert predictor.shown == [(2, 3, 90, 100)]


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    tile=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    overlap=st.sampled_from([0.0, 0.25, 0.5]),
)
def test_tiles_cover_every_pixel_and_are_no_larger_than_asked(size, tile, overlap):
    seen = torch.zeros(size, dtype=torch.bool)
    where = torch.arange(size[0] * size[1]).reshape(1, 1, *size).float().expand(1, 3, -1, -1)

    class Seeing(Painted):
        def predict(self, images):
            seen.view(-1)[images[0, 0].long().flatten()] = True
            assert images.shape[2] <= max(tile[0], size[0] if size[0] <= tile[0] else 0)
            assert images.shape[3] <= max(tile[1], size[1] if size[1] <= tile[1] else 0)
            return [Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))]

    Tiled(Seeing(), tile, overlap, whole=False).predict(where)
    assert seen.all()


@pytest.mark.parametrize(("tile", "overlap"), [((0, 5), 0.2), ((5, 5), 1.0), ((5, 5), -0.1)])
def test_tiles_that_cannot_be_are_told(tile, overlap):
    with pytest.raises(InputError, match="expected sides from 1 on and an overlap in"):
        Tiled(Painted(), tile, overlap)


@given(rectangles=apart(most=31))
def test_the_mirror_image_says_the_same(rectangles):
    image = painted((96, 128), rectangles)
    (plain,), (found,) = Painted().predict(image), Flipped(Painted()).predict(image)
    assert boxes(found) == boxes(plain)
    assert sorted(found.scores.tolist()) == pytest.approx(sorted(plain.scores.tolist()))
    assert sorted(found.labels.tolist()) == sorted(plain.labels.tolist())


def test_a_predictor_that_only_sees_the_left_half_is_half_as_sure_with_its_mirror():
    class Left(Painted):
        def predict(self, images):
            return super().predict(torch.where(torch.arange(images.shape[3]) < 64, images, 0.0))

    (found,) = Flipped(Left()).predict(painted((96, 128), [(10, 10, 20, 20), (90, 50, 20, 30)]))
    assert boxes(found) == [(10, 10, 30, 30), (90, 50, 110, 80)]
    assert found.scores.tolist() == pytest.approx([0.42 / 2, 0.41 / 2])


def test_an_ensemble_of_one_three_times_over_is_that_one():
    image = painted((96, 128), [(10, 10, 20, 20), (90, 50, 20, 30)])
    (plain,), (found,) = Painted().predict(image), Ensemble([Painted()] * 3).predict(image)
    assert boxes(found) == boxes(plain)
    assert sorted(found.scores.tolist()) == pytest.approx(sorted(plain.scores.tolist()))
    with pytest.raises(InputError, match="Ensemble: no predictors"):
        Ensemble([])


def every_wrapper(predictor):
    return [
        Flipped(predictor),
        Ensemble([predictor, predictor]),
        Tiled(predictor, (64, 64), overlap=0.5),
        Flipped(Tiled(Ensemble([predictor]), (64, 48), overlap=0.5)),
    ]


@given(first=apart(), second=apart())
def test_wrappers_treat_each_image_of_a_batch_alone(first, second):
    images = torch.cat([painted((96, 128), first), painted((96, 128), second)])
    for predictor in every_wrapper(Painted()):
        together = predictor.predict(images)
        for k, found in enumerate(together):
            assert_same_detections(found, predictor.predict(images[k : k + 1])[0])


def test_wrappers_are_predictors_around_any_detector():
    ssd = VARIANTS["ssd"]
    detector = ssd.build(ssd.config.model_validate({"backbone": {"base_channel": 4}}), 3).eval()
    wrapped: list[Predictor] = every_wrapper(detector)
    for predictor in wrapped:
        for found in predictor.predict(torch.rand(2, 3, 96, 80)):
            assert len(found.scores) > 0
            assert found.boxes.min() >= 0
            assert found.boxes[:, 2].max() <= 80
            assert found.boxes[:, 3].max() <= 96
