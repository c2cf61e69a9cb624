"""Changes with several images and erasing: mosaic, MixUp, copy-paste; objects keep their boxes, masks and pixels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from augmented_samples import same, samples
from scipy.ndimage import binary_dilation, binary_erosion
from test_label_maps import COLORS, FILL, bounds, masked_split, painted, pieces
from tiny_data import split_of

from bench.data.types import Split
from bench.pipeline.augmentation.copy_paste import cut_object, paste, paste_weights
from bench.pipeline.augmentation.erasing import erase
from bench.pipeline.augmentation.labelled_image import LabelledImage
from bench.pipeline.augmentation.mixup import blend
from bench.pipeline.augmentation.mosaic import make_mosaic
from bench.pipeline.augmentation.randomness import randomness_of
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.objects import IGNORED_REGION, training_objects
from bench.pipeline.order import Use
from metrics.pixel_labels import IGNORED

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
