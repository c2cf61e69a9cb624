"""Masks of objects become label maps: decoding, filling, overlaps; YOLO polygons, data check and names of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from masked_data import (
    SIZE,
    STAR,
    assert_fills,
    facts,
    map_of,
    opened,
    runs_of,
    square,
)
from pycocotools import mask as pycocotools_mask
from tiny_data import Picture, write_yolo

from bench.data.object_masks import draw_objects
from bench.datasets import open_dataset
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.runs.naming import run_name
from bench.settings.config import RunConfig
from bench.survey.data_check import check_data
from bench.survey.samples import choose_samples
from bench.survey.subject import subjects_of
from detectors.registry import VARIANTS
from metrics.formats.mask_objects import MaskObject, RunLengths, parse_polygon, parse_runs
from metrics.pixel_labels import IGNORED

pytestmark = pytest.mark.filterwarnings("ignore::metrics.errors.InputWarning", "ignore::DeprecationWarning")


# Single objects


@pytest.mark.parametrize("seed", range(30))
def test_run_lengths_are_decoded_as_by_pycocotools(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 40, 2)) < rng.choice([0, 0.02, 0.5, 0.98, 1])
    for compressed in (False, True):
        code = runs_of(mask, compressed)
        runs = parse_runs(code["size"], code["counts"])
        assert runs is not None
        np.testing.assert_array_equal(runs.decode(), mask)


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        ([4, 4], [3, 4]),
        ([4, 4], [20, -4]),
        ([4, 4], []),
        ([4, 4], [16.0]),
        ([4, 4], "0\x00"),
        ([4, 4], "o"),
        ([4, 4], "PPPPPPPPPPPPPPPP9"),
        ([4, -4], [16]),
        ([4], [16]),
        (None, [16]),
        ([4, 4], None),
    ],
)
def test_an_invalid_run_length_code_is_no_mask(size, counts):
    assert parse_runs(size, counts) is None


@pytest.mark.parametrize(
    "numbers",
    [[1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5, float("nan")], [1, 2, "3", 4, 5, 6], {}, None],
)
def test_what_is_no_polygon_is_no_mask(numbers):
    assert parse_polygon(numbers) is None


@pytest.mark.parametrize("seed", range(20))
def test_polygons_are_filled_as_by_pycocotools_and_away_from_their_sides_as_by_hand(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.random(rng.integers(3, 9))) * 2 * np.pi
    points = rng.uniform(14, 26, 2) + rng.uniform(4, 16, (len(angles), 1)) * np.stack(
        [np.cos(angles), np.sin(angles)], 1
    )
    each = MaskObject(0, False, (0, 0, 1, 1), (points,))
    found = draw_objects([each], SIZE, (1,)) == 1
    code = pycocotools_mask.frPyObjects([points.ravel().tolist()], *SIZE)
    np.testing.assert_array_equal(found, pycocotools_mask.decode(code)[:, :, 0] > 0)
    assert_fills(found, points.ravel().tolist())


def test_absurd_coordinates_take_neither_time_nor_memory():
    points = np.array([[-1e12, -1e12], [1e12, -1e12], [1e12, 1e12], [-1e12, 1e12]])
    label_map = draw_objects([MaskObject(0, False, (0, 0, 1, 1), (points,))], SIZE, (1,))
    assert (label_map == 1).all()


def test_the_smaller_of_overlapping_objects_is_on_top_in_any_order():
    large, small = square(0, 5, 5, 20), square(1, 10, 10, 8)
    expected = np.zeros(SIZE, np.uint8)
    expected[5:25, 5:25] = 1
    expected[10:18, 10:18] = 2
    for order in ([large, small], [small, large]):
        np.testing.assert_array_equal(draw_objects(order, SIZE, (1, 2)), expected)
    equal = [square(0, 5, 5, 10), square(1, 10, 5, 10)]
    assert draw_objects(equal, SIZE, (1, 2))[8, 12] == 2, "of equal ones the later"
    assert draw_objects(equal[::-1], SIZE, (1, 2))[8, 12] == 1


def test_crowds_and_objects_without_a_mask_are_ignored_below_other_objects():
    crowd, unknown = square(0, 2, 2, 16, crowd=True), MaskObject(1, False, (30.2, 10.4, 9.5, 12.0))
    label_map = draw_objects([square(0, 6, 6, 6), crowd, unknown, square(1, 34, 12, 4)], SIZE, (1, 2))
    expected = np.zeros(SIZE, np.uint8)
    expected[2:18, 2:18] = IGNORED
    expected[10:23, 30:40] = IGNORED
    expected[6:12, 6:12] = 1
    expected[12:16, 34:38] = 2
    np.testing.assert_array_equal(label_map, expected)


def test_a_mask_of_another_size_is_placed_at_the_corner_as_boxes_are():
    mask = np.ones((60, 20), np.bool_)
    runs = RunLengths((60, 20), np.array([0, 1200]))
    label_map = draw_objects([MaskObject(0, False, (0, 0, 20, 60), (), runs)], SIZE, (1,))
    assert mask.sum() > label_map.sum() == 40 * 20
    assert (label_map[:, :20] == 1).all()


# Data check


def test_a_data_check_counts_masks_and_shows_them(tmp_path):
    rows = [{"category_id": 10, "segmentation": [STAR]}, {"category_id": 20, "bbox": [30, 2, 20, 10]}]
    data = opened(tmp_path, rows)
    image, augment = ImageConfig(size=(64, 64)), AugmentConfig()
    subjects = subjects_of(data, image)
    for decode in (True, False):
        check = check_data(data, subjects, [], image, augment, (8,), decode=decode)
        for split in check.splits:
            assert split.masked_images == (split.images if decode else 0)
        notes = [note.text for note in check.notes if note.kind == "masks"]
        assert notes == [note for subject in subjects for note in facts(subject.split).notes if decode]
    samples = [s for s in choose_samples(check, subjects, image, augment) if s.group == "class"]
    assert samples
    for sample in samples:
        annotated, masks = sample.views
        assert masks.boxes == annotated.boxes
        changed = (masks.pixels != annotated.pixels).any(2)
        expected = map_of(data.splits["train"]) > 0
        np.testing.assert_array_equal(changed, expected)


# YOLO


def test_yolo_polygons_become_label_maps_and_plain_boxes_are_ignored(tmp_path):
    width, height = SIZE[1], SIZE[0]
    write_yolo(tmp_path, {"train": [Picture(f"a{k}", SIZE) for k in range(8)]}, ("cat", "dog"))
    relative = [value / (width if k % 2 == 0 else height) for k, value in enumerate(STAR)]
    for file in (tmp_path / "labels" / "train").glob("*.txt"):
        file.write_text(f"1 {' '.join(map(repr, relative))}\n0 0.9 0.1 0.1 0.1\n")
    data = open_dataset(tmp_path)
    for split in data.splits.values():
        label_map = map_of(split)
        assert_fills(label_map == 2, STAR)
        box = np.zeros(SIZE, np.bool_)
        box[2:6, 47:54] = True
        np.testing.assert_array_equal((label_map == IGNORED) & ~box, False)
        assert (label_map == IGNORED).sum() >= 15
        assert "have no usable mask" in facts(split).notes[0]
    assert data.mask_fingerprint is not None


def test_yolo_boxes_and_keypoints_are_no_masks(tmp_path):
    write_yolo(tmp_path / "boxes", {"train": [Picture(f"a{k}", SIZE) for k in range(8)]}, ("cat",))
    assert open_dataset(tmp_path / "boxes").splits["train"].label_maps is None
    file = write_yolo(tmp_path / "pose", {"train": [Picture(f"a{k}", SIZE) for k in range(8)]}, ("cat",))
    file.write_text(file.read_text() + "kpt_shape: [3, 2]\n")
    for labels in (tmp_path / "pose" / "labels" / "train").glob("*.txt"):
        labels.write_text("0 0.5 0.5 0.4 0.4 0.4 0.4 0.5 0.5 0.6 0.6\n")
    assert open_dataset(tmp_path / "pose").splits["train"].label_maps is None


# Names of runs


def test_masks_decide_the_name_of_a_run_only_of_a_variant_that_uses_them(tmp_path, monkeypatch):
    def names(folder: str, points: Sequence[float]) -> tuple[str, str]:
        (tmp_path / folder).mkdir(exist_ok=True)
        data = opened(tmp_path / folder, [{"category_id": 10, "segmentation": [points]}], name="stars")
        by_boxes = run_name(RunConfig(variant="ssd"), data)
        with monkeypatch.context() as patch:
            known = replace(VARIANTS["ssd"], label_maps=True)
            patch.setattr("bench.runs.naming.VARIANTS", {"ssd": known})
            return by_boxes, run_name(RunConfig(variant="ssd"), data)

    first, again, other = names("a", STAR), names("b", STAR), names("c", [*STAR[:-1], STAR[-1] + 1])
    assert first == again
    assert first[0] == other[0]
    assert len({*first, *other}) == 3
