"""Kept images are the loaded ones, for any place, limit and number of workers."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_data import pictures, write_coco

from bench.data.image_cache import cache_images
from bench.data.types import Split
from bench.datasets import open_dataset
from bench.pipeline import fitted_images
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from bench.pipeline.placement import resize

IMAGE_BYTES = 48 * 64 * 3
PLACES = ("memory", "disk")


@pytest.fixture
def split(tmp_path: Path) -> Split:
    write_coco(tmp_path / "data" / "a.json", pictures(12))
    return open_dataset(tmp_path / "data").splits["train"]


class Counted:
    """Loads images and writes down which ones, also in other processes."""

    def __init__(self, split: Split, log: Path) -> None:
        self.load, self.log = split.load, log

    def __call__(self, index: int) -> np.ndarray:
        with self.log.open("a") as file:
            file.write(f"{index}\n")
        return self.load(index)

    def loaded(self) -> list[int]:
        return sorted(map(int, self.log.read_text().split())) if self.log.exists() else []


def counted(split: Split, tmp_path: Path) -> tuple[Split, Counted]:
    load = Counted(split, tmp_path / "loaded.txt")
    return replace(split, load=load), load


def epochs(split: Split, workers: int) -> list[bytes]:
    loader = make_loader(split, ImageConfig(size=(32, 48)), AugmentConfig(), 4, workers=workers, shuffle=True)
    return [batch.images.numpy().tobytes() for _ in range(3) for batch in loader]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_without_a_cache_and_each_image_is_decoded_once(split, tmp_path, place, workers):
    expected = epochs(split, 0)
    watched, load = counted(split, tmp_path)
    (cached,), (note,) = cache_images([watched], place, 1, tmp_path / "cache")
    assert epochs(cached, workers) == expected
    assert load.loaded() == list(range(len(split)))
    assert f"train: {len(split)} of {len(split)} decoded images are kept" in note


@pytest.mark.parametrize("place", PLACES)
def test_the_first_images_are_kept_within_the_limit_over_all_splits(split, tmp_path, place):
    watched, load = counted(split, tmp_path)
    other = replace(watched, name="val")
    limit = (len(split) + 2.5) * IMAGE_BYTES / 1e9
    cached, notes = cache_images([watched, other], place, limit, tmp_path / "cache")
    assert [note.split(" decoded")[0] for note in notes] == [
        f"train: {len(split)} of {len(split)}",
        f"val: 2 of {len(split)}",
    ]
    for _ in range(2):
        for index in range(len(split)):
            np.testing.assert_array_equal(cached[1].load(index), split.load(index))
    assert load.loaded() == sorted([0, 1, *[*range(2, len(split))] * 2])


def test_files_are_used_by_the_next_run_and_damaged_ones_are_replaced(split, tmp_path):
    folder = tmp_path / "cache"
    (first,), _ = cache_images([split], "disk", 1, folder)
    for index in range(len(split)):
        first.load(index)
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) == len(split)
    assert sum(file.stat().st_size for file in files) == len(split) * IMAGE_BYTES
    files[0].write_bytes(b"half")
    watched, load = counted(split, tmp_path)
    for _ in range(2):
        (second,), _ = cache_images([watched], "disk", 1, folder)
        for index in range(len(split)):
            np.testing.assert_array_equal(second.load(index), split.load(index))
    assert len(load.loaded()) == 1


def test_another_content_under_the_same_name_is_another_image(split, tmp_path):
    (cached,), _ = cache_images([split], "disk", 1, tmp_path / "cache")
    before = cached.load(0)
    split.files[0].write_bytes(split.files[1].read_bytes())
    (changed,), _ = cache_images([split], "disk", 1, tmp_path / "cache")
    np.testing.assert_array_equal(changed.load(0), split.load(1))
    assert not np.array_equal(before, changed.load(0))


def test_a_folder_that_cannot_be_written_leaves_the_images_decoded(split, tmp_path):
    (tmp_path / "cache").write_text("a file")
    (cached,), _ = cache_images([split], "disk", 1, tmp_path / "cache")
    for _ in range(2):
        np.testing.assert_array_equal(cached.load(0), split.load(0))


def test_images_that_are_drawn_or_of_unknown_size_are_not_kept(split):
    drawn = open_dataset("shapes", train=4, val=1, test=1, size=(48, 48), scale=(8, 20)).splits["train"]
    catalog = replace(split.truth.catalog, sizes=np.zeros_like(split.truth.catalog.sizes))
    unknown = replace(split, truth=replace(split.truth, catalog=catalog))
    for one in (drawn, unknown):
        assert cache_images([one], "memory", 1) == ([one], [])
    assert cache_images([split], "none", 1) == ([split], [])


def test_a_memory_is_empty_in_a_process_that_was_not_forked(split):
    (cached,), _ = cache_images([split], "memory", 1)
    expected = cached.load(3).copy()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cached.load))(3), expected)


def resized(split: Split, gigabytes: float, monkeypatch: pytest.MonkeyPatch, **changes: float) -> list[int]:
    """Heights of images as they are resized in three epochs with a memory, which gives the batches that there are without."""
    image, augment = ImageConfig(size=(32, 48)), None
    if changes:
        augment = AugmentConfig.model_validate({"zoom_out": 0, "iou_crop": 0, "photometric": 0} | changes)
    (cached,), _ = cache_images([split], "memory", gigabytes)
    heights: list[int] = []

    def counting(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        heights.append(size[0])
        return resize(pixels, size)

    monkeypatch.setattr(fitted_images, "resize", counting)
    plain, kept = (make_loader(each, image, augment, 5, shuffle=True, workers=0) for each in (split, cached))
    for _ in range(3):
        for one, other in zip(plain, kept, strict=True):
            assert torch.equal(one.images, other.images)
            for first, second in zip(one.targets, other.targets, strict=True):
                assert torch.equal(first.boxes, second.boxes)
    return heights


@pytest.mark.parametrize("changes", [{}, {"flip": 0.5, "flip_vertical": 0.5}])
def test_whole_images_are_resized_once(split, monkeypatch, changes):
    assert len(resized(split, 1, monkeypatch, **changes)) == len(split)


def test_images_are_kept_at_the_size_of_the_input_within_what_is_left_of_the_limit(split, monkeypatch):
    room = (len(split) * IMAGE_BYTES + 4.5 * 32 * 48 * 3) / 1e9
    assert len(resized(split, room, monkeypatch)) == 4 + 3 * (len(split) - 4)


def test_crops_are_resized_from_the_original(split, monkeypatch):
    cut = resized(split, 1, monkeypatch, iou_crop=1.0, flip=0.5)
    assert 0 < len(cut) <= len(split), "a seventh of crops leaves the image whole"
