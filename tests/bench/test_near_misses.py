"""Paths that are nearly a data set: one folder too high or too low, one file, an archive, results; the advice works."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from layouts import TRUTH
from layouts.registry import Scene
from tiny_data import Picture, pictures, write_coco, write_voc, write_yolo

from bench.datasets import open_dataset
from metrics import read_truth
from metrics.errors import InputError


def yolo(root: Path) -> Path:
    write_yolo(root, {"train": pictures(6), "val": pictures(3, 6), "test": pictures(3, 9)})
    return root


def coco(root: Path) -> Path:
    write_coco(root / "annotations" / "instances.json", pictures(12), root / "images")
    return root


def voc(root: Path) -> Path:
    return write_voc(root, pictures(12))


def advice(path: Path) -> str:
    """What both readers say of a path, which is the same."""
    said = []
    for read in (open_dataset, read_truth):
        with pytest.raises(InputError) as refused:
            read(path)
        found = re.search(
            r"(?:unknown data set format|no annotations found|unknown kind of file); (.*?); (looked|expected)",
            str(refused.value),
        )
        said.append(found[1] if found else "")
    assert said[0] == said[1]
    return said[0]


def test_fault_154_the_data_set_in_a_folder_is_named(tmp_path: Path) -> None:
    root = yolo(tmp_path / "pets")
    (tmp_path / "notes.md").write_text("my data")
    assert advice(tmp_path) == f"give the path of a data set in it: {root} (yolo)"
    open_dataset(root)


@pytest.mark.parametrize(
    ("write", "inner"),
    [(yolo, "images/train"), (yolo, "images"), (yolo, "labels"), (coco, "images"), (voc, "JPEGImages")],
)
def test_fault_154_the_data_set_around_a_folder_is_named(
    tmp_path: Path, write: Callable[[Path], Path], inner: str
) -> None:
    root = write(tmp_path / "pets")
    assert (
        advice(root / inner) == f"it is a part of the data set in {root} ({write.__name__}): give that path"
    )
    open_dataset(root)


def test_fault_154_single_files_and_other_contents_are_named(tmp_path: Path) -> None:
    root = yolo(tmp_path / "pets")
    name = pictures(1)[0].name
    assert (
        advice(root / "images" / "train" / f"{name}.png") == "it is an image; give the folder of the data set"
    )
    assert "give the folder of all files" in advice(root / "labels" / "train" / f"{name}.txt")
    bare = tmp_path / "bare"
    Picture("a").save(bare)
    assert advice(bare) == "it has 1 image, but no annotations that are known"
    (bare / "results.json").write_text(
        json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}])
    )
    assert advice(bare) == "results.json: looks like results (detections), not ground truth"
    (bare / "results.json").write_text("")
    assert advice(bare) == "results.json: the file is empty"
    (bare / "pets.zip").write_bytes(b"PK\5\6")
    assert advice(bare) == "pets.zip is an archive: unpack it"


def test_fault_154_coco_without_categories_is_named(tmp_path: Path) -> None:
    file = coco(tmp_path) / "annotations" / "instances.json"
    text = file.read_text()
    file.write_text(text.replace('"categories"', '"kinds"'))
    said = "annotations/instances.json: has images and annotations, but no categories, which COCO needs: is the file complete?"
    assert advice(tmp_path) == said
    file.write_text(text)
    open_dataset(tmp_path)


@pytest.mark.parametrize("place", ["annotations/{}/instances.json", "{}/annotations/instances_default.json"])
def test_annotations_of_coco_in_folders_of_splits_are_the_splits(tmp_path: Path, place: str) -> None:
    parts = {"train": pictures(6), "val": pictures(3, 6), "test": pictures(3, 9)}
    for split, of in parts.items():
        write_coco(tmp_path / place.format(split), of, tmp_path / "images" / split)
    data = open_dataset(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 6, "val": 3, "test": 3}


def test_a_packed_file_of_coco_in_a_folder_is_read(tmp_path: Path) -> None:
    file = coco(tmp_path) / "annotations" / "instances.json"
    packed = file.with_name("instances.json.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    expected = read_truth(file).fingerprint
    file.unlink()
    assert read_truth(tmp_path).fingerprint == expected
    assert sum(map(len, open_dataset(tmp_path).splits.values())) == 12
    shutil.move(packed, tmp_path / "instances.json.gz")
    assert read_truth(tmp_path).fingerprint == expected


def test_fault_154_tasks_of_label_studio_without_annotation_are_refused(tmp_path: Path) -> None:
    pictures(1)[0].save(tmp_path)
    region = {
        "type": "rectanglelabels",
        "value": {"rectanglelabels": ["cat"], "x": 1, "y": 1, "width": 9, "height": 9},
    }
    task = {
        "data": {"image": f"{pictures(1)[0].name}.png"},
        "annotations": [],
        "predictions": [{"result": [region]}],
    }
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    for read in (open_dataset, read_truth):
        with pytest.raises(
            InputError, match=r"no task has an annotation that was submitted; predictions are not"
        ):
            read(tmp_path)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "pets.vott",
            "is a project of VoTT, which has no boxes: give the folder with its files *-asset.json",
        ),
        ("det/det.txt", "has detections of MOT Challenge: the annotations are in gt/gt.txt"),
        ("ulm/ulm_000_gtFine_instanceIds.png", "add the polygons of Cityscapes, *_gtFine_polygons.json"),
        ("train.tfrecord-00000-of-00010", "is a TFRecord file, which is not read: export the data as COCO"),
        ("digitStruct.mat", "is a MATLAB file, which is not read: convert the annotations to COCO"),
        ("train-00000-of-00001.parquet", "images inside a table are not read: write them to files"),
    ],
)
def test_fault_165_files_of_tools_without_annotations_are_named(
    tmp_path: Path, file: str, expected: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("1,-1,2,3,20,30,0.5,-1,-1,-1\n")
    Picture("a").save(tmp_path / "images")
    assert expected in advice(tmp_path)
    assert advice(tmp_path).startswith(file)


def test_fault_154_a_text_file_of_no_known_layout_is_named_with_its_first_line(tmp_path: Path) -> None:
    Picture("a").save(tmp_path / "images")
    (tmp_path / "README.txt").write_text("Faces of 2024\n")
    assert advice(tmp_path) == "it has 1 image, but no annotations that are known"
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "label.txt").write_text("\n= a.png\n3 4 20 30 1.5\n")
    assert advice(tmp_path).endswith("; labels/label.txt: has no known layout; its first line is '= a.png'")


@pytest.mark.parametrize("name", ["rsna_pneumonia", "kitti"])
def test_fault_165_images_that_pillow_does_not_read_are_named_and_the_fix_works(
    tmp_path: Path, name: str
) -> None:
    TRUTH[name].write(tmp_path, Scene({"train": pictures(24)}))
    images = list(tmp_path.rglob("*.png"))
    for image in images:
        image.rename(image.with_suffix(".dcm"))
    with pytest.raises(
        InputError, match=r"not found; searched .*; there are 24 \.dcm files, .* convert them to PNG or JPEG"
    ):
        open_dataset(tmp_path)
    for image in images:
        image.with_suffix(".dcm").rename(image)
    assert sum(map(len, open_dataset(tmp_path).splits.values())) == 24


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "a.xml",
            "<?xml version='1.0'?><!-- x --><Unknown_Image><a/></Unknown_Image>",
            "its first element is <Unknown_Image>",
        ),
        (
            "train.yaml",
            "---\n- boxes:\n  - {label: Red}\n",
            "which needs names; its first line is '- boxes:'",
        ),
        ("a.geojson", '{"type": "FeatureCollection"}', "has no known layout; its first keys are type"),
    ],
)
def test_fault_172_xml_yaml_and_geojson_of_no_known_layout_are_named(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    Picture("a").save(tmp_path / "images")
    (tmp_path / name).write_text(text)
    assert f"{name}: " in advice(tmp_path)
    assert said in advice(tmp_path)
