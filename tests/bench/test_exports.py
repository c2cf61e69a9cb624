"""Exports for Pascal VOC and COCO as they are found: folders, names of files, and boxes of segmentations."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exported_data import opened, size, with_places
from layouts import TRUTH
from layouts.registry import Scene
from tiny_data import Picture, pictures, write_coco, write_voc

from bench.datasets import open_dataset
from metrics import DetectionTable, read_truth
from metrics.errors import InputError, InputNote, InputWarning
from metrics.evaluated_files import score_files


@pytest.mark.parametrize("images", ["images", "data", "JPEGImages", "photos/deep"])
@pytest.mark.parametrize("xml", ["Annotations", "labels", "xml/deep", "annotations/xmls"])
def test_voc_is_found_in_any_folders(tmp_path: Path, images: str, xml: str) -> None:
    write_voc(tmp_path / "made", with_places(pictures(12)))
    (tmp_path / "root" / images).parent.mkdir(parents=True)
    (tmp_path / "root" / xml).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "made" / "JPEGImages").rename(tmp_path / "root" / images)
    (tmp_path / "made" / "Annotations").rename(tmp_path / "root" / xml)
    assert size(opened(tmp_path / "root")[0]) == 12


def test_voc_of_two_cameras_has_the_same_names_in_two_folders(tmp_path: Path) -> None:
    for start, camera in enumerate(("cam1", "cam2")):
        content = with_places(pictures(8, 3 * start))
        for k, picture in enumerate(content):
            picture.name = f"{k:03d}"
        write_voc(tmp_path / camera, content)
        for kind in ("JPEGImages", "Annotations"):
            (tmp_path / "root" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / camera / kind).rename(tmp_path / "root" / kind / camera)
    root = tmp_path / "root"
    (root / "ImageSets" / "Main").mkdir(parents=True)
    names = [f"{camera}/{k:03d}" for camera in ("cam1", "cam2") for k in range(8)]
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n".join(names))
    assert size(opened(root)[0]) == 16
    assert read_truth(root, "train").catalog.image_ids == tuple(names)


def test_voc_in_folders_of_splits_has_these_splits(tmp_path: Path) -> None:
    for split, start in (("train", 0), ("valid", 10), ("test", 20)):
        write_voc(tmp_path / "made", with_places(pictures(10 if start == 0 else 5, start)))
        (tmp_path / split).mkdir()
        for file in [*(tmp_path / "made").rglob("*.png"), *(tmp_path / "made").rglob("*.xml")]:
            file.rename(tmp_path / split / file.name)
        shutil.rmtree(tmp_path / "made")
    data, _ = opened(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 10, "val": 5, "test": 5}


def test_the_image_called_like_the_xml_file_is_used_where_another_is_named(tmp_path: Path) -> None:
    write_voc(tmp_path, with_places(pictures(12)))
    for k in range(11):
        file = tmp_path / "Annotations" / f"img{k:03d}.xml"
        file.write_text(file.read_text().replace(f"img{k:03d}.png", f"img{k + 1:03d}.png"))
    with pytest.warns(InputWarning, match=r"11 of 12 files name the image of another file"):
        open_dataset(tmp_path)
    assert size(opened(tmp_path)[0]) == 12
    with pytest.warns(InputWarning):
        assert read_truth(tmp_path).catalog.file_names[0] == "img000.png"


RENAMED: dict[str, Callable[[str], str]] = {
    "backslash": lambda name: f"images\\1\\{name}",
    "absolute": lambda name: f"/label-studio/data/media/upload/4/{name}",
    "url": lambda name: f"http://localhost:8080/data/upload/4/{name}?v=2",
    "local-files": lambda name: f"/data/local-files/?d=shots%2F{name}",
    "case": lambda name: name.upper(),
    "encoded": lambda name: name.replace("img", "%69mg"),
}


@pytest.mark.parametrize("how", RENAMED)
@pytest.mark.parametrize("moved", [False, True])
def test_images_of_coco_are_found_by_name(tmp_path: Path, how: str, moved: bool) -> None:
    root = tmp_path / "root"
    file = write_coco(root / "result.json", with_places(pictures(12)), images=root / "shots")
    document = json.loads(file.read_text())
    for row in document["images"]:
        row["file_name"] = RENAMED[how](row["file_name"])
    file.write_text(json.dumps(document))
    options = {}
    if moved:
        (root / "shots").rename(tmp_path / "elsewhere")
        with pytest.raises(InputError, match=r"set data\.images to the folder that holds the images"):
            open_dataset(root)
        options["images"] = str(tmp_path / "elsewhere")
    data, kinds = opened(root, **options)
    assert size(data) == 12
    assert "found_elsewhere" in kinds


def test_images_without_file_name_are_found_by_coco_url(tmp_path: Path) -> None:
    for split, start in (("train", 0), ("val", 12)):
        file = write_coco(
            tmp_path / "annotations" / f"lvis_v1_{split}.json",
            with_places(pictures(12, start)),
            tmp_path / "train2017",
        )
        document = json.loads(file.read_text())
        for row in document["images"]:
            row["coco_url"] = f"http://images.cocodataset.org/train2017/{row.pop('file_name')}"
            row |= {"neg_category_ids": [], "not_exhaustive_category_ids": [2]}
        file.write_text(json.dumps(document))
    data, kinds = opened(tmp_path)
    assert (len(data.splits["train"]), size(data)) == (12, 24)
    assert "protocol" in kinds  # runs are evaluated by COCO's rules; what is advised uses LVIS's
    truth = data.splits["val"].truth
    found = DetectionTable(truth.catalog, truth.image, truth.label, truth.xywh, np.ones(len(truth)))
    truth.save(tmp_path / "truth.parquet")
    found.save(tmp_path / "detections.parquet")
    with pytest.warns(InputNote, match="evaluated by the protocol 'lvis'"):
        assert score_files(tmp_path / "truth.parquet", tmp_path / "detections.parquet").value("ap") == 1


EMPTY = {
    "missing": lambda row: row.pop("bbox"),
    "empty": lambda row: row.update(bbox=[]),
    "null": lambda row: row.update(bbox=None),
}


@pytest.mark.parametrize("how", EMPTY)
@pytest.mark.parametrize("mask", ["polygons", "counts"])
def test_an_object_without_bbox_has_the_box_of_its_segmentation(tmp_path: Path, how: str, mask: str) -> None:
    file = write_coco(tmp_path / "a.json", with_places(pictures(12)))
    document = json.loads(file.read_text())
    expected = [row["bbox"] for row in document["annotations"]]
    for row in document["annotations"][::2]:
        x, y, w, h = map(int, row["bbox"])
        if mask == "polygons":
            row["segmentation"] = [[x, y, x + w, y, x + w, y + 2], [x, y + 2, x + w, y + h, x, y + h]]
        else:
            pixels = np.zeros((48, 64), int)
            pixels[y : y + h, x : x + w] = 1
            flat = [0, *pixels.T.ravel().tolist()]
            ends = [k for k in range(1, len(flat)) if flat[k] != flat[k - 1]]
            edges = [1, *ends, len(flat)]
            row["segmentation"] = {"size": [48, 64], "counts": np.diff(edges).tolist()}
        EMPTY[how](row)
    file.write_text(json.dumps(document))
    with pytest.warns(
        InputNote,
        match=r"6 of 12 annotations have a missing or empty bbox; the box of their segmentation is used",
    ):
        assert read_truth(file).xywh.tolist() == expected
    document["annotations"][0]["segmentation"] = []
    file.write_text(json.dumps(document))
    with pytest.raises(
        InputError, match=r"annotations\[0\] \(id 1\): bbox: missing or empty, .*no polygon in segmentation"
    ):
        read_truth(file)


CASES = Path(__file__).resolve().parents[2] / ".." / "shared" / "cases"

OPENED = {
    "01-roboflow-yolo-no-test": (48, "absent_split"),
    "02-roboflow-yolo-name-prefix": (48, "found_elsewhere"),
    "03-roboflow-coco-same-name": (48, "root_category"),
    "04a-labelstudio-backslash": (48, "found_elsewhere"),
    "04b-labelstudio-116": (48, "found_elsewhere"),
    "04d-labelstudio-urlenc": (48, "found_elsewhere"),
    "05a-cvat-ultralytics-data-prefix": (48, "found_elsewhere"),
    "06a-pose-12x2": (48, ""),
    "06b-pose-17x3": (48, ""),
    "07-fiftyone-voc": (48, ""),
    "08-labelimg-renamed": (48, "renamed_images"),
    "09-cvat-voc-subfolders": (48, ""),
    "11b-cvat-yolo11-train-valid": (48, "found_elsewhere"),
    "12-lvis": (48, ""),
    "14-yolo-duplicate-lines": (48, "repeated_objects"),
    "16a-yaml-windows-abs": (48, "found_elsewhere"),
    "16d-train-txt-absolute": (48, "found_elsewhere"),
    "17-coco-case-mismatch": (48, "found_elsewhere"),
    "18a-coco-bbox-empty": (48, "boxes_of_polygons"),
    "18b-coco-bbox-missing": (48, "boxes_of_polygons"),
    "21-yolo-jpegimages": (48, ""),
    "22b-supervision-as-yolo": (48, "made_splits"),
    "43-yolo-image-suffixes": (48, ""),
    "67-yaml-names-yes-no": (48, ""),
}


@pytest.mark.parametrize("name", OPENED)
def test_a_reported_export_opens(name: str) -> None:
    if not (CASES / name).is_dir():
        pytest.skip("no folder of reported exports")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        data = open_dataset(CASES / name)
    images, kind = OPENED[name]
    objects = sum(len(split.truth) for split in data.splits.values())
    assert (size(data), objects) == (images, 200 if name.startswith("14") else 100)
    assert not kind or kind in {note.kind for note in data.notes}
    if name.startswith("06a"):
        assert data.splits["train"].truth.xywh[0].round().tolist() == [60, 48, 47, 44]


@pytest.mark.parametrize(
    "name", ["kitti_splits", "dota_1_5", "visdrone", "roboflow_obb", "roboflow_createml"]
)
@pytest.mark.parametrize("inner", [False, True])
def test_images_of_equal_names_in_folders_of_splits_are_those_of_their_split(
    tmp_path: Path, name: str, inner: bool
) -> None:
    """KITTI's numbers count from 0 in each folder, so that another split has images of the same names."""
    shown = {
        split: [Picture(f"{i:06d}", objects=[(i % 2, (2 + 9 * k, 4, 20 + 9 * k, 20 + i))]) for i in range(8)]
        for k, split in enumerate(("train", "val", "test"))
    }
    TRUTH[name].write(tmp_path, Scene(shown))
    if inner:  # one folder further down than the annotations expect
        for image in [*tmp_path.rglob("*.png"), *tmp_path.rglob("*.jpg")]:
            (image.parent / "photos").mkdir(exist_ok=True)
            image.rename(image.parent / "photos" / image.name)
    for split, of in open_dataset(tmp_path).splits.items():
        assert [len(of), {split[:3] in str(file.relative_to(tmp_path)) for file in of.files}] == [8, {True}]
        assert of.truth.boxes[:, 0].tolist() == [2 + 9 * ("train", "val", "test").index(split)] * 8
