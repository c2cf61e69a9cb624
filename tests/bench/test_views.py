"""Zooming out, crops and flips that are decided first and resized at once show what they show one after another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.augment import make_augment
from bench.pipeline.augmentation.labelled_image import LabelledImage
from bench.pipeline.augmentation.randomness import randomness_of
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.placement import fit_image
from bench.pipeline.view import View

NOTHING = {"flip": 0, "flip_vertical": 0, "zoom_out": 0, "iou_crop": 0, "photometric": 0}
INPUTS = [
    ImageConfig(size=(40, 40)),
    ImageConfig(size=(96, 64), fill=7),
    ImageConfig(size=(40, 56), resize="stretch"),
]
BOX = (9.0, 6.0, 39.0, 38.0)


def config(**settings: float) -> AugmentConfig:
    return AugmentConfig.model_validate(NOTHING | settings)


def noisy(planar: bool) -> LabelledImage:
    """An image of 45x62 with two boxes and a label map, with adjacent channels or adjacent columns."""
    random = np.random.default_rng(0)
    pixels = torch.from_numpy(random.integers(0, 256, (45, 62, 3), dtype=np.uint8)).permute(2, 0, 1)
    boxes = torch.tensor([BOX, (30.0, 20.0, 60.0, 44.0)])
    label_map = torch.from_numpy(random.integers(0, 4, (45, 62), dtype=np.uint8))
    return LabelledImage(pixels.contiguous() if planar else pixels, boxes, torch.tensor([0, 1]), label_map)


@pytest.mark.parametrize("image", INPUTS)
@pytest.mark.parametrize("planar", [True, False])
def test_crops_and_flips_are_those_of_the_original_image(image, planar):
    augment = make_augment(config(flip=0.5, flip_vertical=0.5, iou_crop=0.7, crop_from=0.3), image.fill)
    for seed in range(20):
        original = noisy(planar)
        with randomness_of(seed):
            expected = fit_image(image, 3, *augment.move(*original))
        with randomness_of(seed):
            sample = augment.fit(image, 3, original)
        # Resizing rounds to whole numbers in another order where it is flipped.
        assert (sample.pixels.int() - expected.pixels.int()).abs().max() <= 1
        assert torch.equal(sample.boxes, expected.boxes)
        assert torch.equal(sample.labels, expected.labels)
        assert sample.label_map is not None
        assert expected.label_map is not None
        assert torch.equal(sample.label_map, expected.label_map)
        assert sample[3:7] == expected[3:7]


@pytest.mark.parametrize("image", INPUTS)
def test_boxes_of_images_that_are_zoomed_out_move_by_less_than_a_pixel(image):
    augment = make_augment(config(flip=0.5, zoom_out=1.0, zoom_out_to=3.0, iou_crop=0.5), image.fill)
    for seed in range(40):
        with randomness_of(seed):
            expected = fit_image(image, 0, *augment.move(*noisy(False)))
        with randomness_of(seed):
            sample = augment.fit(image, 0, noisy(False))
        assert torch.equal(sample.labels, expected.labels)
        assert (sample.boxes - expected.boxes).abs().max() <= 0.51  # half a pixel of rounding
        assert sample[4:7] == expected[4:7]


def white_object() -> LabelledImage:
    """A white rectangle in a black image, and in its label map."""
    pixels, label_map = torch.zeros((45, 62, 3), dtype=torch.uint8), torch.zeros((45, 62), dtype=torch.uint8)
    left, top, right, bottom = map(int, BOX)
    pixels[top:bottom, left:right] = 255
    label_map[top:bottom, left:right] = 1
    return LabelledImage(pixels.permute(2, 0, 1), torch.tensor([BOX]), torch.zeros(1).long(), label_map)


def extent(shown: Tensor) -> list[int]:
    rows, columns = shown.nonzero(as_tuple=True)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


@pytest.mark.parametrize("image", [one.model_copy(update={"fill": 0}) for one in INPUTS])
def test_a_painted_object_is_in_its_box_and_in_its_label_map(image):
    augment = make_augment(
        config(flip=0.5, flip_vertical=0.5, zoom_out=0.7, zoom_out_to=2.5, iou_crop=0.7), 0
    )
    for seed in range(60):
        with randomness_of(seed):
            sample = augment.fit(image, 0, white_object())
        box = sample.boxes[0].tolist()
        assert sample.label_map is not None
        # Half a pixel where an edge falls within one.
        assert extent(sample.pixels[0] > 127) == pytest.approx(box, abs=0.6)
        assert extent(sample.label_map == 1) == pytest.approx(box, abs=0.6)


@pytest.mark.parametrize("seed", range(12))
def test_the_random_numbers_are_torchvisions(seed):
    original = noisy(False)
    changes = [v2.RandomZoomOut(9, (1.0, 3.0), 0.6), v2.RandomHorizontalFlip(0.5), v2.RandomVerticalFlip(0.4)]
    boxes = tv_tensors.BoundingBoxes(original.boxes, format="XYXY", canvas_size=original.size)
    with randomness_of(seed):
        image, boxes = v2.Compose(changes)(tv_tensors.Image(original.image), boxes)
    augment = make_augment(config(zoom_out=0.6, zoom_out_to=3.0, flip=0.5, flip_vertical=0.4), 9)
    with randomness_of(seed):
        moved = augment.move(*original)
    assert torch.equal(moved.image, image.as_subclass(Tensor))
    assert torch.equal(moved.boxes, boxes.as_subclass(Tensor))


@pytest.mark.parametrize("left", [-4, 0, 3])
@pytest.mark.parametrize("width", [3, 6, 12])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_view_shows_the_pixels_at_its_coordinates(left, width, mirrored):
    pixels = torch.arange(6)[None].expand(2, 6).contiguous()
    if left + width <= 0:
        return
    shown = View(left, 0, width, 2, mirrored).show(pixels, -1)
    expected = [x if 0 <= x < 6 else -1 for x in range(left, left + width)]
    assert shown[1].tolist() == (expected[::-1] if mirrored else expected)
