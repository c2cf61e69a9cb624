"""Training images that are decoded at a fraction of their size show the same content, at places that boxes and masks follow."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from tiny_data import pictures, write_coco
from tiny_runs import tiny_config

from bench.data import file_images
from bench.data.image_cache import cache_images
from bench.data.images import read_image, read_reduced_image
from bench.data.reduced_split import FACTORS, can_be_reduced, reduce_images
from bench.data.types import Split
from bench.datasets import open_dataset
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from bench.pipeline.placement import place
from bench.runs.context import RunContext
from bench.runs.naming import run_name
from bench.runs.run import run
from bench.settings.config import RunConfig
from bench.settings.resolution import open_run_data, resolve
from bench.training.decoding import decode_for_training, enlargement, reduction_factors
from metrics.errors import InputError

WIDTH, HEIGHT = 101, 67
"""No multiples of a factor, nor of a block of a JPEG."""


def scene(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Smooth, so that all ways to make it smaller agree, and different at every corner."""
    rows, columns = np.mgrid[:height, :width] / max(width, height)
    pixels = np.stack([40 + 150 * columns, 200 - 120 * rows, 90 + 60 * rows * columns], 2)
    return Image.fromarray(pixels.round().astype(np.uint8))


def content_of(image: Image.Image, file_format: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


BEST = {"quality": 98, "subsampling": 0}
KINDS = {
    "plain": content_of(scene(), **BEST),
    "colours in half of the resolution": content_of(scene(), quality=98, subsampling=2),
    "progressive": content_of(scene(), progressive=True, **BEST),
    "grey": content_of(scene().convert("L"), quality=98),
    "CMYK": content_of(scene().convert("CMYK"), quality=98),
    "two images": content_of(scene(), "MPO", save_all=True, append_images=[scene()], quality=98),
    "PNG": content_of(scene(), "PNG"),
    "PNG of 16 bits": content_of(
        Image.fromarray(np.asarray(scene().convert("L")).astype(np.uint16) << 8), "PNG"
    ),
    "PNG with a transparent colour": content_of(scene().convert("RGBA"), "PNG"),
    **{f"orientation {k}": content_of(scene(), exif=orientation(k), **BEST) for k in range(2, 9)},
    **{
        f"orientation {k}, whole squares": content_of(scene(104, 72), exif=orientation(k), **BEST)
        for k in (3, 6)
    },
}


def square_means(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.float64]:
    """Mean of each square of pixels; those at the right and the bottom can be incomplete."""
    rows, columns = (np.arange(0, side, factor) for side in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float64), rows, 0), columns, 1)
    counts = np.add.reduceat(np.add.reduceat(np.ones(pixels.shape[:2]), rows, 0), columns, 1)
    return sums / counts[..., None]


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_reduced_image_has_the_means_of_its_squares(tmp_path, kind, factor):
    path = tmp_path / "a.img"
    path.write_bytes(KINDS[kind])
    for upright in (True, False):
        whole = read_image(path, upright)
        reduced = read_reduced_image(path, factor, upright)
        expected = square_means(whole, factor)
        assert reduced.shape == expected.shape
        assert reduced.flags.c_contiguous
        assert reduced.flags.writeable
        # A shift by one pixel of the image changes these by more than 150 / 104 / 8; noise of the compression is random.
        assert np.abs(reduced - expected).mean() < 1.0
        inner = np.abs(reduced - expected)[:-1, :-1]
        assert inner.max() <= 6


@pytest.mark.parametrize("factor", FACTORS)
def test_a_jpeg_is_decoded_at_the_reduced_size(tmp_path, factor, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(KINDS["plain"])
    with Image.open(path) as image:
        image.draft(None, (WIDTH // factor, HEIGHT // factor))
        expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_reduced_image(path, factor), expected)


@pytest.mark.parametrize(
    "content", [KINDS["plain"][:600], b"", b"\xff\xd8\xff"], ids=["cut", "empty", "start"]
)
def test_a_broken_file_is_refused_as_in_its_whole_size(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(InputError) as whole:
        read_image(path)
    with pytest.raises(InputError) as reduced:
        read_reduced_image(path, 2)
    assert str(reduced.value) == str(whole.value)


sides = st.integers(1, 4000)
augments = st.sampled_from(
    [
        None,
        AugmentConfig(iou_crop=0.0),
        AugmentConfig(),
        AugmentConfig(iou_crop=0.3, crop_from=0.3),
        AugmentConfig(iou_crop=0.0, warp=1.0, rotate=0, shear=0, rescale=0.25),
    ]
)


@given(
    sides,
    sides,
    st.sampled_from([(320, 320), (192, 256), (64, 640)]),
    st.sampled_from(["letterbox", "stretch"]),
    augments,
)
def test_no_image_is_reduced_below_the_input(height, width, size, resize, augment):
    image = ImageConfig(size=size, resize=resize)
    (factor,) = reduction_factors(np.array([[height, width]], np.int32), image, augment).tolist()
    assert factor in (1, *FACTORS)
    if factor == 1:
        return
    reduced = -(-height // factor), -(-width // factor)
    assert min(reduced) >= 1
    shown = 1 / enlargement(augment) if augment else 1.0
    (new_height, new_width), _ = place((height, width), image)
    # The side of the input that decides the scale; the other one is rounded, or at least one pixel.
    across, down = reduced[1] * shown - new_width, reduced[0] * shown - new_height
    assert max(across, down) > -1 if resize == "letterbox" else min(across, down) > -1


@pytest.mark.parametrize(
    ("size", "factor"),
    [((639, 640), 1), ((640, 640), 2), ((1279, 1279), 2), ((1280, 900), 4), ((9000, 9000), 8), ((0, 0), 1)],
)
def test_the_factor_is_the_largest_that_the_input_allows(size, factor):
    image = ImageConfig(size=(320, 320), resize="letterbox")
    expected = 2 if size == (639, 640) else factor  # the longer side decides in letterboxing
    assert reduction_factors(np.array([size], np.int32), image, None).tolist() == [expected]
    stretch = ImageConfig(size=(320, 320), resize="stretch")
    expected = 2 if size == (1280, 900) else factor
    assert reduction_factors(np.array([size], np.int32), stretch, None).tolist() == [expected]


@pytest.mark.parametrize(
    ("augment", "bound"),
    [
        (AugmentConfig(iou_crop=0.0), 1.0),
        (AugmentConfig(iou_crop=0.1, crop_from=0.25), 4.0),
        (AugmentConfig(iou_crop=0.0, mosaic=1.0, zoom_out=1.0), 1.0),
        (AugmentConfig(iou_crop=0.1, crop_from=0.25, mosaic=1.0, close_mosaic=0.0), 1.0),
        (AugmentConfig(iou_crop=0.1, crop_from=0.25, mosaic=1.0, close_mosaic=0.1), 4.0),
        (AugmentConfig(iou_crop=0.1, crop_from=0.25, mosaic=0.9, close_mosaic=0.0), 4.0),
        (AugmentConfig(iou_crop=0.0, warp=1.0, rescale=0.5, shear=0.0), 1.5),
    ],
)
def test_the_bound_of_the_enlargement(augment, bound):
    assert enlargement(augment) == pytest.approx(bound)


def test_multi_scale_training_counts_with_its_largest_input():
    sizes = np.array([[960, 960]], np.int32)
    image = ImageConfig(size=(320, 320))
    assert reduction_factors(sizes, image, None).tolist() == [2]
    assert reduction_factors(np.array([[1280, 1280]], np.int32), image, None).tolist() == [4]
    assert reduction_factors(np.array([[1280, 1280]], np.int32), image, None, 0.5).tolist() == [2]
    assert reduction_factors(np.array([[900, 900]], np.int32), image, None, 0.5).tolist() == [1]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    write_coco(tmp_path / "data" / "a.json", pictures(12))
    return open_dataset(tmp_path / "data").splits["train"]


def config(size: tuple[int, int], **augment: float) -> RunConfig:
    made = RunConfig(variant="ssd", image=ImageConfig(size=size), augment=AugmentConfig(**augment))
    return made.model_copy(update={"train": made.train.model_copy(update={"decoding": "reduced"})})


def test_boxes_are_at_the_same_places_of_the_input(split):
    image = ImageConfig(size=(24, 32))
    reduced = reduce_images(split, np.full(len(split), 2, np.int32))
    for whole, half in zip(
        make_loader(split, image, None, 4, workers=0),
        make_loader(reduced, image, None, 4, workers=0),
        strict=True,
    ):
        for one, other in zip(whole.targets, half.targets, strict=True):
            np.testing.assert_allclose(one.boxes.numpy(), other.boxes.numpy(), atol=1e-4)
        difference = np.abs(whole.images.numpy() - half.images.numpy())
        assert 0 < difference.mean() < 0.01  # at edges, because the filters differ


@pytest.mark.parametrize("place_of_cache", ["none", "memory", "disk"])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_cache_and_workers(split, tmp_path, place_of_cache, workers):
    image, augment = ImageConfig(size=(24, 32)), AugmentConfig(iou_crop=0.0, mosaic=0.5)
    reduced = reduce_images(split, np.full(len(split), 2, np.int32))
    expected = [batch.images.numpy() for batch in make_loader(reduced, image, augment, 4, workers=0)]
    for _ in cache_images([split], place_of_cache, 1.0, tmp_path / "cache")[0]:
        (kept,), _ = cache_images([reduced], place_of_cache, 1.0, tmp_path / "cache")
    for _ in range(2):
        found = [batch.images.numpy() for batch in make_loader(kept, image, augment, 4, workers=workers)]
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_cache_of_reduced_images_holds_more_of_them(split):
    gigabytes = 4 * 48 * 64 * 3 / 1e9
    _, (whole,) = cache_images([split], "memory", gigabytes)
    _, (half,) = cache_images([reduce_images(split, np.full(len(split), 2, np.int32))], "memory", gigabytes)
    assert whole.startswith(f"train: 4 of {len(split)}")
    assert half.startswith(f"train: {len(split)} of")


@pytest.mark.parametrize("factor", FACTORS)
def test_label_maps_have_the_size_of_their_image_and_the_value_at_the_centre(split, factor):
    rows, columns = np.mgrid[:48, :64].astype(np.uint8)
    for axis, label_map in ((0, rows), (1, columns)):
        masked = replace(split, label_maps=lambda index, found=label_map: found)
        reduced = reduce_images(masked, np.full(len(split), factor, np.int32))
        found = reduced.label_maps(0)
        assert found.shape == reduced.load(0).shape[:2]
        expected = factor * np.arange(found.shape[axis]) + factor // 2
        np.testing.assert_array_equal(np.moveaxis(found, axis, 0)[:, 0], expected)


def test_label_maps_of_incomplete_squares_have_a_value_within_the_image(split):
    label_map = np.arange(49, dtype=np.uint8)[:, None]
    masked = replace(split, label_maps=lambda index: label_map)
    found = reduce_images(masked, np.full(len(split), 8, np.int32)).label_maps(0)
    np.testing.assert_array_equal(found[:, 0], [4, 12, 20, 28, 36, 44, 48])


def test_whole_images_unless_the_settings_want_less(split):
    reduced = config((24, 32), iou_crop=0.0)
    whole = reduced.model_copy(update={"train": reduced.train.model_copy(update={"decoding": "full"})})
    assert decode_for_training(split, whole) == (split, None)
    halves, note = decode_for_training(split, reduced)
    assert halves.load(0).shape == (24, 32, 3)
    assert note.values == {"images": len(split), "of": len(split)}
    assert note.text == (
        "train: images that are decoded at a fraction of their sides (train.decoding=reduced): "
        f"{len(split)} of {len(split)} at 1/2"
    )


def test_a_crop_that_needs_the_whole_image_is_named(split):
    kept, note = decode_for_training(split, config((24, 32)))
    assert kept.load(0).shape == (48, 64, 3)
    assert note.values["images"] == 0
    assert "an image must be at least 4 times as large as the network's input, and none is" in note.text


def test_drawn_images_are_left_as_they_are():
    shapes = open_dataset("shapes").splits["train"]
    assert not can_be_reduced(shapes)
    kept, note = decode_for_training(shapes, config((32, 32), iou_crop=0.0))
    assert kept is shapes
    assert note.values["images"] == 0
    assert "has no effect" in note.text


def test_changed_images_are_left_as_they_are(split):
    changed = replace(split, load=lambda index: split.load(index))
    assert decode_for_training(changed, config((24, 32), iou_crop=0.0))[0] is changed


def test_a_file_that_has_changed_is_refused(split):
    reduced = reduce_images(split, np.full(len(split), 2, np.int32))
    Image.new("RGB", (100, 80)).save(split.files[0])
    with pytest.raises(InputError, match="100x80 pixels, but annotated as 64x48"):
        reduced.load(0)


def test_only_a_run_with_reduced_images_has_another_name():
    names = {}
    for decoding in ("none given", "full", "reduced"):
        given = {} if decoding == "none given" else {"train__decoding": decoding}
        made = tiny_config(**given)
        names[decoding] = run_name(made, open_run_data(made))
    assert names["none given"] == names["full"] != names["reduced"]


def test_only_training_reads_reduced_images(tmp_path, monkeypatch):
    write_coco(tmp_path / "data" / "a.json", pictures(20))
    read: dict[str, set[str]] = {"whole": set(), "reduced": set()}

    def remembered(function, kind):
        def reading(path, *arguments):
            read[kind].add(path.name)
            return function(path, *arguments)

        return reading

    monkeypatch.setattr(file_images, "read_image", remembered(read_image, "whole"))
    monkeypatch.setattr(file_images, "read_reduced_image", remembered(read_reduced_image, "reduced"))
    made = resolve(
        "ssd",
        sets=[
            f"data.path={tmp_path / 'data'}",
            *(
                "image.size=24,32",
                "levels=2",
                "neck_channels=8",
                "backbone.base_channel=4",
                "augment.iou_crop=0",
            ),
            *(
                "train.epochs=1",
                "train.batch=4",
                "train.decoding=reduced",
                "device=cpu",
                "threads=1",
                "workers=0",
            ),
        ],
    )
    finished = run(made, tmp_path / "runs", context=RunContext(page=False))
    splits = open_run_data(made).splits
    names = {name: {file.name for file in split.files} for name, split in splits.items()}
    assert read["reduced"] == names["train"]
    assert read["whole"] == names["val"] | names["test"]
    assert finished.result.config["train"]["decoding"] == "reduced"
