"""Recognition of the format of a path."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metrics import read_detections, read_truth
from metrics.errors import InputError, InputWarning
from metrics.formats import coco, voc
from metrics.formats.layouts import LAYOUTS, find_layouts, voc_folder
from metrics.tables import AnnotationTable, Catalog, DetectionTable

CATALOG = Catalog.of([1, 2], ["cat", "dog"], sizes=[(40, 60), (40, 60)])
TRUTH = AnnotationTable.of(CATALOG, [0, 1], [0, 1], [[0, 0, 9, 9], [1, 1, 5, 5]])
FOUND = DetectionTable(CATALOG, [0, 1], [0, 1], [[0, 0, 9, 9], [1, 1, 5, 5]], [0.9, 0.8])  # type: ignore[arg-type]


def test_json_parquet_and_csv_have_the_same_contents(tmp_path: Path) -> None:
    coco.write_truth(TRUTH, tmp_path / "gt.json")
    TRUTH.save(tmp_path / "gt.parquet")
    TRUTH.to_frame().to_csv(tmp_path / "gt.csv", index=False)
    coco.write_detections(FOUND, tmp_path / "dt.json")
    FOUND.save(tmp_path / "dt.parquet")
    FOUND.to_frame().to_csv(tmp_path / "dt.csv", index=False)
    for suffix in ("json", "parquet", "csv"):
        truth = read_truth(tmp_path / f"gt.{suffix}")
        np.testing.assert_array_equal(truth.xywh, TRUTH.xywh)
        assert truth.catalog.classes == CATALOG.classes
        found = read_detections(tmp_path / f"dt.{suffix}", TRUTH)
        assert found.fingerprint == FOUND.fingerprint


def test_a_table_of_the_same_images_is_moved_to_another_catalog(tmp_path: Path) -> None:
    FOUND.save(tmp_path / "dt.parquet")
    wider = Catalog.of([0, 1, 2], ["ant", "cat", "dog"])
    moved = read_detections(tmp_path / "dt.parquet", AnnotationTable.of(wider, [], [], []))
    assert moved.image.tolist() == [1, 2]
    assert moved.label.tolist() == [1, 2]
    with pytest.raises(
        InputError, match=r"category_id 1, 'dog', is not a class of the ground truth; evaluate it with"
    ):
        read_detections(tmp_path / "dt.parquet", AnnotationTable.of(Catalog.of([1, 2], ["cat"]), [], [], []))


def test_a_yolo_folder_is_read_with_the_sizes_of_its_images(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / "images" / split).mkdir(parents=True)
        (tmp_path / "labels" / split).mkdir(parents=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "images" / split / f"{split}.png")
        (tmp_path / "labels" / split / f"{split}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    turned = Image.Exif()
    turned[0x0112] = 6  # rotated by 90 degrees
    Image.new("RGB", (60, 40)).save(tmp_path / "images" / "val" / "turned.jpg", exif=turned)
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat]\n")
    table = read_truth(tmp_path)
    assert table.catalog.image_ids == ("turned", "val")
    assert table.catalog.sizes.tolist() == [[60, 40], [40, 60]]
    assert table.xywh.tolist() == [[15, 10, 30, 20]]
    assert read_truth(tmp_path / "data.yaml", split="train").catalog.image_ids == ("train",)
    with pytest.raises(InputError, match=r"no split 'test'; it has train, val"):
        read_truth(tmp_path, split="test")
    (tmp_path / "images" / "val" / "val.png").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"val.png: cannot be read as an image"):
        read_truth(tmp_path)


@pytest.mark.filterwarnings("ignore::metrics.errors.InputWarning")
def test_a_voc_folder_is_read_whole_or_by_split(shared_data: Path) -> None:
    folder = shared_data / "bccd"
    assert len(read_truth(folder)) == 4888
    test = read_truth(folder, split="test")
    assert (len(test), len(test.catalog.image_ids), len(test.catalog.classes)) == (945, 72, 3)
    bare = shared_data / "formats100" / "pascalvoc_format"
    assert (
        read_truth(bare, pixels="edges").fingerprint
        == voc.read_truth(bare.glob("*.xml"), pixels="edges").fingerprint
    )
    with pytest.raises(InputError, match=r"minival.txt: no such split; there are test, train, trainval, val"):
        read_truth(folder, split="minival")


def test_a_folder_of_one_coco_file_is_read_and_of_several_is_refused(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    coco.write_truth(TRUTH, tmp_path / "annotations" / "instances_val.json")
    coco.write_truth(TRUTH, tmp_path / "annotations" / "captions_val.json")
    assert read_truth(tmp_path).fingerprint == TRUTH.fingerprint
    coco.write_truth(TRUTH, tmp_path / "annotations" / "instances_train.json")
    with pytest.raises(InputError, match=r"give the path of one of annotations/instances_train.json, annot"):
        read_truth(tmp_path)


def test_yolo_without_yaml_has_its_images_beside_the_list_of_names(tmp_path: Path) -> None:
    (tmp_path / "obj_train_data").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "obj_train_data" / "a.png")
    (tmp_path / "obj_train_data" / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    (tmp_path / "obj.names").write_text("cat\ndog\n")
    table = read_truth(tmp_path)
    assert (table.catalog.classes, table.label.tolist()) == (("cat", "dog"), [1])
    assert table.xywh.tolist() == [[15, 10, 30, 20]]


def test_a_folder_of_two_formats_is_read_as_the_first_with_a_warning(tmp_path: Path) -> None:
    coco.write_truth(TRUTH, tmp_path / "gt.json")
    (tmp_path / "a.xml").write_text("<annotation></annotation>")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]\n")
    assert [layout.name for layout in find_layouts(tmp_path)] == ["coco", "voc", "yolo"]
    with pytest.warns(InputWarning, match=r"read as coco; it also holds voc and yolo"):
        assert read_truth(tmp_path).fingerprint == TRUTH.fingerprint


def test_several_descriptions_or_devkits_are_refused(tmp_path: Path) -> None:
    for name in ("one.yaml", "two.yml"):
        (tmp_path / name).write_text("train: images\nnames: [cat]\n")
    with pytest.raises(InputError, match=r"several descriptions: one.yaml, two.yml; give the path of one"):
        find_layouts(tmp_path)
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat]\n")
    assert LAYOUTS["yolo"].files(tmp_path) == [tmp_path / "data.yaml"]
    for year in ("VOC2007", "VOC2012"):
        (tmp_path / "VOCdevkit" / year / "Annotations").mkdir(parents=True)
    with pytest.raises(InputError, match=r"several data sets: VOC2007, VOC2012"):
        voc_folder(tmp_path)


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent: no such file or folder"):
        read_truth(tmp_path / "absent")
    with pytest.raises(InputError, match=r"no annotations found; expected COCO's .json"):
        read_truth(tmp_path)
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match=r"a.txt: unknown kind of file; .*expected COCO's .json"):
        read_truth(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"a.txt: unknown kind of file; .*expected COCO results"):
        read_detections(tmp_path / "a.txt", TRUTH)
    with pytest.raises(InputError, match=r"a single file has no splits; leave out 'val'"):
        read_truth(tmp_path / "a.txt", split="val")


def test_files_of_other_tasks_are_left_out_beside_those_of_objects(tmp_path: Path) -> None:
    coco.write_truth(TRUTH, tmp_path / "annotations" / "pets.json")
    text = (tmp_path / "annotations" / "pets.json").read_text()
    for name in ("panoptic_pets", "stuff_pets", "person_keypoints_pets"):
        (tmp_path / "annotations" / f"{name}.json").write_text(text)
    (layout,) = find_layouts(tmp_path)
    assert [file.name for file in layout.files(tmp_path)] == ["pets.json"]


def test_a_file_of_panoptic_segmentation_is_refused_with_what_is_read(tmp_path: Path) -> None:
    segments = [{"id": 1, "category_id": 1, "iscrowd": 0, "bbox": [1, 2, 3, 4], "area": 12}]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 60, "height": 40}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 1, "name": "cat", "isthing": 1}],
    }
    (tmp_path / "panoptic_val2017.json").write_text(json.dumps(document))
    with pytest.raises(
        InputError, match=r"panoptic_val2017\.json: is of panoptic segmentation: .*instances_"
    ):
        read_truth(tmp_path)


def test_a_description_of_a_network_beside_that_of_the_data_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "pets.yaml").write_text("train: images\nnames: [cat, dog]\n")
    (tmp_path / "yolov5s.yaml").write_text("nc: 80\ndepth_multiple: 0.33\nbackbone: []\n")
    (layout,) = find_layouts(tmp_path)
    assert [file.name for file in layout.files(tmp_path)] == ["pets.yaml"]
