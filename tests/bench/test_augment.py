"""Augmentation moves boxes with their images: painted objects stay in their boxes."""

from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.augment import make_augment
from bench.pipeline.augmentation.randomness import randomness_of
from bench.pipeline.objects import IGNORED_REGION

NOTHING = {"flip": 0, "flip_vertical": 0, "zoom_out": 0, "iou_crop": 0, "photometric": 0}
SETTINGS = {
    "flip": {"flip": 1.0},
    "flip_vertical": {"flip_vertical": 1.0},
    "zoom_out": {"zoom_out": 1.0, "zoom_out_to": 3.0},
    "iou_crop": {"iou_crop": 1.0, "crop_from": 0.3},
    "all": {"flip": 0.5, "flip_vertical": 0.5, "zoom_out": 0.5, "iou_crop": 0.7},
}
BOXES = torch.tensor([[4.0, 6, 20, 30], [30, 10, 52, 22], [12, 34, 40, 46]])
COLORS = (60, 140, 220)


def config(**settings: float) -> AugmentConfig:
    return AugmentConfig.model_validate(NOTHING | settings)


def painted() -> tuple[Tensor, Tensor, Tensor]:
    """A black image of 48x64 with a rectangle of its own grey in each box; labels tell them apart."""
    image = torch.zeros((3, 48, 64), dtype=torch.uint8)
    for (x0, y0, x1, y1), color in zip(BOXES.int().tolist(), COLORS, strict=True):
        image[:, y0:y1, x0:x1] = color
    return image, BOXES.clone(), torch.arange(3)


def extent(image: Tensor, color: int) -> list[float]:
    rows, columns = (image[0] == color).nonzero(as_tuple=True)
    return [columns.min().item(), rows.min().item(), columns.max().item() + 1, rows.max().item() + 1]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("seed", range(25))
def test_image_and_boxes_agree(name, seed):
    augment = make_augment(config(**SETTINGS[name]), fill=0)
    with randomness_of(seed):
        image, boxes, labels, _ = augment.move(*painted())
    height, width = image.shape[-2:]
    assert len(boxes) == len(labels)
    for box, label in zip(boxes.tolist(), labels.tolist(), strict=True):
        assert 0 <= box[0] < box[2] <= width
        assert 0 <= box[1] < box[3] <= height
        assert box == extent(image, COLORS[label])


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("seed", range(5))
def test_ignored_regions_move_with_the_image_and_change_nothing_else(name, seed):
    """A region is the second rectangle; without it the two objects must be where they are with it."""
    augment = make_augment(config(**SETTINGS[name]), fill=0)
    image, boxes, _ = painted()
    labels = torch.tensor([0, IGNORED_REGION, 2])
    with randomness_of(seed):
        moved = augment.move(image, boxes, labels)
    with randomness_of(seed):
        alone = augment.move(image, boxes[[0, 2]], labels[[0, 2]])
    objects = moved.labels >= 0
    assert moved.image.equal(alone.image)
    assert moved.boxes[objects].equal(alone.boxes)
    assert moved.labels[objects].equal(alone.labels)
    regions = moved.boxes[~objects].tolist()
    visible = bool((moved.image[0] == COLORS[1]).any())
    assert regions == ([extent(moved.image, COLORS[1])] if visible else [])


@pytest.mark.parametrize("name", ["flip", "flip_vertical"])
def test_a_flip_twice_is_none(name):
    augment = make_augment(config(**SETTINGS[name]))
    before = painted()
    once = augment.move(*before)
    twice = augment.move(*once)
    assert not torch.equal(once[0], before[0])
    for a, b in zip(twice[:3], before, strict=True):
        assert torch.equal(a, b)


@given(st.lists(st.tuples(*[st.integers(0, 63)] * 2, *[st.integers(0, 47)] * 2), min_size=1, max_size=4))
def test_flipped_boxes_are_mirrored(corners):
    boxes = torch.tensor(
        [[min(a, b), min(c, d), max(a, b) + 1, max(c, d) + 1] for a, b, c, d in corners]
    ).float()
    augment = make_augment(config(flip=1.0))
    _, flipped, *_ = augment.move(
        torch.zeros((3, 48, 64), dtype=torch.uint8), boxes, torch.arange(len(boxes))
    )
    expected = torch.stack([64 - boxes[:, 2], boxes[:, 1], 64 - boxes[:, 0], boxes[:, 3]], 1)
    assert torch.equal(flipped, expected)


def test_zooming_out_keeps_objects_and_enlarges_the_canvas():
    augment = make_augment(config(zoom_out=1.0, zoom_out_to=3.0), fill=9)
    sides = []
    for seed in range(30):
        with randomness_of(seed):
            image, boxes, labels, _ = augment.move(*painted())
        sides.append(image.shape[-1] / 64)
        assert labels.tolist() == [0, 1, 2]
        torch.testing.assert_close(boxes[:, 2:] - boxes[:, :2], BOXES[:, 2:] - BOXES[:, :2])
        if image.shape[-2:] != (48, 64):
            assert 9 in image.unique().tolist()
    assert 1 <= min(sides) < 1.5 < 2.5 < max(sides) <= 3


def test_a_crop_keeps_a_centre_and_drops_objects_whose_centre_is_outside():
    augment = make_augment(config(iou_crop=1.0, crop_from=0.3))
    counts = []
    for seed in range(60):
        with randomness_of(seed):
            image, boxes, labels, _ = augment.move(*painted())
        counts.append(len(labels))
        assert image.shape[-2] >= int(0.3 * 48)
        assert image.shape[-1] >= int(0.3 * 64)
        assert 0.5 <= image.shape[-1] / image.shape[-2] <= 2
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        whole = (BOXES[:, 2:] - BOXES[:, :2]).prod(1)[labels]
        assert (areas >= whole / 4).all(), "a box whose centre is inside keeps at least a quarter"
    assert set(counts) == {1, 2, 3}


def test_an_image_without_objects_is_not_cropped():
    augment = make_augment(config(iou_crop=1.0))
    image = torch.zeros((3, 48, 64), dtype=torch.uint8)
    moved, boxes, labels, _ = augment.move(image, torch.zeros((0, 4)), torch.zeros(0, dtype=torch.int64))
    assert moved.shape == image.shape
    assert boxes.shape == (0, 4)
    assert labels.shape == (0,)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 2)])
def test_fault_29_tiny_images_survive_everything(size):
    augment = make_augment(config(flip=1, flip_vertical=1, zoom_out=1, iou_crop=1, photometric=1))
    box = torch.tensor([[0.0, 0, size[1], size[0]]])
    for seed in range(10):
        with randomness_of(seed):
            image, boxes, *_ = augment.move(
                torch.zeros((3, *size), dtype=torch.uint8), box, torch.zeros(1).long()
            )
            recolored = augment.recolor(image)
        assert min(image.shape) >= 1
        assert recolored.shape == image.shape
        assert len(boxes) == 1


def test_colours_change_only_if_set_and_stay_uint8():
    image, _, _ = painted()
    assert make_augment(config()).recolor(image) is image
    augment = make_augment(config(photometric=1.0, strength=0.5, hue=0.1))
    with randomness_of(0):
        changed = augment.recolor(image)
    assert changed.dtype == torch.uint8
    assert changed.shape == image.shape
    assert not torch.equal(changed, image)


def test_more_strength_changes_more():
    image = torch.randint(0, 256, (3, 48, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    def change(strength: float) -> float:
        augment = make_augment(config(photometric=1.0, strength=strength))
        total = 0.0
        for seed in range(20):
            with randomness_of(seed):
                total += (augment.recolor(image).float() - image.float()).abs().mean().item()
        return total / 20

    assert change(0.05) < change(0.2) < change(0.6)


def test_boxes_that_became_too_small_are_no_targets():
    augment = make_augment(config(min_side=4.0))
    boxes = torch.tensor([[0.0, 0, 3.9, 10], [0, 0, 4, 4], [5, 5, 50, 8]])
    kept, labels = augment.sanitize(boxes, torch.arange(3))
    assert kept.tolist() == [[0, 0, 4, 4]]
    assert labels.tolist() == [1]


def test_randomness_of_a_seed_is_its_own():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with randomness_of(7):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with randomness_of(7):
        assert torch.equal(torch.rand(3), inside)


def test_randomness_is_restored_after_an_error():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="inside"), randomness_of(1):
        _draw_and_fail()
    assert torch.equal(before, torch.get_rng_state())


def _draw_and_fail() -> None:
    torch.rand(1)
    raise RuntimeError("inside")


def test_probabilities_are_kept():
    augment = make_augment(config(flip=0.3))
    image, boxes, labels = painted()
    flipped = 0
    for seed in range(400):
        with randomness_of(seed):
            flipped += not torch.equal(augment.move(image, boxes, labels)[1], boxes)
    assert flipped / 400 == pytest.approx(0.3, abs=0.07)  # three standard deviations


@pytest.mark.parametrize(
    "wrong", [{"flip": 1.5}, {"flip": -0.1}, {"zoom_out_to": 0.5}, {"hue": 0.7}, {"min_side": 0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        AugmentConfig(**wrong)


def test_all_of_it_takes_less_than_a_millisecond():
    augment = make_augment(AugmentConfig())
    image, boxes, labels = painted()
    times = []
    for seed in range(200):
        start = time.process_time()
        with randomness_of(seed):
            augment.recolor(augment.move(image, boxes, labels)[0])
        times.append(time.process_time() - start)
    assert sorted(times)[100] < 5e-3  # measured: 0.3 ms
