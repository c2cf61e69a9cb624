"""Label maps stay on the pixels of their images: drawn, augmented, resized, batched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_data import split_of
from torch import Tensor

from bench.data.shapes_scene import _CLASS_COLORS, _COLOR_DEVIATION, ShapesConfig, draw_image, draw_label_map
from bench.data.types import Split, require_label_maps
from bench.datasets import open_dataset
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.augment import make_augment
from bench.pipeline.augmentation.randomness import randomness_of
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import Batch, make_loader
from bench.pipeline.placement import place
from metrics.errors import InputError
from metrics.pixel_labels import IGNORED

NOTHING = {"flip": 0, "flip_vertical": 0, "zoom_out": 0, "iou_crop": 0, "photometric": 0}
SETTINGS = {
    "flip": {"flip": 1.0},
    "flip_vertical": {"flip_vertical": 1.0},
    "zoom_out": {"zoom_out": 1.0, "zoom_out_to": 3.0},
    "iou_crop": {"iou_crop": 1.0, "crop_from": 0.3},
    "all": {"flip": 0.5, "flip_vertical": 0.5, "zoom_out": 0.5, "iou_crop": 0.7},
}
COLORS = np.array([[20, 30, 40], [200, 40, 60], [70, 180, 90], [90, 60, 220], [230, 230, 120]], np.uint8)
"""Colour of each value of a label map; the first is that of the background."""

FILL = 9
"""Grey value around an image that is zoomed out or letterboxed."""


def config(**settings: float) -> AugmentConfig:
    return AugmentConfig.model_validate(NOTHING | settings)


def scene(
    seed: int, height: int = 48, width: int = 64
) -> tuple[NDArray[np.uint8], list[tuple[int, tuple[float, ...]]]]:
    """A label map of four rhombi and their boxes, one in each quarter, each of its own class."""
    rng = np.random.default_rng(seed)
    label_map = np.zeros((height, width), np.uint8)
    rows, columns = np.mgrid[:height, :width]
    objects = []
    for label in range(4):
        top, left = (label // 2) * height // 2, (label % 2) * width // 2
        h, w = rng.integers(9, height // 2), rng.integers(9, width // 2)
        y, x = top + rng.integers(0, height // 2 - h + 1), left + rng.integers(0, width // 2 - w + 1)
        inside = abs(2 * rows + 1 - 2 * y - h) / h + abs(2 * columns + 1 - 2 * x - w) / w <= 1.2
        inside &= (rows >= y) & (rows < y + h) & (columns >= x) & (columns < x + w)
        label_map[inside] = label + 1
        objects.append((label, (float(x), float(y), float(x + w), float(y + h))))
        assert bounds(label_map == label + 1) == [x, y, x + w, y + h]
    return label_map, objects


def bounds(mask: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def painted(label_map: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image whose colours are those of the label map."""
    table = np.full((256, 3), FILL, np.uint8)
    table[: len(COLORS)] = COLORS
    return table[label_map]


def masked_split(count: int = 6, sizes: tuple[tuple[int, int], ...] = ((48, 64),)) -> Split:
    """Images that are painted like their label maps."""
    scenes = [scene(seed, *sizes[seed % len(sizes)]) for seed in range(count)]
    images = [painted(label_map) for label_map, _ in scenes]
    split = split_of(images, [objects for _, objects in scenes], classes=("ant", "bee", "cat", "dog"))
    return replace(split, label_maps=lambda index: scenes[index][0])


def interior(label_map: NDArray[Any], reach: int) -> NDArray[np.bool_]:
    """Whether all pixels within `reach` have the same value."""
    padded = np.pad(label_map, reach, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1,) * 2)
    same: NDArray[np.bool_] = windows.min((2, 3)) == windows.max((2, 3))
    return same


def pieces(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    label_map, objects = scene(seed)
    image = torch.from_numpy(painted(label_map)).permute(2, 0, 1)
    boxes = torch.tensor([box for _, box in objects])
    return image, boxes, torch.arange(4), torch.from_numpy(label_map)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("seed", range(12))
def test_image_boxes_and_label_map_move_together(name, seed):
    augment = make_augment(config(**SETTINGS[name]), FILL)
    with randomness_of(seed):
        image, boxes, labels, label_map = augment.move(*pieces(seed))
    assert label_map is not None
    assert label_map.dtype == torch.uint8
    np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), painted(label_map.numpy()))
    for box, label in zip(boxes.tolist(), labels.tolist(), strict=True):
        found = bounds(label_map.numpy() == label + 1)
        # A rhombus that is cut off can end before the edge of its clipped box; within it, it always is.
        assert box[0] <= found[0] < found[2] <= box[2]
        assert box[1] <= found[1] < found[3] <= box[3]
        if name != "iou_crop" and name != "all":
            assert found == box


@pytest.mark.parametrize("name", SETTINGS)
def test_a_label_map_changes_neither_image_nor_boxes(name):
    augment = make_augment(config(**SETTINGS[name]), FILL)
    for seed in range(10):
        image, boxes, labels, label_map = pieces(seed)
        with randomness_of(seed):
            alone = augment.move(image, boxes, labels)
        with randomness_of(seed):
            together = augment.move(image, boxes, labels, label_map)
        assert alone.label_map is None
        for one, other in zip(alone[:3], together[:3], strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["flip", "flip_vertical"])
def test_flips_keep_the_number_of_pixels_of_each_class(name):
    before = pieces(3)
    after = make_augment(config(**SETTINGS[name])).move(*before)
    assert after.label_map is not None
    assert not torch.equal(after.label_map, before[3])
    assert torch.equal(torch.bincount(after.label_map.flatten()), torch.bincount(before[3].flatten()))


def test_pixels_around_a_zoomed_image_are_ignored_and_only_those():
    augment = make_augment(config(zoom_out=1.0, zoom_out_to=3.0), FILL)
    for seed in range(8):
        with randomness_of(seed):
            moved = augment.move(*pieces(seed))
        assert moved.label_map is not None
        ignored = moved.label_map == IGNORED
        assert int((~ignored).sum()) == 48 * 64
        assert torch.equal((moved.image == FILL).all(0), ignored)


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
@pytest.mark.parametrize("size", [(64, 64), (48, 64), (96, 160), (31, 40)])
def test_batches_have_label_maps_that_agree_with_images_and_boxes(resize, size):
    split = masked_split(5, ((48, 64), (64, 48), (90, 70)))
    image = ImageConfig(size=size, resize=resize, fill=FILL)
    loader = make_loader(split, image, batch_size=2, workers=0, label_maps=True)
    seen = 0
    for batch in loader:
        for k, targets in enumerate(batch.targets):
            assert targets.label_map is not None
            label_map = targets.label_map.numpy()
            assert label_map.shape == size
            expected = painted(label_map).transpose(2, 0, 1) / 255
            flat = interior(label_map, 2)
            assert flat.mean() > 0.2
            # Bilinear resizing mixes colours within two pixels of an edge.
            np.testing.assert_allclose(batch.images[k].numpy()[:, flat], expected[:, flat], atol=1.01 / 255)
            assert len(targets.boxes) == 4
            for box, label in zip(targets.boxes.tolist(), targets.labels.tolist(), strict=True):
                np.testing.assert_allclose(bounds(label_map == label + 1), box, atol=1)
            seen += 1
    assert seen == 5


def test_worker_processes_send_the_same_maps():
    split = open_dataset("shapes", train=7, val=1, test=1, size=(48, 48), scale=(8, 20)).splits["train"]
    settings = (ImageConfig(size=(40, 56)), AugmentConfig(), 3)
    here, sent = (
        [
            each
            for batch in make_loader(split, *settings, workers=workers, label_maps=True)
            for each in maps(batch)
        ]
        for workers in (0, 2)
    )
    assert len(here) == len(sent) == 7
    for one, other in zip(here, sent, strict=True):
        assert torch.equal(one, other)


def test_exactly_the_padding_of_a_letterboxed_image_is_ignored():
    split = masked_split(1)
    (batch,) = make_loader(split, ImageConfig(size=(80, 50), fill=FILL), workers=0, label_maps=True)
    assert batch.targets[0].label_map is not None
    (height, width), (top, left) = place((48, 64), ImageConfig(size=(80, 50)))
    inside = torch.zeros((80, 50), dtype=torch.bool)
    inside[top : top + height, left : left + width] = True
    assert int((~inside).sum()) > 0
    assert torch.equal(batch.targets[0].label_map != IGNORED, inside)


@pytest.mark.parametrize(("before", "after"), [((6, 6), (3, 3)), ((4, 5), (8, 15)), ((7, 9), (10, 8))])
def test_a_resized_pixel_has_the_value_at_its_centre(before, after):
    values = np.arange(before[0] * before[1], dtype=np.uint8).reshape(before)
    split = split_of([np.zeros((*before, 3), np.uint8)], [[(0, (0, 0, 4, 4))]])
    split = replace(split, label_maps=lambda index: values)
    image = ImageConfig.model_construct(size=after, resize="stretch")
    (batch,) = make_loader(split, image, workers=0, label_maps=True)
    centers = [(np.arange(new) + 0.5) * old / new for old, new in zip(before, after, strict=True)]
    # A centre exactly between two pixels belongs to the second one, as the lower edge of a pixel does.
    rows, columns = (np.floor(center + 1e-9).astype(int) for center in centers)
    assert batch.targets[0].label_map is not None
    np.testing.assert_array_equal(batch.targets[0].label_map.numpy(), values[np.ix_(rows, columns)])


def test_augmented_batches_keep_maps_on_images_with_all_changes():
    settings = AugmentConfig(flip=0.5, flip_vertical=0.5, zoom_out=0.5, iou_crop=0.7, photometric=0.0)
    split = masked_split(8)
    loader = make_loader(
        split, ImageConfig(size=(72, 72), fill=FILL), settings, 4, shuffle=True, workers=0, label_maps=True
    )
    checked = 0
    for batch in (*loader, *loader, *loader):
        for k, targets in enumerate(batch.targets):
            assert targets.label_map is not None
            label_map = targets.label_map.numpy()
            flat = interior(label_map, 3)
            expected = painted(label_map).transpose(2, 0, 1) / 255
            np.testing.assert_allclose(batch.images[k].numpy()[:, flat], expected[:, flat], atol=1.01 / 255)
            for (x0, y0, x1, y1), label in zip(targets.boxes.tolist(), targets.labels.tolist(), strict=True):
                found = bounds(label_map == label + 1)
                assert x0 - 1 <= found[0] < found[2] <= x1 + 1
                assert y0 - 1 <= found[1] < found[3] <= y1 + 1
                checked += 1
    assert checked > 60


def test_colours_are_changed_without_touching_the_map():
    split = masked_split(2)
    image = ImageConfig(size=(48, 64))
    plain = next(iter(make_loader(split, image, workers=0, label_maps=True)))
    colors = config(photometric=1.0, strength=0.5, hue=0.2)
    changed = next(iter(make_loader(split, image, colors, workers=0, label_maps=True)))
    assert not torch.equal(plain.images, changed.images)
    for one, other in zip(maps(plain), maps(changed), strict=True):
        assert torch.equal(one, other)


def maps(batch: Batch) -> list[Tensor]:
    found = [targets.label_map for targets in batch.targets if targets.label_map is not None]
    assert len(found) == len(batch)
    return found


def test_maps_are_loaded_only_if_they_are_asked_for():
    def refuse(index: int) -> NDArray[np.uint8]:
        raise AssertionError(f"read map {index}")

    split = replace(masked_split(3), label_maps=refuse)
    image = ImageConfig(size=(48, 64))
    for batch in make_loader(split, image, AugmentConfig(), workers=0):
        assert all(targets.label_map is None for targets in batch.targets)
    with pytest.raises(AssertionError, match="read map 0"):
        list(make_loader(split, image, workers=0, label_maps=True))


def test_fault_110_a_split_without_masks_is_refused_in_one_line():
    split = split_of([np.zeros((8, 8, 3), np.uint8)], [[(0, (0, 0, 4, 4))]])
    with pytest.raises(
        InputError, match=r"^train: the data set has boxes but no masks, .*docs/data\.md"
    ) as caught:
        make_loader(split, ImageConfig(size=(8, 8)), label_maps=True)
    assert "\n" not in str(caught.value)
    with_maps = replace(split, label_maps=lambda index: np.zeros((8, 8), np.uint8))
    assert require_label_maps(with_maps) is with_maps


def test_a_batch_moves_with_its_maps():
    (batch,) = make_loader(masked_split(2), ImageConfig(size=(48, 64)), workers=0, label_maps=True)
    moved = batch.to("meta")
    assert [each.device.type for each in maps(moved)] == ["meta", "meta"]
    for one, other in zip(maps(batch.to("cpu")), maps(batch), strict=True):
        assert torch.equal(one, other)


PLAIN = ShapesConfig(
    size=(96, 96),
    scale=(16, 48),
    objects=(2, 6),
    occlusion=0.8,
    truncation=0.3,
    clutter=(0, 0),
    color=1.0,
    textures=False,
    noise=0,
)
"""Shapes in the approximate colours of their classes, without anything else."""


def test_a_drawn_pixel_has_the_colour_of_the_class_in_the_map():
    colors = np.array([_CLASS_COLORS[name] for name in PLAIN.classes], np.int16)
    pixels = mixed = 0
    for index in range(25):
        drawn = draw_image(PLAIN, "train", index)
        image = drawn.pixels.astype(np.int16)
        label_map = draw_label_map(PLAIN, "train", index)
        # At the edge of an object, and in the narrow notches of a star, its colour is mixed with that behind it.
        shown = (label_map > 0) & (label_map != IGNORED) & interior(drawn.owner, 1)
        difference = np.abs(image[shown] - colors[label_map[shown] - 1]).max(1)
        mixed += int((difference > _COLOR_DEVIATION).sum())
        # The background is a gradient: neighbours differ by a step or two where no object is near.
        empty = (label_map == 0) & interior(label_map, 2)
        steps = np.abs(np.diff(image, axis=1)).max(2)
        assert steps[empty[:, 1:] & empty[:, :-1]].max(initial=0) <= 4
        pixels += int(shown.sum())
    assert pixels > 10_000
    assert mixed < pixels / 500


def test_a_shape_that_nothing_hides_fills_its_box_in_the_map():
    config = PLAIN.model_copy(update={"objects": (1, 1), "truncation": 0.0})
    for index in range(25):
        (item,) = draw_image(config, "train", index).objects
        label_map = draw_label_map(config, "train", index)
        assert bounds(label_map > 0) == list(item.box)
        assert set(np.unique(label_map)) == {0, item.label + 1}


def test_a_shape_that_is_hardly_visible_is_ignored_in_the_map():
    ignored = 0
    config = PLAIN.model_copy(update={"min_visible": 0.7})
    for index in range(25):
        drawn = draw_image(config, "train", index)
        label_map = draw_label_map(config, "train", index)
        few = [item for item in drawn.objects if 0 < item.visible < config.min_visible]
        assert (label_map == IGNORED).any() == bool(few)
        ignored += len(few)
    assert ignored > 3


def test_shapes_have_maps_in_every_split_and_for_any_size_of_memory(monkeypatch):
    options = {"train": 4, "val": 2, "test": 2, "size": (48, 48), "scale": (8, 20)}
    kept = open_dataset("shapes", **options).splits
    monkeypatch.setattr("bench.datasets.shapes._KEEP_IN_MEMORY", 0)
    redrawn = open_dataset("shapes", **options).splits
    settings = ShapesConfig.model_validate(options)
    for name in kept:
        for index in range(len(kept[name])):
            one, other = require_label_maps(kept[name]).label_maps, redrawn[name].label_maps
            assert one is not None
            assert other is not None
            expected = draw_label_map(settings, name, index)
            for found in (one(index), one(index), other(index)):
                np.testing.assert_array_equal(found, expected)
