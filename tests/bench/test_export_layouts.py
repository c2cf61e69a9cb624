"""Annotation files of other tools: missing images, damaged files, and what becomes of fields that are not boxes."""

from __future__ import annotations

import csv
import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import TRUTH
from layouts.registry import Scene
from tiny_data import CLASSES, Picture, pictures

from bench.datasets import locate_data, open_dataset
from metrics import read_truth
from metrics.errors import InputError, InputNote, InputWarning
from metrics.formats.image_annotations import exports
from metrics.formats.layouts import LAYOUTS
from metrics.notes import note_of


def content(count: int = 24, start: int = 0) -> list[Picture]:
    """Pictures of 48 x 64 pixels with one or two objects at places of their own."""
    made = pictures(count, start)
    for k, picture in enumerate(made):
        x, y = 2 + 5 * (k % 8), 2 + (k % 3) * 4
        picture.objects = [(k % 2, (x, y, x + 16, y + 12))]
        if k % 3 == 0:
            picture.objects.append((1 - k % 2, (x, y + 20, x + 14, y + 30)))
    return made


def write(name: str, root: Path, shown: Sequence[Picture]) -> None:
    TRUTH[name].write(root, Scene({"train": shown}))


OWN = {name: layout for name, layout in TRUTH.items() if layout.format in exports()}
"""Layouts that are exports of `metrics.formats.exports`."""


def test_every_export_has_a_sample() -> None:
    named_by_frames = {"reef", "ua_detrac"}
    of_images = {"instance_masks", "cub", "visual_genome", "kitti_tracking"}
    assert {layout.format for layout in OWN.values()} == set(exports()) - named_by_frames - of_images


@pytest.mark.parametrize(
    "sample", [name for name in OWN if name not in ("mot_challenge", "visdrone_vid", "uavdt")]
)  # they name no images
def test_images_elsewhere_are_found_as_the_message_says(tmp_path: Path, sample: str) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    write(sample, root, content())
    for image in [*root.rglob("*.png"), *root.rglob("*.jpg")]:
        shutil.move(image, elsewhere / image.name)
    with pytest.raises(
        InputError, match=r"not found; searched .*; set data\.images to the folder that holds the images"
    ):
        open_dataset(root)
    assert sum(map(len, open_dataset(root, images=str(elsewhere)).splits.values())) == 24


SEVERAL_FILES = {"bdd100k_first_release", "superannotate", "vott_assets", "kili_single"}
"""Samples with several files, of formats that may also be one file."""
FORMATS_OF_ONE_FILE = {"bdd100k", "superannotate", "vott", "kili"}
ONE_FILE = [
    name
    for name, layout in OWN.items()
    if (not exports()[layout.format].per_image or layout.format in FORMATS_OF_ONE_FILE)
    and name not in SEVERAL_FILES
]
"""Samples with one file of annotations."""


@pytest.mark.parametrize("sample", ONE_FILE)
def test_a_damaged_file_is_refused_with_its_place(tmp_path: Path, sample: str) -> None:
    write(sample, tmp_path, content())
    (file,) = locate_data(tmp_path).annotations
    text = file.read_text()
    random = np.random.default_rng(3)
    refused = []
    for _ in range(60):
        at, length = int(random.integers(0, len(text) - 40)), int(random.integers(1, 30))
        file.write_text(text[:at] + 'Ä#,;"'[: int(random.integers(0, 5))] + text[at + length :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            try:
                exports()[OWN[sample].format].read(tmp_path, [file])
            except InputError as error:
                refused.append(str(error))
    assert len(refused) > 10
    assert all(str(file) in message for message in refused)


def kinds(path: Path) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_truth(path)
    return table, [note_of(one.message).kind for one in caught if issubclass(one.category, InputNote)]


def test_regions_that_are_not_evaluated_are_crowds_of_every_class(tmp_path: Path) -> None:
    for name in ("kitti", "visdrone", "crowdhuman"):
        root = tmp_path / name
        root.mkdir()
        write(name, root, content())
        if name == "kitti":
            with (root / "training/label_2/img000.txt").open("a") as file:
                file.write("DontCare -1 -1 -10 1 2 30 40 -1 -1 -1 -1000 -1000 -1000 -10\n")
        elif name == "visdrone":
            with next(root.rglob("annotations/img000.txt")).open("a") as file:
                file.write("1,2,29,38,0,0,0,0\n")
        else:
            odgt = root / "annotation_train.odgt"
            rows = [json.loads(line) for line in odgt.read_text().splitlines()]
            rows[0]["gtboxes"].append({"tag": "mask", "fbox": [1, 2, 29, 38], "extra": {"ignore": 1}})
            odgt.write_text("\n".join(map(json.dumps, rows)))
        table, noted = kinds(root)
        assert noted == ["ignored_regions"]
        assert table.label[table.crowd].tolist() == [0, 1]
        assert table.boxes[table.crowd].tolist() == [[1, 2, 30, 40]] * 2


def test_marks_of_difficult_objects_are_ignored_objects(tmp_path: Path) -> None:
    write("labelme", tmp_path / "a", content())
    file = tmp_path / "a" / "img000.json"
    document = json.loads(file.read_text())
    document["shapes"][0]["difficult"] = True
    document["shapes"].append({"label": "cat", "points": [[1, 1]], "shape_type": "point"})
    document["shapes"].append({"label": "cat", "points": [[20, 20], [23, 24]], "shape_type": "circle"})
    file.write_text(json.dumps(document))
    table, noted = kinds(tmp_path / "a")
    assert table.ignored.sum() == 1
    assert noted == ["left_out"]
    assert [15, 15, 25, 25] in table.boxes.tolist()
    (tmp_path / "b").mkdir()
    write("wider_face", tmp_path / "b", content())
    file = next((tmp_path / "b").rglob("*_bbx_gt.txt"))
    file.write_text(
        file.read_text().replace("0 0 0 0 0 0 ", "0 0 0 1 0 0 ", 1)
        + "0--Parade/none.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"
    )
    table, noted = kinds(tmp_path / "b")
    assert (table.ignored.sum(), noted) == (1, ["ignored_regions"])
    assert len(table.catalog.image_ids) == 25


def test_tasks_of_label_studio_without_annotation_are_left_out_and_rotated_boxes_bounded(
    tmp_path: Path,
) -> None:
    write("label_studio_json", tmp_path, content())
    (file,) = tmp_path.glob("project-*.json")
    tasks = json.loads(file.read_text())
    tasks[0]["annotations"] = []
    tasks[1]["annotations"].append(tasks[1]["annotations"][0])
    value = tasks[2]["annotations"][0]["result"][0]["value"]
    value |= {"x": 50, "y": 50, "width": 25, "height": 25, "rotation": 90}
    file.write_text(json.dumps(tasks))
    table, noted = kinds(tmp_path)
    assert noted == ["left_out"]
    assert len(table.catalog.image_ids) == 23
    image = table.catalog.image_ids.index("img002")
    np.testing.assert_allclose(table.boxes[table.image == image][0], [32 - 12, 24, 32, 24 + 16])


def test_the_class_attribute_of_via_is_the_one_called_so_or_refused(tmp_path: Path) -> None:
    write("via_1", tmp_path, content())
    file = tmp_path / "via.json"
    entries = json.loads(file.read_text())
    for entry in entries.values():
        for region in entry["regions"].values():
            region["region_attributes"]["colour"] = "red"
    file.write_text(json.dumps(entries))
    with pytest.raises(
        InputError,
        match=r"regions have the attributes kind, colour; rename the one that is the class to 'class'",
    ):
        read_truth(tmp_path)
    file.write_text(file.read_text().replace('"kind"', '"class"'))
    table, noted = kinds(tmp_path)
    assert (table.catalog.classes, noted) == (CLASSES, ["class_attribute"])


def test_boxes_in_fractions_have_sizes_from_the_images_or_assumed_ones(tmp_path: Path) -> None:
    write("open_images", tmp_path, content())
    table = tmp_path / "oidv6-train-annotations-bbox.csv"
    table.write_text(table.read_text().replace(",1,0,0,0,0\n", ",1,0,1,0,0\n", 1))
    truth, noted = kinds(tmp_path)
    assert (truth.crowd.sum(), noted) == (1, ["ignored_regions"])
    (tmp_path / "train" / "img000.jpg").unlink()
    with pytest.raises(InputError, match="image 'img000' is not there; add it, or remove its rows"):
        read_truth(tmp_path)
    shutil.rmtree(tmp_path / "train")
    with pytest.warns(InputWarning, match="all are taken for 1000 x 1000 pixels"):
        assumed = read_truth(tmp_path)
    np.testing.assert_allclose(assumed.xywh / 1000, truth.xywh / [64, 48, 64, 48])


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize(
    "name", ["open_images", "tensorflow_csv", "keras_retinanet", "makesense_csv", "vertex_ai_csv"]
)
def test_tables_of_other_separators_are_read(tmp_path: Path, name: str, separator: str) -> None:
    """Spreadsheets of many countries write semicolons, and commas in numbers."""
    write(name, tmp_path, content())
    expected = read_truth(tmp_path)
    for file in tmp_path.glob("*.csv"):
        with file.open(newline="", encoding="utf-8") as opened:
            rows = list(csv.reader(opened))
        if name == "open_images" and len(rows[0]) > 2:
            rows = [rows[0], *([value.replace(".", ",") for value in row] for row in rows[1:])]
        with file.open("w", newline="", encoding="utf-8") as opened:
            csv.writer(opened, delimiter=separator).writerows(rows)
    table, noted = kinds(tmp_path)
    assert table.xywh.tolist() == expected.xywh.tolist()
    assert table.catalog.image_ids == expected.catalog.image_ids
    assert ("number_commas" in noted) == (name == "open_images")


def test_a_comma_in_a_number_is_refused_with_the_fix_that_works(tmp_path: Path) -> None:
    write("tensorflow_csv", tmp_path, content())
    (file,) = tmp_path.glob("*.csv")
    text = file.read_text()
    file.write_text(text.replace(",48,", ',"48,5",', 1))
    with pytest.raises(
        InputError, match=r"csv:2: expected a finite number, got '48,5'; write a decimal point"
    ):
        read_truth(tmp_path)
    file.write_text(text)
    assert len(read_truth(tmp_path))


def test_the_same_boxes_in_six_layouts_of_real_images(shared_data: Path) -> None:
    """Of public photographs that were annotated once and written by several tools; boxes agree within pixels' conventions."""
    folder = shared_data / "formats100"
    found = {}
    for name in ("pascalvoc_format", "cvat_format", "coco_format_v1", "coco_format_v2"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            table = read_truth(folder / name)
        stems = [Path(file).stem for file in table.catalog.file_names]
        rows = zip(table.image.tolist(), table.label.tolist(), table.boxes.tolist(), strict=True)
        found[name] = sorted((stems[i], table.catalog.classes[label], *box) for i, label, box in rows)
    first = found["pascalvoc_format"]
    assert len(first) == 273
    for name, rows_of in found.items():
        assert [row[:2] for row in rows_of] == [row[:2] for row in first], name
        assert np.abs(np.array([r[2:] for r in rows_of]) - np.array([r[2:] for r in first])).max() < 2.1, name


def test_an_image_without_objects_has_a_row_without_values(tmp_path: Path) -> None:
    write("keras_retinanet", tmp_path, content())
    with (tmp_path / "train.csv").open("a") as file:
        file.write("shots/none.png,,,,,\n")
    assert len(read_truth(tmp_path).catalog.image_ids) == 25


def test_splits_are_folders_or_files_named_after_them(tmp_path: Path) -> None:
    for split, start in (("train", 0), ("valid", 24), ("test", 48)):
        (tmp_path / split).mkdir()
        write("tensorflow_csv", tmp_path / split, content(24, start))
    data = open_dataset(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 24, "val": 24, "test": 24}
    assert len(read_truth(tmp_path, "test").catalog.image_ids) == 24
    with pytest.raises(InputError, match="no split 'dev'; it has"):
        read_truth(tmp_path, "dev")


def test_the_known_formats_do_not_look_like_exports(tmp_path: Path) -> None:
    from tiny_data import write_coco, write_voc, write_yolo

    write_coco(tmp_path / "coco" / "a.json", content())
    write_voc(tmp_path / "voc", content())
    write_yolo(tmp_path / "yolo", {"train": content()})
    for name in LAYOUTS:
        assert [each.name for each in exports().values() if each.files(tmp_path / name)] == []
