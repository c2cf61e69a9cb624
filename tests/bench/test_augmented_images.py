"""Augmentation with several images, and its warps: objects stay in their boxes, and on the pixels of their label maps."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion
from test_label_maps import COLORS, FILL, bounds, masked_split, painted, pieces
from tiny_data import split_of

from bench.data.types import Split
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.augment import make_augment
from bench.pipeline.augmentation.copy_paste import cut_object, paste, paste_weights
from bench.pipeline.augmentation.erasing import erase
from bench.pipeline.augmentation.labelled_image import LabelledImage
from bench.pipeline.augmentation.mixup import blend
from bench.pipeline.augmentation.mosaic import make_mosaic
from bench.pipeline.augmentation.randomness import randomness_of
from bench.pipeline.augmentation.warp import draw_warp, fit_map, warp, warp_boxes
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import SplitSamples, make_loader
from bench.pipeline.objects import IGNORED_REGION, training_objects
from bench.pipeline.order import Use
from bench.pipeline.placement import Sample
from bench.settings.sections import TrainConfig
from bench.training.checkpoint import Position
from bench.training.length import training_length
from metrics.errors import InputError
from metrics.pixel_labels import IGNORED

NOTHING = {"flip": 0, "zoom_out": 0, "iou_crop": 0, "photometric": 0}
WARP = {"warp": 1.0, "rotate": 40.0, "shear": 12.0, "translate": 0.2, "rescale": 0.6, "perspective": 0.4}
EVERYTHING: dict[str, Any] = {
    "flip": 0.5,
    "zoom_out": 0.3,
    "iou_crop": 0.3,
    "photometric": 0.5,
    "mosaic": 0.5,
    "mixup": 0.4,
    "copy_paste": 0.6,
    "erase": 0.4,
    "equalize": 0.3,
    "gray": 0.2,
    "blur": 0.3,
    "noise": 0.3,
    "jpeg": 0.3,
} | WARP
ALONE: dict[str, dict[str, Any]] = {
    "mosaic": {"mosaic": 1},
    "mixup": {"mixup": 1},
    "copy_paste": {"copy_paste": 1, "paste_count": 4},
    "warp": WARP,
    "erase": {"erase": 1, "erase_count": 3, "erase_area": 0.3},
    "quality": {"equalize": 0.5, "gray": 0.5, "blur": 0.5, "noise": 0.5, "jpeg": 0.5},
    "everything": EVERYTHING,
}


def config(**changes: Any) -> AugmentConfig:
    return AugmentConfig.model_validate(NOTHING | changes)


def samples(split: Split, image: ImageConfig, label_maps: bool = False, **changes: Any) -> SplitSamples:
    augment = make_augment(config(**changes), image.fill)
    return SplitSamples(split, training_objects(split)[0], image, augment, 0, label_maps)


def same(one: Sample, other: Sample) -> bool:
    tensors = zip(one[:3], other[:3], strict=True)
    return all(torch.equal(a, b) for a, b in tensors)  # type: ignore[arg-type]


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


# Mosaic and MixUp


def quarter_image(label: int, size: tuple[int, int] = (40, 60)) -> LabelledImage:
    """An image in one colour, with one object that fills it and is marked in the label map."""
    color = torch.from_numpy(COLORS[label + 1].copy())
    image = color[:, None, None].expand(3, *size).contiguous()
    box = torch.tensor([[0.0, 0, size[1], size[0]]])
    return LabelledImage(image, box, torch.tensor([label]), torch.full(size, label + 1).to(torch.uint8))


@pytest.mark.parametrize("seed", range(20))
def test_a_mosaic_shows_each_image_in_its_quarter_around_one_point(seed):
    size = (int(50 + seed), 72)
    with randomness_of(seed):
        whole = make_mosaic([quarter_image(k) for k in range(4)], ImageConfig(size=size, fill=FILL), 0.4, 0.0)
    assert whole.size == size
    assert whole.label_map is not None
    assert whole.labels.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(whole.image.permute(1, 2, 0).numpy(), painted(whole.label_map.numpy()))
    for box, label in zip(whole.boxes.tolist(), whole.labels.tolist(), strict=True):
        assert box == bounds(whole.label_map.numpy() == label + 1)
    left_top, right_top, left_bottom, right_bottom = whole.boxes.tolist()
    x, y = left_top[2:]
    assert (right_top[0], right_top[3]) == (x, y)
    assert (left_bottom[1], left_bottom[2]) == (y, x)
    assert right_bottom[:2] == [x, y]
    assert 0.19 * 72 <= x <= 0.81 * 72
    assert 0.19 * size[0] <= y <= 0.81 * size[0]


def test_an_object_of_a_mosaic_is_kept_ignored_or_outside_its_quarter():
    """Objects are conserved: counted with a mosaic of the same draws in which each object is as small as a point."""
    split = masked_split(8)
    read = samples(split, ImageConfig(size=(64, 64)), True).read
    kept = ignored = 0
    for seed in range(30):
        images = [read((seed + k) % 8) for k in range(4)]
        with randomness_of(seed):
            whole = make_mosaic(images, ImageConfig(size=(64, 64)), 0.5, 0.5)
        assert whole.label_map is not None
        for label in range(4):
            boxes = whole.boxes[whole.labels == label]
            pixels = int((whole.label_map == label + 1).sum())
            # A rhombus covers at least half of what is left of its box.
            assert len(boxes) <= 4
            assert pixels > 0 or len(boxes) == 0
        kept += int((whole.labels >= 0).sum())
        ignored += int((whole.labels == IGNORED_REGION).sum())
        with randomness_of(seed):
            tolerant = make_mosaic(images, ImageConfig(size=(64, 64)), 0.5, 0.0)
        assert len(tolerant.labels) == len(whole.labels), "whatever is visible is an object or ignored"
        assert (tolerant.labels >= 0).all()
        assert torch.equal(tolerant.boxes, whole.boxes)
    assert kept > 100
    assert ignored > 10


def test_a_mosaic_without_scaling_down_hides_nothing_of_images_that_fit():
    """Four images of half the input's size: whatever the point, each object is whole, cut, or outside by the geometry."""
    tiny = [quarter_image(k, (8, 8)) for k in range(4)]
    with randomness_of(0):
        whole = make_mosaic(tiny, ImageConfig(size=(64, 64), fill=FILL), 0.15, 0.0)
    assert len(whole.labels) == 4


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 1.0])
def test_a_blend_is_the_weighted_mean_with_the_objects_of_both(weight):
    first, second = (LabelledImage(*pieces(seed)) for seed in (0, 1))
    mixed = blend(first, second, weight)
    expected = weight * first.image.double() + (1 - weight) * second.image.double()
    assert (mixed.image.double() - expected).abs().max() <= 0.5 + 1e-9
    assert torch.equal(mixed.boxes, torch.cat([first.boxes, second.boxes]))
    assert mixed.labels.tolist() == [0, 1, 2, 3] * 2
    assert first.label_map is not None
    assert second.label_map is not None
    assert mixed.label_map is not None
    for one, other, value in zip(
        *(m.flatten().tolist() for m in (first.label_map, second.label_map, mixed.label_map)), strict=True
    ):
        assert value == (max(one, other) if 0 in (one, other) or one == other else IGNORED)


def test_mixup_keeps_all_objects_of_both_images(masked):
    augmented = samples(masked, ImageConfig(size=(48, 64)), mixup=1)
    for index in range(6):
        assert len(augmented[Use(0, index)].labels) == 8


@pytest.fixture(scope="module")
def masked() -> Split:
    return masked_split(6)


# Copy-paste


def uneven_split() -> Split:
    """Nine large objects of a frequent class, one small one of it, and one of a rare class."""
    images, objects = [], []
    for k in range(9):
        image = np.full((60, 60, 3), 50 + k, np.uint8)
        objects.append([(0, (0.0, 0.0, 32.0, 32.0))])
        images.append(image)
    objects[4].append((0, (40.0, 40.0, 44.0, 44.0)))
    objects[7].append((1, (36.0, 4.0, 52.0, 20.0)))
    return split_of(images, objects)


def test_rare_classes_and_small_objects_are_pasted_first():
    split = uneven_split()
    objects, _ = training_objects(split)
    weights = paste_weights(objects)
    # Inverse of count and side: 1 / (10 * 32), 1 / (10 * 4), 1 / (1 * 16).
    by_kind = {(0, 32): 1 / 320, (0, 4): 1 / 40, (1, 16): 1 / 16}
    raw = [
        by_kind[int(label), int(box[2] - box[0])]
        for label, box in zip(objects.labels, objects.boxes, strict=True)
    ]
    np.testing.assert_allclose(weights, np.array(raw) / sum(raw))
    image = ImageConfig(size=(240, 240))
    augmented = samples(split, image, copy_paste=1, paste_count=1, min_visible=0)
    counts = {"large": 0, "small": 0, "rare": 0}
    for epoch in range(40):
        for index in (0, 1, 2):
            sample = augmented[Use(epoch, index)]
            for box, label in zip(sample.boxes[1:].tolist(), sample.labels[1:].tolist(), strict=True):
                counts["rare" if label else "small" if box[2] - box[0] < 40 else "large"] += 1
    total = sum(counts.values())
    expected = {"large": 9 / 320, "small": 1 / 40, "rare": 1 / 16}
    assert total > 100
    for kind, weight in expected.items():
        share = weight / sum(expected.values())
        # Four standard deviations; large objects do not always find a place.
        assert counts[kind] / total == pytest.approx(share, abs=4 * math.sqrt(share / total) + 0.03)


def test_pasted_objects_lie_in_their_boxes_by_their_masks():
    split = masked_split(6)
    image = ImageConfig(size=(96, 128), fill=FILL)
    augmented = samples(split, image, True, copy_paste=1, paste_count=4, min_visible=0)
    pasted = 0
    for epoch in range(6):
        for index in range(6):
            sample = augmented[Use(epoch, index)]
            assert sample.label_map is not None
            label_map = sample.label_map.numpy()
            edges = np.lib.stride_tricks.sliding_window_view(np.pad(label_map, 3, mode="edge"), (7, 7))
            flat = edges.min((2, 3)) == edges.max((2, 3))
            found = sample.pixels.permute(1, 2, 0).numpy()[flat].astype(int)
            # Tips of rhombi that are thinner than a pixel are faint, and not in the label map.
            assert (np.abs(found - painted(label_map)[flat].astype(int)) > 1).mean() < 0.01
            last = sample.boxes[-1].tolist()
            if len(sample.labels) > 4:
                pasted += 1
                inside = label_map[round(last[1]) : round(last[3]), round(last[0]) : round(last[2])]
                own = bounds(inside == int(sample.labels[-1]) + 1)
                sides = [last[2] - last[0], last[3] - last[1]]
                # The last object lies over all others.
                np.testing.assert_allclose([own[2] - own[0], own[3] - own[1]], sides, atol=2)
    assert pasted > 15


def wedge() -> LabelledImage:
    """A triangle in a box of 12 x 20 pixels that is not symmetric, of class 1."""
    label_map = np.zeros((30, 40), np.uint8)
    for row in range(12):
        label_map[10 + row, 10 : 11 + row * 20 // 12] = 2
    image = torch.from_numpy(painted(label_map)).permute(2, 0, 1)
    box = torch.tensor([bounds(label_map == 2)]).float()
    return LabelledImage(image, box, torch.tensor([1]), torch.from_numpy(label_map))


@pytest.mark.parametrize("seed", range(12))
def test_flipped_objects_are_pasted_with_their_flipped_masks(seed):
    source = wedge()
    empty = torch.zeros((60, 80), dtype=torch.uint8)
    image = LabelledImage(
        torch.from_numpy(painted(empty.numpy())).permute(2, 0, 1),
        torch.zeros(0, 4),
        torch.zeros(0).long(),
        empty,
    )
    cutting = cut_object(source, 0, source.label_map)
    with randomness_of(seed):
        pasted = paste(image, [cutting], [(1.5, 1.5)], (0, 0, 80, 60), True, 0.25)
    assert pasted.label_map is not None
    assert pasted.labels.tolist() == [1]
    object_pixels = (pasted.label_map == 2).numpy()
    np.testing.assert_allclose(bounds(object_pixels), pasted.boxes[0].numpy(), atol=1.01)
    # Half-transparent pixels are only along the edge.
    inner = binary_erosion(object_pixels, iterations=2)
    outer = ~binary_dilation(object_pixels, iterations=2)
    colors = pasted.image.permute(1, 2, 0).numpy().astype(int)
    assert inner.sum() > 30
    assert np.abs(colors[inner] - COLORS[2]).max() <= 8  # of 150
    assert np.abs(colors[outer] - COLORS[0]).max() <= 8


def test_objects_are_ignored_where_pasted_ones_hide_more_than_they_may():
    source = wedge()
    hidden_shares = []
    for seed in range(60):
        label_map = torch.full((40, 40), 1, dtype=torch.uint8)
        boxes = torch.tensor([[0.0, 0, 20, 40], [20, 0, 40, 40]])
        image = LabelledImage(
            torch.zeros((3, 40, 40), dtype=torch.uint8), boxes, torch.tensor([0, 2]), label_map
        )
        with randomness_of(seed):
            pasted = paste(
                image, [cut_object(source, 0, source.label_map)], [(1, 1)], (0, 0, 40, 40), True, 0.95
            )
        assert pasted.label_map is not None
        covered = (pasted.label_map == 2).numpy()
        shares = [covered[:, :20].mean(), covered[:, 20:].mean()]
        expected = [
            IGNORED_REGION if share > 0.05 else label for share, label in zip(shares, (0, 2), strict=True)
        ]
        assert pasted.labels[:2].tolist() == expected
        hidden_shares += shares
    assert 0 < sum(share > 0.05 for share in hidden_shares) < 120


def test_masks_of_the_data_set_are_used_by_variants_that_learn_from_boxes():
    split = masked_split(6)
    image = ImageConfig(size=(96, 128), fill=FILL)
    settings = {"copy_paste": 1, "paste_count": 4}
    with_maps, alone = (samples(split, image, maps, **settings) for maps in (True, False))
    for index in range(6):
        assert same(with_maps[Use(0, index)], alone[Use(0, index)])
    boxes_only = samples(replace(split, label_maps=None), image, **settings)
    assert any(not same(boxes_only[Use(0, index)], alone[Use(0, index)]) for index in range(6))


# Erasing


def test_objects_are_ignored_where_more_than_their_visible_share_is_erased():
    for seed in range(40):
        image = LabelledImage(*pieces(seed))
        with randomness_of(seed):
            erased = erase(image, 2, 0.3, 0.4)
        assert erased.label_map is not None
        assert image.label_map is not None
        hidden = (erased.label_map == IGNORED).numpy()
        assert hidden.any()
        assert torch.equal(erased.image[:, ~hidden], image.image[:, ~hidden])
        assert torch.equal(erased.label_map[~hidden], image.label_map[~hidden])
        for (left, top, right, bottom), label, before in zip(
            image.boxes.int().tolist(), erased.labels.tolist(), image.labels.tolist(), strict=True
        ):
            share = hidden[top:bottom, left:right].mean()
            assert label == (IGNORED_REGION if share > 0.6 else before)


# All of them


@pytest.mark.parametrize("name", ALONE)
def test_boxes_are_within_the_input_and_label_maps_have_its_size(name, masked):
    image = ImageConfig(size=(40, 56), fill=FILL)
    augmented = samples(masked, image, True, **ALONE[name])
    for epoch in range(4):
        for index in range(6):
            sample = augmented[Use(epoch, index)]
            assert sample.pixels.shape == (3, 40, 56)
            assert sample.pixels.dtype == torch.uint8
            assert sample.label_map is not None
            assert sample.label_map.shape == (40, 56)
            assert set(sample.label_map.unique().tolist()) <= {0, 1, 2, 3, 4, IGNORED}
            assert set(sample.labels.tolist()) <= {IGNORED_REGION, 0, 1, 2, 3}
            assert (sample.boxes >= 0).all()
            assert (sample.boxes <= torch.tensor([56.0, 40, 56, 40])).all()
            assert (sample.boxes[:, 2:] - sample.boxes[:, :2] >= 2).all()


@pytest.mark.parametrize("name", ALONE)
def test_a_label_map_changes_neither_pixels_nor_boxes(name, masked):
    image = ImageConfig(size=(40, 56))
    with_maps, alone = (samples(masked, image, maps, **ALONE[name]) for maps in (True, False))
    for index in range(6):
        assert same(with_maps[Use(1, index)], alone[Use(1, index)])


sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))


@st.composite
def tiny_splits(draw: st.DrawFn) -> Split:
    """One to three images of a few pixels, with at most three objects of any position and size."""
    images, objects = [], []
    for height, width in draw(st.lists(sizes, min_size=1, max_size=3)):
        images.append(np.full((height, width, 3), draw(st.integers(0, 255)), np.uint8))
        found = []
        for _ in range(draw(st.integers(0, 3))):
            left, right = sorted(draw(st.tuples(st.floats(0, width), st.floats(0, width))))
            top, bottom = sorted(draw(st.tuples(st.floats(0, height), st.floats(0, height))))
            found.append((draw(st.integers(0, 1)), (left, top, right, bottom)))
        objects.append(found)
    return split_of(images, objects)


@settings(max_examples=40)
@given(
    tiny_splits(),
    st.tuples(st.integers(8, 20), st.integers(8, 20)),
    st.sampled_from(["letterbox", "stretch"]),
    st.integers(0, 1000),
)
def test_fault_29_any_tiny_images_are_augmented(split, size, resize, epoch):
    image = ImageConfig(size=size, resize=resize)
    augmented = samples(split, image, **EVERYTHING, min_side=1)
    for index in range(len(split)):
        sample = augmented[Use(epoch, index)]
        assert sample.pixels.shape == (3, *size)
        assert len(sample.boxes) == len(sample.labels)
        assert (sample.boxes >= 0).all()
        assert (sample.boxes <= torch.tensor([size[1], size[0]] * 2)).all()
        assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
        assert same(sample, augmented[Use(epoch, index)])


def contents(
    split: Split, batch_size: int, workers: int, start: tuple[int, int] = (0, 0)
) -> dict[Any, bytes]:
    """Pixels and boxes of every image in two epochs, from a batch on."""
    loader = make_loader(
        split,
        ImageConfig(size=(40, 56)),
        config(**EVERYTHING),
        batch_size,
        5,
        workers,
        shuffle=True,
    )
    loader.close_mosaic_when(lambda epoch, batch: epoch == 1)
    loader.state = start
    found = {}
    for epoch in range(start[0], 2):
        for batch in loader:
            for k, index in enumerate(batch.index.tolist()):
                boxes = batch.targets[k].boxes.numpy().tobytes()
                found[epoch, index] = batch.images[k].numpy().tobytes() + boxes
    return found


def test_an_augmented_image_depends_on_seed_epoch_and_image_alone(masked):
    whole = contents(masked, 6, 0)
    assert len(whole) == 12
    assert contents(masked, 4, 0) == whole
    assert contents(masked, 4, 2) == whole
    resumed = contents(masked, 4, 0, start=(0, 1))
    assert len(resumed) == 8
    assert resumed.items() <= whole.items()
    assert len({whole[epoch, index] for epoch in range(2) for index in range(6)}) == 12


def test_closing_batches_have_no_images_of_several_images(masked):
    image = ImageConfig(size=(48, 64))
    for change in ("mosaic", "mixup", "copy_paste"):
        plain = samples(masked, image)
        changed = samples(masked, image, **{change: 1})
        for alone in (False, True):
            uses = [Use(0, k, alone=alone) for k in range(6)]
            pixels = [(plain[use].pixels, changed[use].pixels) for use in uses]
            assert any(not torch.equal(*pair) for pair in pixels) != alone


@pytest.mark.parametrize(
    ("epochs", "share", "mixed"), [(10, 0.1, 9), (20, 0.25, 15), (1, 0.1, 1), (4, 1.0, 0)]
)
def test_close_mosaic_is_a_share_of_the_epochs(masked, epochs, share, mixed):
    settings = config(mixup=1, close_mosaic=share)
    loader = make_loader(masked, ImageConfig(size=(48, 64)), settings, 6, workers=0)
    length = training_length(TrainConfig(epochs=epochs), share, loader.batch_images, 1)
    loader.close_mosaic_when(lambda epoch, batch: length.is_closing(epoch, batch, Position()))
    counts = [
        sum(len(targets.labels) for batch in loader for targets in batch.targets) for _ in range(epochs)
    ]
    assert counts == [48] * mixed + [24] * (epochs - mixed)


def test_a_partner_that_cannot_be_read_is_the_same_error(masked):
    def load(index: int) -> NDArray[np.uint8]:
        if index == 3:
            raise InputError("c.png: truncated")
        return masked.load(index)

    augmented = samples(replace(masked, load=load), ImageConfig(size=(48, 64)), mosaic=1)
    with pytest.raises(InputError, match=r"^c\.png: truncated$"):
        [augmented[Use(epoch, 0)] for epoch in range(20)]


def test_images_without_objects_and_a_single_image_are_augmented():
    split = split_of([np.full((30, 40, 3), 90, np.uint8)], [[]])
    augmented = samples(split, ImageConfig(size=(32, 32)), **EVERYTHING)
    for epoch in range(20):
        assert len(augmented[Use(epoch, 0)].labels) == 0


def test_changes_that_are_off_draw_no_random_numbers(masked):
    """Numbers of settings without the new changes stay as they were."""
    image = ImageConfig(size=(48, 64))
    one = samples(masked, image, flip=0.5, iou_crop=0.5, photometric=0.5)
    strength = {"rotate": 30.0, "mosaic_scale": 0.2, "blur_sigma": 3.0, "paste_count": 9, "erase_count": 4}
    other = samples(masked, image, flip=0.5, iou_crop=0.5, photometric=0.5, **strength)
    for index in range(6):
        assert same(one[Use(0, index)], other[Use(0, index)])
