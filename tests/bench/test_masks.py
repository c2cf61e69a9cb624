"""Masks in annotation files become label maps: COCO, YOLO and Pascal VOC, with classes, orientation and fingerprints."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as pycocotools_mask
from tiny_data import Picture, write_voc, write_yolo

from bench.data.object_masks import draw_objects
from bench.data.types import MaskFacts, Split
from bench.datasets import Dataset, open_dataset
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from bench.runs.naming import run_name
from bench.settings.config import RunConfig
from bench.survey.data_check import check_data
from bench.survey.samples import choose_samples
from bench.survey.subject import subjects_of
from detectors.registry import VARIANTS
from metrics.errors import InputError
from metrics.formats.coco_masks import has_masks
from metrics.formats.mask_objects import MaskObject, RunLengths, parse_polygon, parse_runs
from metrics.formats.voc_colors import voc_colors
from metrics.pixel_labels import IGNORED

pytestmark = pytest.mark.filterwarnings("ignore::metrics.errors.InputWarning", "ignore::DeprecationWarning")

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "coco" / "train33"
SIZE = (40, 56)
STAR = [4.0, 4, 30, 8, 26, 30, 12, 34, 14, 18]
TRIANGLE = [20.0, 20, 50, 24, 36, 38]


def map_of(split: Split, index: int = 0) -> NDArray[np.uint8]:
    assert split.label_maps is not None
    return split.label_maps(index)


def facts(split: Split) -> MaskFacts:
    assert split.describe_masks is not None
    return split.describe_masks()


def filled(points: Sequence[float], size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    """Pixels whose centre is in a polygon: a ray to the right crosses an odd number of its sides."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    inside = np.zeros(size, np.bool_)
    for (x0, y0), (x1, y1) in sides(points):
        if y0 != y1:
            crossed = (rows >= min(y0, y1)) & (rows < max(y0, y1))
            inside ^= crossed & (columns < x0 + (rows - y0) * (x1 - x0) / (y1 - y0))
    return inside


def sides(points: Sequence[float]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    corners = np.array(points, np.float64).reshape(-1, 2)
    return list(zip(corners, np.roll(corners, -1, axis=0), strict=True))


def assert_fills(found: NDArray[np.bool_], *polygons: Sequence[float]) -> None:
    """All pixels agree but those whose centre is within a pixel of a side."""
    centers = np.stack(np.mgrid[: found.shape[0], : found.shape[1]][::-1], -1) + 0.5
    away = np.ones(found.shape, np.bool_)
    for points in polygons:
        for a, b in sides(points):
            along = ((centers - a) @ (b - a) / max((b - a) @ (b - a), 1e-12)).clip(0, 1)
            away &= np.linalg.norm(centers - (a + along[..., None] * (b - a)), axis=-1) > 1
    expected = np.logical_or.reduce([filled(points, found.shape) for points in polygons])
    assert (expected & away).any()
    np.testing.assert_array_equal(found[away], expected[away])


def write_coco(
    folder: Path,
    segmentations: Sequence[dict[str, Any]],
    count: int = 6,
    classes: Sequence[str] = ("cat", "dog", "emu"),
) -> Path:
    """A COCO folder of `count` images of `SIZE`, of which all have the annotations `segmentations`."""
    images, rows = [], []
    for k in range(count):
        pixels = np.full((*SIZE, 3), 30 + k, np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
        images.append({"id": k, "file_name": f"{k}.png", "height": SIZE[0], "width": SIZE[1]})
        for row in segmentations:
            given = {"id": len(rows) + 1, "image_id": k, "iscrowd": 0, "bbox": [2, 2, 20, 20], "area": 400}
            rows.append(given | row)
    categories = [{"id": 10 * k, "name": name} for k, name in enumerate(classes, 1)]
    file = folder / "annotations.json"
    file.write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))
    return file


def opened(folder: Path, segmentations: Sequence[dict[str, Any]], **options: Any) -> Dataset:
    return open_dataset(write_coco(folder, segmentations), **options)


def runs_of(mask: NDArray[np.bool_], compressed: bool) -> dict[str, Any]:
    """The run-length code of pycocotools, or its counts worked out from the pixels."""
    if compressed:
        code = pycocotools_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        return {"size": list(mask.shape), "counts": code["counts"].decode()}
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *lengths] if flat[0] else lengths}


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


def square(label: int, x: int, y: int, side: int, crowd: bool = False) -> MaskObject:
    points = np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]], np.float64)
    return MaskObject(label, crowd, (x, y, side, side), (points,))


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


# COCO


@pytest.mark.parametrize("form", ["polygon", "flat polygon", "counts", "compressed"])
def test_coco_masks_of_every_form_become_label_maps(tmp_path, form):
    mask = filled(STAR)
    given: Any = {"polygon": [STAR], "flat polygon": STAR}.get(form) or runs_of(mask, form == "compressed")
    data = opened(tmp_path, [{"category_id": 20, "segmentation": given}])
    for split in data.splits.values():
        for index in range(len(split)):
            label_map = map_of(split, index)
            assert label_map.shape == SIZE
            assert label_map.dtype == np.uint8
            assert set(np.unique(label_map)) == {0, 2}
            assert_fills(label_map == 2, STAR)
            if form in {"counts", "compressed"}:
                np.testing.assert_array_equal(label_map == 2, mask)
        assert facts(split).images == len(split)
        assert facts(split).notes == ()


def test_an_object_of_several_polygons_is_their_union(tmp_path):
    split = opened(tmp_path, [{"category_id": 10, "segmentation": [STAR, TRIANGLE]}]).splits["train"]
    assert_fills(map_of(split) == 1, STAR, TRIANGLE)


def test_objects_without_usable_masks_and_crowds_are_counted(tmp_path):
    rows = [
        {"category_id": 10, "segmentation": [STAR]},
        {"category_id": 10, "segmentation": []},
        {"category_id": 20, "segmentation": [[1, 2, 3, 4]]},
        {"category_id": 20, "bbox": [1, 2, 3, 4], "segmentation": {"size": [2, 2], "counts": [9]}},
        {"category_id": 30, "iscrowd": 1, "segmentation": runs_of(filled(TRIANGLE), True)},
    ]
    split = opened(tmp_path, rows).splits["train"]
    count = len(split)
    assert facts(split).notes == (
        f"train: {3 * count} of {4 * count} objects have no usable mask; their boxes are ignored in label maps",
        f"train: {count} crowd regions are ignored in label maps",
    )
    loader = make_loader(split, ImageConfig(size=SIZE), workers=0, label_maps=True)
    assert set(facts(split).notes) < set(loader.notes)
    assert not set(facts(split).notes) & set(make_loader(split, ImageConfig(size=SIZE), workers=0).notes)


def test_boxes_written_as_polygons_are_reported(tmp_path):
    box = [2, 2, 22, 2, 22, 22, 2, 22]
    split = opened(tmp_path, [{"category_id": 10, "segmentation": [box]}]).splits["val"]
    (note,) = facts(split).notes
    assert note.startswith(f"val: all {len(split)} masks have four corners")


def test_data_without_masks_has_no_label_maps(tmp_path):
    data = opened(tmp_path, [{"category_id": 10, "segmentation": []}])
    assert all(split.label_maps is None and split.describe_masks is None for split in data.splits.values())
    assert data.mask_fingerprint is None
    with pytest.raises(InputError, match="boxes but no masks"):
        make_loader(data.splits["train"], ImageConfig(size=SIZE), label_maps=True)


def test_the_file_is_parsed_for_masks_only_when_they_are_needed(tmp_path, monkeypatch):
    parsed = []
    monkeypatch.setattr(
        "metrics.formats.coco_masks.read_json",
        lambda path: parsed.append(path) or json.loads(path.read_text()),
    )
    data = opened(tmp_path, [{"category_id": 10, "segmentation": [STAR]}])
    list(make_loader(data.splits["train"], ImageConfig(size=SIZE), workers=0))
    assert not parsed
    for split in data.splits.values():
        list(make_loader(split, ImageConfig(size=SIZE), workers=0, label_maps=True))
    assert len(parsed) == 1


def test_label_maps_can_be_sent_to_another_process(tmp_path):
    split = opened(tmp_path, [{"category_id": 10, "segmentation": [STAR]}]).splits["train"]
    sent = pickle.loads(pickle.dumps(split.label_maps))
    np.testing.assert_array_equal(sent(0), map_of(split))


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ({"classes": ["dog", "emu"]}, {"cat": 0, "dog": 1, "emu": 2}),
        ({"classes": ["emu"], "left_out": "ignored"}, {"cat": IGNORED, "dog": IGNORED, "emu": 1}),
        ({"classes": ["emu"], "left_out": "regions"}, {"cat": IGNORED, "dog": IGNORED, "emu": 1}),
        ({"classes": {"cat": "beast", "dog": "beast"}}, {"cat": 1, "dog": 1, "emu": 2}),
        ({"classes": {"cat": "emu"}}, {"cat": 1, "dog": 2, "emu": 1}),
    ],
)
def test_label_maps_follow_the_choice_of_classes(tmp_path, options, values):
    corners = {"cat": (2, 2), "dog": (20, 4), "emu": (30, 22)}
    rows = [
        {"category_id": 10 * k, "segmentation": [square(0, *corners[name], 8).polygons[0].ravel().tolist()]}
        for k, name in enumerate(corners, 1)
    ]
    data = opened(tmp_path, rows, **options)
    label_map = map_of(data.splits["train"])
    for name, (x, y) in corners.items():
        assert set(np.unique(label_map[y : y + 8, x : x + 8])) == {values[name]}
        label = values[name] - 1
        if 0 <= label < len(data.classes):
            merged = options["classes"].get(name, name) if isinstance(options["classes"], dict) else name
            assert data.classes[label] == merged


def test_images_keep_their_maps_in_a_union_of_parts(tmp_path):
    for name, points, category in (("one", STAR, 10), ("two", TRIANGLE, 20)):
        (tmp_path / name).mkdir()
        write_coco(tmp_path / name, [{"category_id": category, "segmentation": [points]}], 9)
    plain = [Picture(f"p{k}", SIZE) for k in range(9)]
    write_yolo(tmp_path / "three", {"train": plain}, ("dog", "cat"))
    data = open_dataset("+".join(str(tmp_path / name) for name in ("one", "two", "three")))
    seen = set()
    for split in data.splits.values():
        notes = " ".join(facts(split).notes)
        for index, identity in enumerate(split.truth.catalog.image_ids):
            part = str(identity).split("/")[0]
            seen.add(part)
            expected, name = {"one": (STAR, "cat"), "two": (TRIANGLE, "dog")}.get(part, (None, ""))
            label_map = map_of(split, index)
            if expected is None:
                assert (label_map == IGNORED).all()
                assert "images have no mask and are ignored" in notes
            else:
                assert_fills(label_map == 1 + data.classes.index(name), expected)
    assert seen == {"one", "two", "three"}


def test_masks_are_part_of_the_mask_fingerprint_and_not_of_that_of_the_data(tmp_path):
    def prints(name: str, points: Sequence[float], **options: Any) -> tuple[str, str]:
        (tmp_path / name).mkdir()
        data = opened(tmp_path / name, [{"category_id": 10, "segmentation": [points]}], **options)
        assert data.mask_fingerprint is not None
        return data.fingerprint, data.mask_fingerprint()

    first = prints("a", STAR)
    assert prints("b", STAR) == first
    changed = prints("c", [*STAR[:-1], STAR[-1] + 1])
    assert changed[0] == first[0]
    assert changed[1] != first[1]


def test_fault_110_more_classes_than_bytes_are_refused_until_some_are_chosen(tmp_path):
    names = [f"c{k:03d}" for k in range(300)]
    rows = [{"category_id": 10 * k, "segmentation": [STAR]} for k in (1, 300)]
    file = write_coco(tmp_path, rows, classes=names)
    split = open_dataset(file).splits["train"]
    with pytest.raises(
        InputError, match=r"train: 300 classes, but a label map holds at most 254; .* data\.classes"
    ):
        make_loader(split, ImageConfig(size=SIZE), label_maps=True)
    chosen = open_dataset(file, classes=["c299"]).splits["train"]
    assert set(np.unique(map_of(chosen))) == {0, 1}


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_polygons_are_on_the_image_as_it_is_loaded(tmp_path, orientation, stored):
    """Annotated on the upright or on the stored pixels, the mask covers what is painted there."""
    if stored and orientation == 3:
        pytest.skip("the size does not tell that annotations are on the stored pixels")
    upright = np.zeros((*SIZE, 3), np.uint8)
    upright[filled(STAR)] = 255
    turns = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]  # quarter turns to the left, from upright to stored
    pixels = np.rot90(upright, turns).copy()
    shown = pixels if stored else upright
    mask = shown[:, :, 0] > 0
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = write_coco(tmp_path, [{"category_id": 10, "segmentation": runs_of(mask, True)}])
    document = json.loads(file.read_text())
    for image in document["images"]:
        image["height"], image["width"] = mask.shape
        pixels[0, 0, 1] = image["id"]  # no two files are equal
        Image.fromarray(pixels).save(tmp_path / image["file_name"], exif=exif)
    file.write_text(json.dumps(document))
    split = open_dataset(file).splits["train"]
    np.testing.assert_array_equal(map_of(split) == 1, split.load(0)[:, :, 0] > 0)


def test_masks_are_found_in_packed_files(tmp_path):
    import gzip

    for segmentation, expected in (([STAR], True), ([], False)):
        file = write_coco(tmp_path, [{"category_id": 10, "segmentation": segmentation}])
        packed = tmp_path / "packed.json.gz"
        packed.write_bytes(gzip.compress(file.read_bytes()))
        assert has_masks(file) == has_masks(packed) == expected


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not on this machine")
def test_masks_of_real_photographs_fill_their_boxes():
    split = open_dataset(SHARED / "instances.json", allow_missing=True, splits="drawn").splits["train"]
    document = json.loads((SHARED / "instances.json").read_text())
    annotations = [a for a in document["annotations"] if not a["iscrowd"]]
    ids, truth = list(split.truth.catalog.image_ids), split.truth
    compared = 0
    for index, identity in enumerate(ids):
        label_map = map_of(split, index)
        assert label_map.shape == split.load(index).shape[:2]
        own = [a for a in annotations if a["image_id"] == identity]
        labels = {int(label) for label in truth.label[(truth.image == index) & ~truth.crowd]}
        assert set(np.unique(label_map)) - {0, IGNORED} <= {label + 1 for label in labels}
        for annotation in own:
            label = truth.catalog.class_ids.index(annotation["category_id"])
            others = [a for a in own if a is not annotation and a["category_id"] == annotation["category_id"]]
            if others or annotation["area"] < 400:
                continue
            # Nothing smaller hides it, and nobody else has its class, so its box is that of its pixels.
            code = pycocotools_mask.merge(
                pycocotools_mask.frPyObjects(annotation["segmentation"], *label_map.shape)
            )
            mask = pycocotools_mask.decode(code) > 0
            assert not ((label_map == label + 1) & ~mask).any()
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            x, y, w, h = annotation["bbox"]
            np.testing.assert_allclose(
                [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], [x, y, x + w, y + h], atol=3
            )
            compared += 1
    assert compared > 10


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


# Pascal VOC


def write_class_images(
    root: Path, classes: Sequence[str], numbers: NDArray[np.uint8], masked: int = 8, form: str = "palette"
) -> Path:
    """A VOC folder of eight images; `masked` of them have the pixels `numbers` in ``SegmentationClass``."""
    pictures = [Picture(f"v{k}", SIZE, [(k % len(classes), (4, 4, 20, 20))]) for k in range(8)]
    write_voc(root, pictures, classes=classes)
    folder = root / "SegmentationClass"
    folder.mkdir()
    for k in range(masked):
        image = Image.fromarray(numbers)
        if form == "palette":
            image = image.convert("P")
            image.putpalette(voc_colors().ravel().tolist())
        elif form == "rgb":
            image = Image.fromarray(voc_colors()[numbers])
        image.save(folder / f"v{k}.png")
    return root


def voc_numbers(*numbers: int) -> NDArray[np.uint8]:
    """Background, a void border, and a square of each number."""
    pixels = np.zeros(SIZE, np.uint8)
    for k, number in enumerate(numbers):
        pixels[3:17, 3 + 16 * k : 17 + 16 * k] = 255
        pixels[4:16, 4 + 16 * k : 16 + 16 * k] = number
    return pixels


@pytest.mark.parametrize("form", ["palette", "grey", "rgb"])
def test_voc_numbers_are_those_of_vocs_classes(tmp_path, form):
    numbers = voc_numbers(8, 15)  # cat, person
    root = write_class_images(tmp_path, ("person", "cat"), numbers, form=form)
    data = open_dataset(root)
    assert data.classes == ("cat", "person")
    expected = np.select([numbers == 8, numbers == 15, numbers == 255], [1, 2, IGNORED], 0)
    for split in data.splits.values():
        np.testing.assert_array_equal(map_of(split), expected)
    (note,) = [note for note in data.notes if note.kind == "class_images"]
    assert (
        "8 of 8 images have a mask, with the numbers of Pascal VOC; classes without objects are background: "
        in note.text
    )


def test_numbers_of_other_classes_are_guessed_by_the_alphabet_which_is_reported(tmp_path):
    numbers = voc_numbers(1, 2)
    data = open_dataset(write_class_images(tmp_path, ("zebra", "apple"), numbers, masked=7))
    masked = [
        (split, k)
        for split in data.splits.values()
        for k in range(len(split))
        if split.truth.catalog.image_ids[k] != "v7"
    ]
    for split, index in masked:
        expected = np.select([numbers == 1, numbers == 2, numbers == 255], [1, 2, IGNORED], 0)
        np.testing.assert_array_equal(map_of(split, index), expected)
    assert len(masked) == 7
    (note,) = [note for note in data.notes if note.kind == "class_images"]
    assert (
        "7 of 8 images have a mask, with the numbers from 1 in alphabetical order of the classes" in note.text
    )
    without = next(split for split in data.splits.values() if "v7" in split.truth.catalog.image_ids)
    assert (map_of(without, without.truth.catalog.image_ids.index("v7")) == IGNORED).all()
    assert facts(without).images == len(without) - 1


@pytest.mark.parametrize("form", ["palette", "rgb"])
def test_a_labelmap_names_the_class_of_each_colour(tmp_path, form):
    colors = voc_colors()
    numbers = voc_numbers(5, 7)
    root = write_class_images(tmp_path, ("zebra", "apple"), numbers, form=form)
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    lines += [
        f"{name}:{','.join(map(str, colors[n]))}::" for name, n in (("zebra", 5), ("shadow", 7), ("apple", 9))
    ]
    (root / "labelmap.txt").write_text("\n".join(lines) + "\n")
    data = open_dataset(root)
    expected = np.select([numbers == 5, numbers == 7, numbers == 255], [2, 0, IGNORED], 0)
    np.testing.assert_array_equal(map_of(data.splits["train"]), expected)
    (note,) = [note for note in data.notes if note.kind == "class_images"]
    assert note.text.endswith(
        "with the colours of labelmap.txt; classes without objects are background: shadow"
    )


@pytest.mark.parametrize(
    ("labelmap", "message"),
    [
        (
            None,
            r"v\d\.png: 144 pixels have the number 77, which is that of no class; add a line to labelmap\.txt",
        ),
        ("zebra:128,0,0::\n", r"v\d\.png: 144 pixels have the colour \d+,\d+,\d+, which is that of no class"),
        ("zebra 128 0 0\n", r"labelmap\.txt:1: expected name:r,g,b:parts:actions"),
        ("zebra:1,1,1::\napple:1,1,1::\n", r"labelmap\.txt:2: 'apple' has the colour of 'zebra'"),
    ],
)
def test_fault_110_pixels_of_no_class_and_wrong_colours_are_refused(tmp_path, labelmap, message):
    root = write_class_images(tmp_path, ("zebra", "apple"), voc_numbers(77))
    if labelmap is not None:
        (root / "labelmap.txt").write_text(labelmap)
    with pytest.raises(InputError, match=message):
        map_of(open_dataset(root).splits["train"])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_class_images_are_turned_with_their_images(tmp_path, orientation):
    """Of an image whose sides EXIF swaps, the class image can be as stored or upright; both cover what is painted."""
    numbers = voc_numbers(1)
    numbers[numbers == 255] = 0
    exif = Image.Exif()
    exif[0x0112] = orientation
    for form in ("stored", "upright") if orientation > 4 else ("upright",):
        root = write_class_images(tmp_path / form, ("apple",), numbers)
        pixels = np.repeat((numbers == 1).astype(np.uint8)[:, :, None] * 255, 3, 2)
        for k in range(8):
            path = root / "JPEGImages" / f"v{k}.png"
            pixels[0, 0, 0] = k  # no two files are equal
            Image.fromarray(pixels).save(path, exif=exif)
            upright = np.asarray(Image.open(path).convert("RGB"))
            xml = root / "Annotations" / f"v{k}.xml"
            if orientation > 4:
                xml.write_text(
                    xml.read_text().replace(
                        "<width>56</width><height>40</height>", "<width>40</width><height>56</height>"
                    )
                )
        split = open_dataset(root).splits["train"]
        shown = split.load(0)
        assert shown.shape[:2] == (SIZE[::-1] if orientation > 4 else SIZE)
        if form == "upright":
            for k in range(8):
                Image.fromarray((split.load(0)[:, :, 1] > 127).astype(np.uint8)).save(
                    root / "SegmentationClass" / f"v{k}.png"
                )
            split = open_dataset(root).splits["train"]
        np.testing.assert_array_equal(map_of(split) == 1, shown[:, :, 1] > 127)
        assert upright.size


def test_fault_110_a_class_image_of_another_size_is_refused(tmp_path):
    root = write_class_images(tmp_path, ("apple",), voc_numbers(1)[:, :-1])
    with pytest.raises(
        InputError, match=r"v\d\.png: 55x40 pixels, but its image v\d\.png has 56x40; make them equal"
    ):
        map_of(open_dataset(root).splits["train"])


def test_the_contents_of_class_images_are_part_of_the_mask_fingerprint(tmp_path):
    root = write_class_images(tmp_path, ("apple",), voc_numbers(1))

    def prints() -> tuple[str, str]:
        data = open_dataset(root)
        assert data.mask_fingerprint is not None
        return data.fingerprint, data.mask_fingerprint()

    before = prints()
    assert prints() == before
    changed = voc_numbers(1)
    changed[30, 30] = 1
    Image.fromarray(changed).save(root / "SegmentationClass" / "v3.png")
    after = prints()
    assert after[0] == before[0]
    assert after[1] != before[1]


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
