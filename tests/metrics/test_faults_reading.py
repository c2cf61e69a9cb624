"""Faults in input files, by the rows of docs/faults.md: reported in one line with a fix."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_files import CATEGORIES, IMAGES, OBJECT, RESULT, found, truth, write

from metrics.errors import InputError, InputWarning
from metrics.evaluator import evaluate
from metrics.formats import coco, voc, yolo

OBJECT_XML = "<annotation><object><name>cat</name>{}</object></annotation>"

CORNERS = "<bndbox><xmin>1.5</xmin><ymin>2</ymin><xmax>{}</xmax><ymax>9</ymax></bndbox>"


def test_fault_01_an_empty_list_of_detections_is_ap_zero(tmp_path: Path) -> None:
    table = found(tmp_path)
    assert len(table) == 0
    assert evaluate(truth(tmp_path), table).headline["ap"] == 0


@pytest.mark.parametrize("size", [{"width": 2**31}, {"height": 10**15}, {"width": -1}])
@pytest.mark.parametrize("more", [{}, {"split": "a"}])  # scanned, and parsed for a field of its own
def test_fault_122_an_image_of_an_impossible_size_is_named(tmp_path: Path, size: dict, more: dict) -> None:
    images = [*IMAGES[:1], IMAGES[1] | size | more, *IMAGES[2:]]
    file = write(tmp_path / "gt.json", {"images": images, "annotations": [], "categories": CATEGORIES})
    with pytest.raises(
        InputError, match=rf"gt.json: images\[1\] \(id {images[1]['id']}\): has .* correct its width"
    ):
        coco.read_truth(file)


def test_fault_03_images_count_wherever_they_stand_without_objects_or_without_detections(
    tmp_path: Path,
) -> None:
    for place in (1, 2, 3, 4):
        one, other = OBJECT | {"image_id": place}, OBJECT | {"id": 2, "image_id": place % 4 + 1}
        table = coco.read_truth(
            write(
                tmp_path / "gt.json",
                {"images": IMAGES, "annotations": [one, other], "categories": CATEGORIES},
            )
        )
        results = [RESULT | {"image_id": place}, RESULT | {"image_id": (place + 1) % 4 + 1, "score": 0.95}]
        numbers = evaluate(table, coco.read_detections(write(tmp_path / "dt.json", results), table)).headline
        # found 1 of 2 objects, behind one false positive on an image without objects
        assert numbers["ap"] == pytest.approx(51 / 101 / 2)
        assert numbers["ar_100"] == pytest.approx(1 / 2)


def test_fault_04_a_class_without_objects_is_not_counted_as_zero(tmp_path: Path) -> None:
    numbers = evaluate(truth(tmp_path), found(tmp_path, RESULT, RESULT | {"category_id": 4}))
    assert numbers.headline["ap"] == pytest.approx(1)
    assert math.isnan(numbers.value("ap", "car"))


def test_fault_05_detections_on_unknown_images_are_counted_with_the_first_five_ids(tmp_path: Path) -> None:
    strangers = [RESULT | {"image_id": i} for i in (99, 98, 97, 96, 95, 94, 94)]
    with pytest.raises(InputError) as caught:
        found(tmp_path, RESULT, *strangers)
    assert str(caught.value).startswith(
        f"{tmp_path}/dt.json: 7 of 8 detections are on 6 images that the ground truth does not have"
    )
    assert ": 99, 98, 97, 96, 95, ...; its image ids are like 1, 2, 3, ..." in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "rule", "labels"),
    [((0, 1, 2), "from-0", [0, 1, 2]), ((1, 3, 2), "from-1", [0, 2, 1])],
)
def test_fault_06_unknown_classes_suggest_the_mapping_which_then_works(
    tmp_path: Path, ids: tuple[int, ...], rule: Any, labels: list[int]
) -> None:
    results = [RESULT | {"category_id": i} for i in ids]
    with pytest.raises(InputError, match=rf"pass --class-map {rule} \(class_map='{rule}'\)"):
        found(tmp_path, *results)
    assert found(tmp_path, *results, class_map=rule).label.tolist() == labels


def test_fault_06_unknown_classes_can_be_named_or_dropped(tmp_path: Path) -> None:
    results = [RESULT, RESULT | {"category_id": 70}]
    with pytest.raises(
        InputError,
        match=r"1 of 2 detections is of 1 class .*: category_id 70; the ground truth has 1, 2, 4",
    ):
        found(tmp_path, *results)
    assert found(tmp_path, *results, class_map={1: 4, 70: 2}).label.tolist() == [2, 1]
    with pytest.warns(InputWarning, match=r"category_id 70; they are left out"):
        assert found(tmp_path, *results, class_map="drop").label.tolist() == [0]
    with pytest.raises(
        InputError, match=r"the class map contains category_id 5, which the ground truth does not have"
    ):
        found(tmp_path, *results, class_map={70: 5})


def test_fault_07_class_ids_may_be_zero_huge_negative_or_sparse_but_not_other_strings(tmp_path: Path) -> None:
    ids = [0, 2**62, -7]
    categories = [{"id": i, "name": str(i)} for i in ids]
    table = truth(tmp_path, OBJECT | {"category_id": 2**62}, categories=categories)
    assert table.catalog.class_ids == (-7, 0, 2**62)
    assert table.label.tolist() == [2]
    with pytest.raises(
        InputError, match=r"categories\[0\] \(id 'a'\): id: expected a whole number, got the string 'a'"
    ):
        truth(tmp_path, categories=[{"id": "a", "name": "a"}])
    with pytest.raises(InputError, match=r"dt.json\[0\]: class 'persn': no class of .* mean 'person'"):
        found(tmp_path, RESULT | {"category_id": "persn"})
    with pytest.raises(
        InputError, match=r"category_id: does not fit into 64 bits|category_id: expected a whole number"
    ):
        found(tmp_path, RESULT | {"category_id": 2**63})


@pytest.mark.parametrize(
    ("box", "hint"), [([10, 10, 0, 5], ""), ([300, 300, -100, -100], "are these corners?")]
)
def test_fault_11_boxes_without_size_are_evaluated_counted_and_explained(
    tmp_path: Path, box: list[int], hint: str
) -> None:
    with pytest.warns(InputWarning, match=r"2 of 3 detections have no width or no height") as warned:
        table = found(tmp_path, RESULT, RESULT | {"bbox": box}, RESULT | {"bbox": box})
    assert hint in str(warned[0].message)
    assert len(table) == 3


def test_fault_11_corners_given_as_xywh_are_suspected(tmp_path: Path) -> None:
    corners = [
        RESULT | {"bbox": [x, y, x + 90, y + 90]} for x, y in ((10, 10), (400, 300), (500, 380), (450, 50))
    ]
    with pytest.warns(
        InputWarning,
        match=r"3 of 4 detections extend beyond the border of their image; .*are these corners\?",
    ):
        found(tmp_path, *corners)


def test_fault_12_boxes_beyond_the_border_are_kept_and_counted(tmp_path: Path) -> None:
    with pytest.warns(
        InputWarning,
        match=r"1 of 2 detections extend beyond the border of their image; they are evaluated as they are",
    ):
        table = found(tmp_path, RESULT, RESULT | {"bbox": [600, 10, 100, 10]})
    assert table.xywh[1].tolist() == [600, 10, 100, 10]


def test_fault_13_relative_coordinates_are_refused(tmp_path: Path) -> None:
    relative = [RESULT | {"bbox": [0.1, 0.2, 0.5, 1.01]}] * 3
    with pytest.raises(
        InputError, match=r"these are relative coordinates; multiply x and w by the image's width"
    ):
        found(tmp_path, *relative)
    with pytest.raises(InputError, match=r"these are relative coordinates"):
        truth(tmp_path, *(OBJECT | {"id": i, "bbox": [0.1, 0.2, 0.5, 0.5], "area": 0.2} for i in (1, 2, 3)))


def test_fault_13_pixels_instead_of_relative_coordinates_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n0 320 240 100 100\n")
    with pytest.raises(
        InputError, match=r"a.txt:2: 320 is not a relative coordinate; divide by the image's size"
    ):
        yolo.read_truth([tmp_path / "a.jpg"], [(480, 640)], ["x"])


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("key", ["score", "bbox"])
def test_fault_14_numbers_that_are_not_finite_are_refused_with_their_location(
    tmp_path: Path, literal: str, key: str
) -> None:
    value = float(literal.lower().replace("infinity", "inf"))
    bad = RESULT | ({"score": value} if key == "score" else {"bbox": [1, 2, value, 4]})
    assert literal in json.dumps(bad)
    with pytest.raises(
        InputError, match=rf"dt.json\[1\] \(image_id 1\): {key} is .*; expected (a )?finite number"
    ):
        found(tmp_path, RESULT, bad)


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (None, "score: expected a number, got null"),
        ("95%", "score: expected a number, got the string '95%'"),
        (True, "score: expected a number, got true"),
        ([1], "score: expected a number, got a list of 1"),
    ],
)
def test_fault_15_a_score_that_is_not_a_number_is_refused(tmp_path: Path, score: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"dt.json\[1\] \(image_id 1\): {message}"):
        found(tmp_path, RESULT, RESULT | {"score": score})


def test_fault_15_a_missing_score_is_refused_and_one_out_of_range_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dt.json\[1\] \(image_id 1\): score: missing; expected a number"):
        found(tmp_path, RESULT, {key: value for key, value in RESULT.items() if key != "score"})
    with pytest.warns(
        InputWarning, match=r"1 of 2 detections have a score outside \[0, 1\], the first 95; .*percent\?"
    ):
        assert found(tmp_path, RESULT, RESULT | {"score": 95}).score.tolist() == [0.9, 95]


def test_fault_19_swapped_truth_and_results_are_recognised(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"is a list; it looks like results \(detections\); expected annotations"
    ):
        coco.read_truth(write(tmp_path / "x.json", [RESULT]))
    truth(tmp_path)
    with pytest.raises(
        InputError,
        match=r"gt.json: is an object; it looks like annotations \(ground truth\); expected results",
    ):
        coco.read_detections(tmp_path / "gt.json", truth(tmp_path))
    with pytest.raises(InputError, match=r"dt.json\[0\]: has area but no score, as annotations do"):
        found(tmp_path, OBJECT)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {"annotations": None},
            "annotations is null; the file has images, annotations, categories; a list of images without annotations",
        ),
        ({"categories": None}, "categories is null"),
        ({"images": {}}, r"images: expected a list \[\.\.\.\], got an object"),
    ],
)
def test_fault_19_a_missing_part_is_named(tmp_path: Path, document: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        truth(tmp_path, **document)
    with pytest.raises(InputError, match=r"images is missing; the file has no keys"):
        coco.read_truth(write(tmp_path / "x.json", {}))
    with pytest.raises(InputError, match=r"expected an object with images, annotations and categories"):
        coco.read_truth(write(tmp_path / "x.json", "3"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OBJECT_XML.format(""), r"object 1 \(cat\): has no <bndbox>; add it, or remove the object"),
        (OBJECT_XML.format("<bndbox><xmin>1</xmin></bndbox>"), r"object 1 \(cat\): bndbox: has no <ymin>"),
        (OBJECT_XML.format(CORNERS.format("x")), r"object 1 \(cat\): xmax: expected a number, got 'x'"),
        (
            OBJECT_XML.format(CORNERS.format("inf")),
            r"object 1 \(cat\): xmax: expected a finite number, got 'inf'",
        ),
        ("<annotation><object/></annotation>", r"object 1: has no <name>"),
        (
            "<html><body>404</body></html>",
            r"is not a Pascal VOC annotation: expected <annotation>, got <html>",
        ),
        ("<annotation>", r"is not XML: no element found"),
        ("", r"is not XML"),
    ],
)
def test_fault_22_an_invalid_annotation_is_refused_with_its_location(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        voc.read_annotation(write(tmp_path / "a.xml", text))


def test_fault_22_fractions_and_difficult_are_read_and_the_pixel_convention_is_checked(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "a.xml", OBJECT_XML.format("<difficult>1</difficult>" + CORNERS.format("8.25")))
    read = voc.read_annotation(path)
    np.testing.assert_array_equal(read.boxes, [[0.5, 1, 8.25, 9]])
    assert read.difficult.tolist() == [True]
    with pytest.raises(InputError, match=r"unknown pixels 'zero'; known: inclusive, edges"):
        voc.read_annotation(path, "zero")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "class 2, but there are 2 names: expected 0 .. 1"),
        ("-1 0.5 0.5 0.1 0.1", "class -1, but there are 2 names"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5, but there are 2 names"),
        ("0 0.5 0.5 0.1 0.1 0.9", "has six numbers, but a label has five; is the last one a score"),
        ("0 0.5 0.5", "expected class cx cy w h, or class and a polygon of x y pairs, got 3 numbers"),
        ("0 0.5 0.5 0.1 0.1 0.1 0.1 0.1", "expected class cx cy w h, or class and a polygon"),
        ("kat 0.5 0.5 0.1 0.1", "expected numbers, got 'kat 0.5 0.5 0.1 0.1'"),
        ("0 0.5 nan 0.1 0.1", "expected finite numbers"),
    ],
)
def test_fault_23_an_invalid_line_is_refused_with_file_and_line(
    tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "a.txt").write_text(f"1 0.5 0.5 0.1 0.1\n\n{line}\n")
    with pytest.raises(InputError, match=rf"a.txt:3: {message}"):
        yolo.read_truth([tmp_path / "a.jpg"], [(480, 640)], ["cat", "dog"])


def test_fault_23_an_empty_label_file_is_background(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "b.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    table = yolo.read_truth([tmp_path / "a.jpg", tmp_path / "b.jpg"], [(4, 4), (4, 4)], ["cat"])
    assert table.image.tolist() == [1]
    assert table.catalog.image_ids == ("a", "b")


@pytest.mark.parametrize(
    "mask",
    [
        {"size": [10**9, 10**9], "counts": "\x00junk"},
        {"size": "x", "counts": [-1, 2**70]},
        [[1.0, 2.0, 3.0]],
        [["a"]],
        "nonsense",
        None,
    ],
)
def test_fault_31_malformed_masks_are_not_read(tmp_path: Path, mask: Any) -> None:
    assert len(truth(tmp_path, OBJECT | {"segmentation": mask})) == 1
    assert len(found(tmp_path, RESULT | {"segmentation": mask})) == 1
    only_mask = {key: value for key, value in RESULT.items() if key != "bbox"} | {"segmentation": mask}
    with pytest.raises(
        InputError, match=r"results of masks or keypoints without bbox; only boxes are supported"
    ):
        found(tmp_path, only_mask)


def test_fault_32_crowd_and_area_follow_a_documented_rule(tmp_path: Path) -> None:
    nameless = {key: value for key, value in OBJECT.items() if key not in ("area", "iscrowd")}
    with pytest.warns(InputWarning, match=r"1 of 1 annotations have no area; w \* h is used"):
        table = truth(tmp_path, nameless)
    assert table.area.tolist() == [10000]
    assert not table.crowd.any()
    with pytest.warns(
        InputWarning, match=r"1 of 1 annotations have an iscrowd other than 0 or 1; they are read as crowds"
    ):
        assert truth(tmp_path, OBJECT | {"iscrowd": 2}).crowd.tolist() == [True]
    with pytest.warns(
        InputWarning, match=r"1 of 1 annotations have an area larger than their box; it is used"
    ):
        assert truth(tmp_path, OBJECT | {"area": 20000}).area.tolist() == [20000]
    assert truth(tmp_path, OBJECT | {"iscrowd": True}).crowd.tolist() == [True]
    with pytest.raises(InputError, match=r"iscrowd: expected a number, got the string 'no'"):
        truth(tmp_path, OBJECT | {"iscrowd": "no"})
