"""Classes of files: distinct by id, also where names repeat; categories that are no classes; shifted ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coco_files import write

from metrics import AnnotationTable, Catalog, evaluate, read_detections, read_truth
from metrics.command_line import main
from metrics.errors import InputError, InputNote, InputWarning
from metrics.formats.plausibility import repeated_rows
from metrics.notes import Note, note_of

BOXES = [[10 * k, 5 * k, 30, 20] for k in range(12)]


def document(
    categories: list[dict[str, Any]], classes: list[int], names: str = "{:03d}.jpg"
) -> dict[str, Any]:
    """Twelve images from id 1, each with one object; object k has class ``classes[k % len(classes)]``."""
    return {
        "images": [
            {"id": k + 1, "file_name": names.format(k), "width": 640, "height": 480} for k in range(12)
        ],
        "categories": categories,
        "annotations": [
            {
                "id": k + 1,
                "image_id": k + 1,
                "category_id": classes[k % len(classes)],
                "bbox": box,
                "area": 600,
                "iscrowd": 0,
            }
            for k, box in enumerate(BOXES)
        ],
    }


def results(truth: dict[str, Any], image: int = 0, category: int = 0) -> list[dict[str, Any]]:
    """The objects as detections, with ids shifted."""
    return [
        {
            "image_id": row["image_id"] + image,
            "category_id": row["category_id"] + category,
            "bbox": row["bbox"],
            "score": 0.9 - k / 100,
        }
        for k, row in enumerate(truth["annotations"])
    ]


def notes_of(caught: Any) -> list[Note]:
    return [note_of(one.message) for one in caught]


SAME_NAME = [
    {"id": 3, "name": "bolt", "supercategory": "steel"},
    {"id": 7, "name": "bolt", "supercategory": "brass"},
]


def test_classes_of_one_name_get_their_ids_and_keep_their_own_numbers(tmp_path: Path) -> None:
    gt = document(SAME_NAME, [3, 7])
    with pytest.warns(InputNote) as caught:
        truth = read_truth(write(tmp_path / "gt.json", gt))
    assert [(note.kind, note.values) for note in notes_of(caught)] == [("renamed_classes", {"classes": 2})]
    assert truth.catalog.classes == ("bolt (3)", "bolt (7)")
    rows = [row for row in results(gt) if row["category_id"] == 3]
    by_name = {"images": gt["images"], "categories": SAME_NAME, "annotations": rows}
    saved = tmp_path / "dt.parquet"
    read_detections(write(tmp_path / "dt.json", rows), truth).save(saved)
    for file in (tmp_path / "dt.json", write(tmp_path / "dict.json", by_name), saved):
        evaluation = evaluate(truth, read_detections(file, truth))
        assert evaluation.value("ap", "bolt (3)") == 1
        assert evaluation.value("ap", "bolt (7)") == 0
        assert evaluation.value("ap") == 0.5


@pytest.mark.parametrize(
    ("names", "ids", "distinct"),
    [
        (("a", "b"), (0, 1), ("a", "b")),
        (("a", "a"), (0, 1), ("a (0)", "a (1)")),
        (("a", "a", "a (1)"), (1, 2, 5), ("a (1) (1)", "a (2)", "a (1)")),
        (("", "x", ""), (4, 5, 6), ("4", "x", "6")),
        (("5", ""), (4, 5), ("5", "5 (5)")),
    ],
)
@pytest.mark.filterwarnings("ignore::metrics.errors.InputNote")
def test_names_of_a_catalog_are_distinct(
    names: tuple[str, ...], ids: tuple[int, ...], distinct: tuple[str, ...]
) -> None:
    catalog = Catalog.of([1], names, class_ids=ids)
    assert catalog.classes == distinct
    assert catalog.select([0]).classes == distinct


def test_detections_by_name_are_matched_by_id_where_the_name_repeats_and_refused_otherwise(
    tmp_path: Path,
) -> None:
    gt = document(SAME_NAME, [3, 7])
    truth = read_truth(write(tmp_path / "gt.json", gt))
    own = [{"id": 1, "name": "bolt"}]
    rows = [row | {"category_id": 1} for row in results(gt)]
    file = write(tmp_path / "dt.json", {"images": gt["images"], "categories": own, "annotations": rows})
    with pytest.raises(
        InputError, match=r"category_id 1, 'bolt', is the name of several classes, .*--class-map FILE.json"
    ):
        read_detections(file, truth)
    (tmp_path / "map.json").write_text(json.dumps({"1": 7}))
    assert main([str(tmp_path / "gt.json"), str(file), "--class-map", str(tmp_path / "map.json")]) == 0


@pytest.mark.parametrize("name", ["parts", "bolt"])
def test_a_category_above_all_others_without_objects_is_no_class(tmp_path: Path, name: str) -> None:
    categories = [
        {"id": 0, "name": name, "supercategory": "none"},
        {"id": 1, "name": "bolt", "supercategory": name},
        {"id": 2, "name": "nut", "supercategory": name},
    ]
    gt = document(categories, [1, 2])
    with pytest.warns(InputNote) as caught:
        truth = read_truth(write(tmp_path / "gt.json", gt))
    assert [(note.kind, note.subject) for note in notes_of(caught)] == [("root_category", name)]
    assert (truth.catalog.class_ids, truth.catalog.classes) == ((1, 2), ("bolt", "nut"))
    assert main([str(tmp_path / "gt.json"), str(write(tmp_path / "dt.json", results(gt))), "--verify"]) == 0


@pytest.mark.parametrize(
    ("top", "below", "classes"),
    [
        ({"supercategory": "none"}, "other", [1, 2]),  # not the supercategory of the others
        ({"supercategory": "parts"}, "parts", [1, 2]),
        ({"supercategory": "none"}, "parts", [0, 1, 2]),  # it has objects
        ({}, "", [1, 2]),
    ],
)
def test_other_categories_without_objects_are_classes(
    tmp_path: Path, top: dict[str, str], below: str, classes: list[int]
) -> None:
    categories = [
        {"id": 0, "name": "parts", **top},
        *({"id": k, "name": str(k), "supercategory": below} for k in (1, 2)),
    ]
    assert len(read_truth(write(tmp_path / "gt.json", document(categories, classes))).catalog.classes) == 3


def test_classes_that_look_alike_stay_distinct_with_a_warning(tmp_path: Path) -> None:
    names = ["cat", "Cat", "cat ", "traffic_light", "traffic light", "dog"]
    categories = [{"id": k, "name": name} for k, name in enumerate(names)]
    with pytest.warns(InputWarning, match="'cat' and 'Cat' and 'cat '; 'traffic_light' and 'traffic light'"):
        truth = read_truth(write(tmp_path / "gt.json", document(categories, [0, 1, 2, 3, 4, 5])))
    assert truth.catalog.classes == tuple(names)


def test_repeated_objects_are_counted(tmp_path: Path) -> None:
    gt = document([{"id": 1, "name": "bolt"}], [1])
    gt["annotations"] += [row | {"id": row["id"] + 100} for row in gt["annotations"][:5]]
    with pytest.warns(InputWarning, match=r"5 of 17 objects repeat another one") as caught:
        read_truth(write(tmp_path / "gt.json", gt))
    assert [note.kind for note in notes_of(caught)] == ["repeated_objects"]


def test_repeated_rows_are_those_that_a_set_of_rows_already_has() -> None:
    random = np.random.default_rng(5)
    count = 4000
    catalog = Catalog.of(range(20), ["a", "b", "c"])
    table = AnnotationTable.of(
        catalog,
        random.integers(0, 20, count),
        random.integers(0, 3, count),
        random.integers(-1, 3, (count, 4)) * 1.0,
    )
    seen = set()
    expected = []
    for row in zip(table.image.tolist(), table.label.tolist(), map(tuple, table.xywh.tolist()), strict=True):
        expected.append(row in seen)
        seen.add(row)
    assert repeated_rows(table).tolist() == expected
    assert 0 < sum(expected) < count
    assert not repeated_rows(table.select([])).any()


CATEGORIES = [
    {"id": k, "name": name, "supercategory": "top"} for k, name in enumerate(("parts", "bolt", "nut"))
]


def test_shifted_classes_are_reported_with_the_mapping_that_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gt = write(tmp_path / "gt.json", document(CATEGORIES, [1, 2]))
    dt = write(tmp_path / "dt.json", results(document(CATEGORIES, [1, 2]), category=-1))
    truth = read_truth(gt)
    with pytest.warns(
        InputWarning,
        match=r'100% would with other class ids: pass --class-map FILE.json, .*\{"0": 1, "1": 2\}',
    ):
        read_detections(dt, truth)
    (tmp_path / "map.json").write_text('{"0": 1, "1": 2}')
    assert (
        main(
            [str(gt), str(dt), "--class-map", str(tmp_path / "map.json"), "--fail-below", "ap=1", "--strict"]
        )
        == 0
    )
    assert "warning" not in capsys.readouterr().err


def test_image_ids_that_are_numbers_of_file_names_are_reported_and_can_be_read(tmp_path: Path) -> None:
    gt = write(tmp_path / "gt.json", document(CATEGORIES, [1, 2]))
    rows = results(document(CATEGORIES, [1, 2]), image=-1)
    truth = read_truth(gt)
    for part, kind in ((rows, "error"), (rows[1:], "warning")):
        dt = write(tmp_path / "dt.json", part)
        with (
            pytest.raises(InputError, match="--image-ids file-names")
            if kind == "error"
            else pytest.warns(
                InputWarning, match="100% would with the numbers in the file names .*--image-ids file-names"
            )
        ):
            read_detections(dt, truth)
        assert (
            main([str(gt), str(dt), "--image-ids", "file-names", "--fail-below", "ap50=0.9", "--strict"]) == 0
        )


def test_poor_detections_are_not_reported_as_shifted(tmp_path: Path) -> None:
    truth = read_truth(write(tmp_path / "gt.json", document(CATEGORIES, [0, 1, 2])))
    rows = [row | {"bbox": [500, 300, 5, 5]} for row in results(document(CATEGORIES, [1, 2]))]
    assert len(read_detections(write(tmp_path / "dt.json", rows), truth)) == 12
