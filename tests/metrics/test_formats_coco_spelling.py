"""COCO as other programs write it: numbers as text, names in place of category ids, scores and classes under other keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coco_files import CATEGORIES, IMAGES, OBJECT, RESULT, found, truth, write

from metrics.errors import InputError, InputNote, InputWarning
from metrics.formats import coco, untrusted
from metrics.formats.coco_masks import read_masks
from metrics.tables import AnnotationTable, DetectionTable

OBJECTS = [
    OBJECT,
    OBJECT
    | {"id": 2, "image_id": 3, "category_id": 4, "bbox": [10.5, 20, 30, 45.25], "area": 900, "iscrowd": 1},
]
RESULTS = [RESULT, RESULT | {"image_id": 3, "category_id": 4, "bbox": [10.5, 20, 30, 45.25], "score": 0.25}]
NAMES = {category["id"]: category["name"] for category in CATEGORIES}

Row = dict[str, Any]


def as_text(value: Any) -> Any:
    """A JSON value with text in place of its numbers."""
    if isinstance(value, list):
        return [as_text(each) for each in value]
    if isinstance(value, dict):
        return {key: as_text(each) for key, each in value.items()}
    return json.dumps(value) if isinstance(value, int | float) else value


def named(key: str) -> Callable[[Row], Row]:
    """A change of a record: its class's name under a key in place of its id."""
    return lambda row: {k: v for k, v in row.items() if k != "category_id"} | {key: NAMES[row["category_id"]]}


def same(a: AnnotationTable | DetectionTable, b: AnnotationTable | DetectionTable) -> None:
    assert a.catalog.classes == b.catalog.classes
    for column in ("image", "label", "xywh"):
        assert getattr(a, column).tolist() == getattr(b, column).tolist()


@pytest.mark.parametrize(
    "keys", [("category_id", "bbox", "area", "iscrowd"), ("image_id",), ("image_id", "id", "category_id")]
)
def test_numbers_as_text_in_annotations_are_read(tmp_path: Path, keys: tuple[str, ...]) -> None:
    expected = truth(tmp_path, *OBJECTS)
    rows = [row | {key: as_text(row[key]) for key in keys} for row in OBJECTS]
    with pytest.warns(InputNote, match="numbers as text|are numbers in images and text in annotations"):
        table = truth(tmp_path, *rows)
    same(table, expected)
    assert table.crowd.tolist() == expected.crowd.tolist()
    assert table.area.tolist() == expected.area.tolist()


def test_numbers_as_text_in_all_lists_are_read(tmp_path: Path) -> None:
    expected = truth(tmp_path, *OBJECTS)
    document = as_text({"images": IMAGES, "annotations": OBJECTS, "categories": CATEGORIES})
    with pytest.warns(InputNote, match="read as numbers"):
        table = coco.read_truth(write(tmp_path / "text.json", document))
    same(table, expected)
    assert table.catalog.image_ids == tuple(str(identity) for identity in expected.catalog.image_ids)
    assert table.catalog.class_ids == expected.catalog.class_ids
    assert table.catalog.sizes.tolist() == expected.catalog.sizes.tolist()


@pytest.mark.parametrize(
    "change", [as_text, named("label"), lambda row: row | {"image_id": str(row["image_id"])}]
)
def test_masks_follow_the_same_rules(tmp_path: Path, change: Callable[[Row], Row]) -> None:
    star = [[10, 10, 40, 12, 30, 45]]
    rows = [row | {"segmentation": star, "bbox": [10, 10, 30, 35], "area": 500} for row in OBJECTS]
    changed = [
        change({k: v for k, v in row.items() if k != "segmentation"}) | {"segmentation": star} for row in rows
    ]
    with pytest.warns(InputNote):
        table = truth(tmp_path, *changed)
    masks = read_masks(tmp_path / "gt.json", table.catalog.class_ids)
    assert {image: [(one.label, one.crowd, one.xywh) for one in found] for image, found in masks.items()} == {
        1: [(0, False, (10, 10, 30, 35))],
        3: [(2, True, (10, 10, 30, 35))],
    }
    assert all(len(one.polygons) == 1 for found in masks.values() for one in found)


def test_ids_of_images_as_text_with_integers_in_annotations_are_read(tmp_path: Path) -> None:
    expected = truth(tmp_path, *OBJECTS)
    with pytest.warns(InputNote, match="are text in images and numbers in annotations; 1 is read as '1'"):
        same(truth(tmp_path, *OBJECTS, images=[row | {"id": str(row["id"])} for row in IMAGES]), expected)


@pytest.mark.parametrize("key", ["category_name", "category", "label", "class", "class_name", "category_id"])
def test_names_in_place_of_category_ids_are_read(tmp_path: Path, key: str) -> None:
    expected, detections = truth(tmp_path, *OBJECTS), found(tmp_path, *RESULTS)
    with pytest.warns(InputNote, match=rf"classes are read from their names in {key}, such as 'person'"):
        same(truth(tmp_path, *map(named(key), OBJECTS)), expected)
    with pytest.warns(InputNote, match=rf"classes are read from their names in {key}, such as 'person'"):
        same(found(tmp_path, *map(named(key), RESULTS)), detections)


@pytest.mark.parametrize("key", ["confidence", "conf", "probability", "prob"])
def test_scores_under_other_keys_and_as_text_are_read(tmp_path: Path, key: str) -> None:
    rows = [{k: v for k, v in row.items() if k != "score"} | {key: str(row["score"])} for row in RESULTS]
    with pytest.warns(InputNote, match=f"{key} is read as score"):
        table = found(tmp_path, *rows)
    assert table.score.tolist() == [0.9, 0.25]


def test_unknown_names_are_left_out_if_asked_for(tmp_path: Path) -> None:
    rows = [named("category_name")(RESULT), RESULT | {"category_id": None, "category_name": "unicorn"}]
    with pytest.warns(InputWarning, match="they are left out"):
        assert found(tmp_path, *rows, class_map="drop").label.tolist() == [0]


DIGITS = [{"id": 1, "name": "2"}, {"id": 2, "name": "1"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": "12x"}, r"dt\.json\[0\]: class '12x': no class of the ground truth"),
        (
            {"category_id": None, "class_id": 1},
            r"has class_id, but no category_id; rename it to category_id if",
        ),
        ({"category_id": None, "label": 0}, r"has label, but no category_id; .* --class-map from-0\)"),
        ({"category_id": None, "label": "car", "class": "person"}, r"\[0\]: label and class are different"),
        ({"category_id": None}, r"category_id: expected a whole number, got null"),
        ({"score": None}, r"score: expected a number, got null"),
        ({"score": "0,5"}, r"score: expected a number, got the string '0,5'"),
        ({"bbox": ["1", "2", "x", "4"]}, r"bbox: expected four numbers"),
        ({"bbox": ["1", "2", "nan", "4"]}, r"bbox: expected four numbers"),
    ],
)
def test_fault_158_what_is_ambiguous_or_no_number_is_refused(
    tmp_path: Path, change: Row, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        found(tmp_path, RESULT | change)


def test_fault_158_two_keys_of_scores_are_refused(tmp_path: Path) -> None:
    row = {key: value for key, value in RESULT.items() if key != "score"}
    with pytest.raises(InputError, match=r"dt\.json\[0\]: has confidence and prob, but no score; rename"):
        found(tmp_path, row | {"confidence": 0.5, "prob": 0.6})


def test_fault_158_text_that_may_be_an_id_or_a_name_is_refused_and_both_fixes_work(tmp_path: Path) -> None:
    table = truth(tmp_path, OBJECT, categories=DIGITS)

    def read(row: Row) -> list[str]:
        detections = coco.read_detections(write(tmp_path / "dt.json", [row]), table)
        return [table.catalog.classes[label] for label in detections.label]

    message = (
        r"category_id '1' is text, and may be the id 1 or the name of class 2; write a number for an id, or"
    )
    with pytest.raises(InputError, match=message):
        read(RESULT | {"category_id": "1"})
    with pytest.raises(InputError, match=message):
        truth(tmp_path, OBJECT | {"category_id": "1"}, categories=DIGITS)
    assert read(RESULT | {"category_id": 1}) == ["2"]
    assert read({k: v for k, v in RESULT.items() if k != "category_id"} | {"category_name": "1"}) == ["1"]


def test_fault_158_a_name_that_no_category_or_several_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"annotations\[0\]: class 'cra': no category has this name; write"):
        truth(tmp_path, OBJECT | {"category_id": "cra"})
    twins = [{"id": 1, "name": "car"}, {"id": 2, "name": "car"}]
    with pytest.raises(
        InputError, match=r"class 'car': several categories have this name; write category_id"
    ):
        truth(tmp_path, OBJECT | {"category_id": "car"}, categories=twins)


def test_categories_without_names_are_reported(tmp_path: Path) -> None:
    with pytest.warns(
        InputNote, match=r"categories: 2 categories have no name, such as 1; the id is used as"
    ):
        table = truth(tmp_path, categories=[{"id": 1}, {"id": 3, "name": ""}, {"id": 4, "name": "car"}])
    assert table.catalog.classes == ("1", "3", "car")


@pytest.mark.parametrize("name", ["best.pt", "model.PTH", "model.onnx"])
def test_fault_159_weights_in_place_of_data_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match=rf"{name}: holds the weights of a model, not data"):
        untrusted.refuse_binary(tmp_path / name)
