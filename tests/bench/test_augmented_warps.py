"""Warps of images: boxes stay on their objects, and label maps on the pixels of theirs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from augmented_samples import WARP, config, samples
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_label_maps import FILL, bounds, masked_split, painted, pieces

from bench.pipeline.augmentation.labelled_image import LabelledImage
from bench.pipeline.augmentation.randomness import randomness_of
from bench.pipeline.augmentation.warp import draw_warp, fit_map, warp, warp_boxes
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import SplitSamples
from bench.pipeline.objects import training_objects
from bench.pipeline.order import Use
from metrics.pixel_labels import IGNORED

# Warps


def brute_force_map(
    label_map: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Each pixel of the canvas has the value of the pixel that contains the point its centre comes from."""
    inverse = np.linalg.inv(matrix)
    canvas = np.full(size, IGNORED, np.uint8)
    for i in range(size[0]):
        for j in range(size[1]):
            u, v, depth = inverse @ [j + 0.5, i + 0.5, 1]
            column, row = math.floor(u / depth), math.floor(v / depth)
            if 0 <= row < label_map.shape[0] and 0 <= column < label_map.shape[1]:
                canvas[i, j] = label_map[row, column]
    return canvas


@pytest.mark.parametrize("seed", range(6))
def test_a_warped_label_map_is_that_of_brute_force(seed):
    image, boxes, labels, label_map = pieces(seed)
    with randomness_of(seed):
        matrix = draw_warp(config(**WARP), (40, 50)) @ fit_map((48, 64), ImageConfig(size=(40, 50)))
    moved = warp(LabelledImage(image, boxes, labels, label_map), matrix, (40, 50), FILL, 0.0, "box")
    assert moved.label_map is not None
    expected = brute_force_map(label_map.numpy(), matrix, (40, 50))
    # A centre exactly between two pixels may be rounded either way.
    assert (moved.label_map.numpy() != expected).mean() < 0.002
    assert len(np.unique(expected)) > 3
    same_value = np.lib.stride_tricks.sliding_window_view(np.pad(expected, 2, mode="edge"), (5, 5))
    flat = same_value.min((2, 3)) == same_value.max((2, 3))
    found = moved.image.permute(1, 2, 0).numpy()[flat].astype(int)
    assert abs(found - painted(expected)[flat]).max() <= 1, "bilinear means of one colour are that colour"


def form(shape: str, box: tuple[int, int, int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
    left, top, right, bottom = box
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    if shape == "box":
        inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    else:
        across = (x - (left + right) / 2) / ((right - left) / 2)
        down = (y - (top + bottom) / 2) / ((bottom - top) / 2)
        inside = across**2 + down**2 <= 1
    return inside.astype(np.uint8)


@pytest.mark.parametrize("shape", ["box", "ellipse"])
@pytest.mark.parametrize("seed", range(12))
def test_the_box_of_a_warped_mask_is_the_warped_box(shape, seed):
    rng = np.random.default_rng(seed)
    left, top = (int(value) for value in rng.integers(30, 70, 2))
    box = (left, top, left + int(rng.integers(20, 60)), top + int(rng.integers(20, 60)))
    size = (150, 160)
    settings = WARP | {"translate": 0.02, "rescale": 0.2}  # the object stays in the canvas
    with randomness_of(seed):
        matrix = draw_warp(config(**settings), (200, 200)) @ fit_map(size, ImageConfig(size=(200, 200)))
    mask = form(shape, box, size)
    image = LabelledImage(
        torch.zeros((3, *size), dtype=torch.uint8),
        torch.tensor([box]).float(),
        torch.zeros(1).long(),
        torch.from_numpy(mask),
    )
    moved = warp(image, matrix, (200, 200), FILL, 0.0, shape)
    assert moved.label_map is not None
    found = bounds(moved.label_map.numpy() == 1)
    # A corner can lie between the centres of pixels; and the warped pixels of the original are up to 2 wide.
    np.testing.assert_allclose(moved.boxes[0].numpy(), found, atol=2.0)
    assert np.abs(moved.boxes[0].numpy() - found).mean() < 1


@given(
    st.floats(-3, 3), st.floats(-0.5, 0.5), st.floats(0.3, 3), st.floats(-1e-3, 1e-3), st.floats(-1e-3, 1e-3)
)
def test_warped_ellipses_are_those_of_many_mapped_points(angle, shear, scale, x_tilt, y_tilt):
    turn = np.array(
        [[math.cos(angle), -math.sin(angle), 7], [math.sin(angle), math.cos(angle), -3], [0, 0, 1]]
    )
    matrix = turn @ np.array([[scale, shear, 0], [0, 1, 0], [x_tilt, y_tilt, 1]])
    boxes = torch.tensor([[10.0, 20, 60, 40], [100, 0, 101, 90]])
    angles = np.linspace(0, 2 * np.pi, 4001)
    for box, found in zip(boxes.numpy(), warp_boxes(boxes, matrix, "ellipse").numpy(), strict=True):
        x = (box[0] + box[2]) / 2 + (box[2] - box[0]) / 2 * np.cos(angles)
        y = (box[1] + box[3]) / 2 + (box[3] - box[1]) / 2 * np.sin(angles)
        mapped = matrix @ np.stack([x, y, np.ones_like(x)])
        points = mapped[:2] / mapped[2]
        np.testing.assert_allclose(found, [*points.min(1), *points.max(1)], rtol=1e-4, atol=2e-3)


def test_a_warp_without_strength_only_fits_the_image():
    still = dict.fromkeys(WARP, 0) | {"warp": 1}
    split = masked_split(3, ((48, 64), (64, 48), (31, 90)))
    image = ImageConfig(size=(64, 96), fill=FILL)
    plain = SplitSamples(split, training_objects(split)[0], image, None, 0, True)
    moved = samples(split, image, True, **still)
    for index in range(3):
        one, other = plain[Use(0, index)], moved[Use(0, index)]
        torch.testing.assert_close(one.boxes, other.boxes, atol=1e-3, rtol=0)
        assert one.label_map is not None
        assert other.label_map is not None
        assert (one.label_map != other.label_map).float().mean() < 0.005
        # Resizing filters edges in another way.
        assert (one.pixels.int() - other.pixels.int()).abs().float().mean() < 3


def test_an_image_that_becomes_much_smaller_is_averaged_and_not_sampled():
    noise = torch.randint(
        0, 256, (3, 320, 320), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    image = LabelledImage(noise, torch.zeros(0, 4), torch.zeros(0).long())
    small = warp(image, fit_map((320, 320), ImageConfig(size=(40, 40))), (40, 40), FILL, 0.0, "box")
    # The mean of 8 x 8 independent values has an eighth of their standard deviation, 74.
    assert small.image.float().std() == pytest.approx(74 / 8, rel=0.1)
