"""Dialects and mistakes in files of known formats: what is read, and that the advice of each refusal works."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import DETECTIONS, TRUTH
from layouts.registry import Scene, write_json, write_text
from sampled_detections import FOUND, PICTURES, read
from sampled_detections import truth as detected_truth
from tiny_data import Picture, pictures, write_coco, write_voc, write_yolo

from metrics import AnnotationTable, read_detections, read_truth
from metrics.errors import InputError


def shown(count: int = 12) -> list[Picture]:
    """Pictures of 48 x 64 pixels with boxes whose sizes are larger than their positions."""
    made = pictures(count)
    for k, picture in enumerate(made):
        picture.objects = [(k % 2, (4 + k, 6, 40 + k, 30)), (0, (2, 3, 30, 20 + k))]
    return made


def quietly(path: Path, *arguments: Any) -> AnnotationTable:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_truth(path, *arguments)


def coco(root: Path) -> tuple[Path, dict[str, Any]]:
    file = write_coco(root / "annotations.json", shown())
    return file, json.loads(file.read_text())


def test_fault_169_corners_are_refused_by_their_areas_and_suspected_without(tmp_path: Path) -> None:
    file, document = coco(tmp_path)
    expected = quietly(file).xywh
    for row in document["annotations"]:
        x, y, w, h = row["bbox"]
        row["bbox"] = [x, y, x + w, y + h]
    write_json(file, document)
    with pytest.raises(
        InputError, match=r"box \[4.0, 6.0, 40.0, 30.0\] has the area 864, .* fit corners"
    ) as refused:
        read_truth(file)
    assert "subtract the first corner from the second" in str(refused.value)
    for row in document["annotations"]:
        x1, y1, x2, y2 = row["bbox"]
        row["bbox"] = [x1, y1, x2 - x1, y2 - y1]
    write_json(file, document)
    np.testing.assert_array_equal(quietly(file).xywh, expected)
    for row in document["annotations"]:
        x, y, w, h = row["bbox"]
        row |= {"bbox": [x, y, x + w, y + h], "area": (x + w) * (y + h)}
    write_json(file, document)
    with pytest.warns(match=r"extend beyond the border of their image; .* are these corners\?"):
        read_truth(file)


def test_areas_of_masks_do_not_look_like_corners(tmp_path: Path) -> None:
    file, document = coco(tmp_path)
    for row in document["annotations"]:
        row["area"] *= 0.7
    write_json(file, document)
    assert len(quietly(file)) == 24


def test_fault_170_a_description_in_utf_16_or_like_json_is_not_passed_over(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"train": shown()})
    file = tmp_path / "data.yaml"
    file.write_bytes(file.read_text().encode("utf-16"))
    with pytest.raises(InputError, match=r"data\.yaml: is UTF-16 text; save it as UTF-8"):
        read_truth(tmp_path)
    for indent in (None, 1):
        document = {"train": "images/train", "names": ["cat", "dog"]}
        file.write_text(json.dumps(document, indent=indent))
        assert quietly(tmp_path).catalog.classes == ("cat", "dog")


@pytest.mark.parametrize("shift", [-1, 1])
def test_fault_171_category_ids_that_are_shifted_are_named(tmp_path: Path, shift: int) -> None:
    file, document = coco(tmp_path)
    for row in document["annotations"]:
        row["category_id"] += shift
    write_json(file, document)
    with pytest.warns(
        match=rf"list: category ids of annotations are {1 + shift} .. {2 + shift}, those of categories 1 .. 2; .* all classes are wrong"
    ):
        read_truth(file)
    write_json(file, document | {"categories": []})
    with pytest.warns(
        match="24 of 24 annotations are of categories that the file does not list: add them to categories"
    ):
        read_truth(file)


def test_numbers_as_names_of_categories_are_text(tmp_path: Path) -> None:
    file, document = coco(tmp_path)
    document["categories"] = [{"id": 1, "name": 7}, {"id": 2, "name": 2.5}]
    write_json(file, document)
    with pytest.warns(match="2 of 2 names are numbers, such as 7; they are read as text"):
        assert read_truth(file).catalog.classes == ("7", "2.5")


UNKNOWN = {
    "a.json": (
        '{"frames": {"a.png": []}}',
        r"a\.json: has no known layout; its first keys are frames, a\.png",
    ),
    "b.json": ("{'images': []}", r"b\.json: is a literal of Python, not JSON: write it with json\.dump"),
    "c.csv": (
        "a.png,cat,1,2,3,4\n",
        r"c\.csv: its first line is a\.png, cat, 1, 2, 3, 4; a table of boxes needs columns",
    ),
    "d.tsv": ("image\tclass\n", r"d\.tsv: tables are read from \.csv files: save it as CSV"),
    "e.xlsx": ("", r"e\.xlsx: tables are read from \.csv files: save it as CSV"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_fault_172_a_file_of_no_known_layout_is_named(tmp_path: Path, name: str) -> None:
    text, expected = UNKNOWN[name]
    Picture("a").save(tmp_path)
    write_text(tmp_path / name, text)
    with pytest.raises(InputError, match=f"it has 1 image, but no annotations that are known; {expected}"):
        read_truth(tmp_path)


def test_fault_173_encodings_and_decimal_commas_are_refused_with_what_to_write(tmp_path: Path) -> None:
    file, document = coco(tmp_path)
    document["categories"][0]["name"] = "k\u00e4se"
    file.write_bytes(json.dumps(document, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(
        InputError, match=r"annotations\.json:1: byte \d+ is not UTF-8; save the file as UTF-8"
    ):
        read_truth(file)
    write_voc(tmp_path / "voc", shown(1))
    (xml,) = (tmp_path / "voc").rglob("*.xml")
    xml.write_text(xml.read_text().replace("<xmin>5<", "<xmin>5,5<"))
    with pytest.raises(InputError, match=r"xmin: expected a number, got '5,5'; write a decimal point"):
        read_truth(tmp_path / "voc")
    table = write_text(tmp_path / "d.csv", 'image,class,score,x1,y1,x2,y2\nimg000,cat,"0,9",1,2,3,4\n')
    with pytest.raises(InputError, match=r"d\.csv:2: score '0,9': expected a number; write a decimal point"):
        read_detections(table, detected_truth())
    lines = DETECTIONS["coco_results"].write(tmp_path / "x", PICTURES, FOUND)
    lines.write_text("\n".join(map(json.dumps, json.loads(lines.read_text()))))
    with pytest.raises(
        InputError, match=r"line 2, column 1: .*; a file with a JSON object in each line is called \.jsonl"
    ):
        read(lines)
    assert len(read(lines.rename(lines.with_suffix(".jsonl")))[0]) == len(FOUND)
    with pytest.raises(
        InputError, match=r"is a pickle, which can execute code and is not read; write detections as JSON"
    ):
        read(write_text(tmp_path / "results.pkl", "x"))


def test_fault_174_keypoints_outside_their_boxes_need_a_shape(tmp_path: Path) -> None:
    write_yolo(tmp_path, {"train": shown()})
    for file in tmp_path.rglob("labels/*/*.txt"):
        file.write_text("".join(f"{line} 0.9 0.9 2 0.95 0.9 1\n" for line in file.read_text().splitlines()))
    with pytest.raises(InputError, match=r"if they are keypoints, add kpt_shape: \[2, 3\] to the YAML file"):
        read_truth(tmp_path)
    yaml = tmp_path / "data.yaml"
    yaml.write_text(yaml.read_text() + "kpt_shape: [2, 3]\n")
    assert len(quietly(tmp_path)) == 24


def test_apples_spelling_of_createml_is_read(tmp_path: Path) -> None:
    scene = Scene({"train": shown()})
    TRUTH["labelimg_createml"].write(tmp_path, scene)
    expected = quietly(tmp_path)
    (file,) = tmp_path.rglob("*.json")
    text = file.read_text().replace('"image":', '"imagefilename":').replace('"annotations":', '"annotation":')
    file.write_text(text)
    np.testing.assert_array_equal(quietly(tmp_path).xywh, expected.xywh)


def test_a_table_names_the_columns_that_may_be_the_classes(tmp_path: Path) -> None:
    Picture("a").save(tmp_path)
    table = write_text(tmp_path / "boxes.csv", "image,animal,x1,y1,x2,y2\na.png,cat,1,2,30,40\n")
    with pytest.warns(
        match="all objects are of one class, 'object'; if one of animal has the classes, call it class"
    ):
        read_truth(tmp_path)
    write_text(table, table.read_text().replace("animal", "class"))
    assert read_truth(tmp_path).catalog.classes == ("cat",)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas_of_spreadsheets_are_read_with_a_note(tmp_path: Path, separator: str) -> None:
    """Commas stay in texts: of columns, only those of numbers change."""
    Picture("1,5").save(tmp_path)
    lines = ["image,class,x1,y1,x2,y2", "1_5.png,3_5 mm,1_5,2,30_25,40", "1_5.png,3_5,2,2_5,1_5e1,40"]
    plain = write_text(tmp_path / "plain" / "boxes.csv", "\n".join(lines).replace("_", "."))
    table = "\n".join(lines).replace(",", separator).replace("_", ",")
    file = write_text(tmp_path / "boxes.csv", table)
    expected = quietly(plain).boxes
    for path in (file, tmp_path):
        with pytest.warns(match="are read as decimal points"):
            found = read_truth(path)
        np.testing.assert_array_equal(found.boxes, expected)
        assert found.catalog.classes == ("3,5", "3,5 mm")
    scored = table.replace("y2\n", f"y2{separator}score\n").replace(
        f"{separator}40", f"{separator}40{separator}0,75"
    )
    with pytest.warns(match="are read as decimal points"):
        detections = read_detections(write_text(tmp_path / "d.csv", scored), quietly(file))
    assert detections.score.tolist() == [0.75, 0.75]
    np.testing.assert_array_equal(detections.boxes, expected)
