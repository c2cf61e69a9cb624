"""Masks in COCO files become label maps: every form of mask, with classes, orientation and fingerprints."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from masked_data import (
    SIZE,
    STAR,
    TRIANGLE,
    assert_fills,
    facts,
    filled,
    map_of,
    opened,
    runs_of,
    square,
    write_coco,
)
from PIL import Image
from pycocotools import mask as pycocotools_mask
from tiny_data import Picture, write_yolo

from bench.datasets import open_dataset
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from metrics.errors import InputError
from metrics.formats.coco_masks import has_masks
from metrics.pixel_labels import IGNORED

pytestmark = pytest.mark.filterwarnings("ignore::metrics.errors.InputWarning", "ignore::DeprecationWarning")

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "coco" / "train33"


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
        f"train: {3 * count} of {4 * count} objects have no usable mask, and their boxes are ignored in label maps",
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
