"""Tables: validation, and conversion to and from files, frames and lists."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow.parquet
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from strategies import Scene, scenes

from metrics.errors import InputError, MachineError
from metrics.tables import AnnotationTable, Catalog, DetectionTable

CATALOG = Catalog.of(
    [3, 5, 9], ["cat", "dog"], sizes=[(480, 640)] * 3, file_names=["a", "b", "c"], class_ids=[1, 18]
)


def detections(**columns: Any) -> DetectionTable:
    given: dict[str, Any] = {
        "image": [0, 2, 2],
        "label": [0, 1, 0],
        "xywh": [[0, 0, 10, 20], [1, 2, 3, 4], [5.5, 5, 1, 1]],
        "score": [0.9, 0.8, 0.7],
    }
    return DetectionTable(CATALOG, **(given | columns))


def assert_equal(one: AnnotationTable | DetectionTable, other: AnnotationTable | DetectionTable) -> None:
    assert type(one) is type(other)
    assert one.catalog == other.catalog
    for name in one.columns():
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"score": [0.9, np.nan, 0.7]}, r"DetectionTable.score: row 1 is nan, and 1 of 3 rows is not finite"),
        ({"xywh": [[0, 0, 1, 1], [0, 0, np.inf, 1], [0, 0, 1, 1]]}, r"DetectionTable.xywh: row 1 is \[0.0, 0.0, inf, 1.0\]"),
        ({"image": [0, 3, 1]}, r"DetectionTable.image: row 1 is 3, but the catalog has 3 images: expected an index in \[0, 3\)"),
        ({"label": [0, -1, 1]}, r"DetectionTable.label: row 1 is -1, but the catalog has 2 classes"),
        ({"label": [0.0, 1.0, 1.0]}, r"DetectionTable.label: expected integers, got float64"),
        ({"score": [1, 1]}, r"DetectionTable.score: expected shape \(3,\), got \(2,\)"),
        ({"xywh": np.zeros((3, 5))}, r"DetectionTable.xywh: expected shape \(3, 4\), got \(3, 5\)"),
        ({"score": ["a", "b", "c"]}, r"DetectionTable.score: expected numbers, got <U1"),
    ],
)  # fmt: skip
def test_an_invalid_column_names_table_column_and_row(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        detections(**columns)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 1], "1 stands twice"),
        ([2, 1], "1 stands after 2"),
        ([1, "2"], "expected all integers or all strings, but '2' is str"),
        ([1, True], "expected all integers or all strings, but True is bool"),
        ([1, 2**63], "do not fit into 64 bits"),
    ],
)
def test_image_ids_are_sorted_unique_and_of_one_kind(ids: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Catalog.of(ids, ["cat"])


def test_class_ids_are_integers() -> None:
    with pytest.raises(InputError, match=r"Catalog.class_ids: expected all integers, but 'a' is str"):
        Catalog.of([1], ["cat"], class_ids=["a"])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"Catalog.classes: expected one per class id, 2, got 1"):
        Catalog.of([1], ["cat"], class_ids=[1, 2])


def test_columns_have_the_promised_types_and_are_contiguous() -> None:
    table = detections(
        image=np.array([0, 2, 2], np.uint8), xywh=np.asfortranarray(np.ones((3, 4), np.float32))
    )
    assert (table.image.dtype, table.label.dtype) == (np.int32, np.int32)
    assert (table.xywh.dtype, table.score.dtype) == (np.float64, np.float64)
    assert table.xywh.flags.c_contiguous


def test_boxes_are_the_corners() -> None:
    np.testing.assert_array_equal(detections().boxes, [[0, 0, 10, 20], [1, 2, 4, 6], [5.5, 5, 6.5, 6]])


def test_an_empty_table_has_its_shapes() -> None:
    table = DetectionTable(CATALOG, [], [], [], [])  # type: ignore[arg-type]
    assert len(table) == 0
    assert table.xywh.shape == table.boxes.shape == (0, 4)


def test_missing_columns_of_annotations_have_defaults() -> None:
    table = AnnotationTable.of(CATALOG, [0, 1], [1, 1], [[0, 0, 2, 3], [0, 0, 4, 5]])
    np.testing.assert_array_equal(table.area, [6, 20])
    np.testing.assert_array_equal(table.object_id, [1, 2])
    assert not table.crowd.any()
    assert not table.ignored.any()
    with pytest.raises(InputError, match=r"AnnotationTable.crowd: expected flags, true or false"):
        AnnotationTable.of(CATALOG, [0], [1], [[0, 0, 2, 3]], crowd=[2])


def test_selecting_images_keeps_their_rows_in_order() -> None:
    table = detections()
    for chosen in (np.array([False, True, True]), [2, 1], [1, 2]):
        few = table.select(chosen)
        assert few.catalog.image_ids == (5, 9)
        assert few.catalog.classes == CATALOG.classes
        np.testing.assert_array_equal(few.image, [1, 1])
        np.testing.assert_array_equal(few.score, [0.8, 0.7])


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([True], r"expected a mask of shape \(3,\), got \(1,\)"),
        ([3], r"index 3 is not in \[0, 3\)"),
        ([-1], r"index -1 is not in \[0, 3\)"),
        ([1, 1], "5 is selected twice"),
        ([0.5], "expected a mask or a list of indices"),
    ],
)
def test_an_invalid_selection_is_refused(chosen: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        detections().select(chosen)


@given(scenes(ignored=True))
def test_selecting_all_images_changes_nothing(scene: Scene) -> None:
    everything = np.ones(len(scene.truth.catalog.image_ids), np.bool_)
    assert_equal(scene.truth.select(everything), scene.truth)
    assert_equal(scene.detections.select(everything), scene.detections)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(scenes(ignored=True))
def test_a_table_is_unchanged_by_parquet_frame_and_pickle(tmp_path: Path, scene: Scene) -> None:
    for table in (scene.truth, scene.detections):
        table.save(tmp_path / "table.parquet")
        assert_equal(type(table).load(tmp_path / "table.parquet"), table)
        assert_equal(pickle.loads(pickle.dumps(table)), table)
    assert_equal(AnnotationTable.from_frame(scene.truth.to_frame(), scene.truth.catalog), scene.truth)
    assert_equal(
        DetectionTable.from_frame(scene.detections.to_frame(), scene.detections.catalog), scene.detections
    )
    assert not list(tmp_path.glob(".*")), "an unfinished file was left behind"


def test_a_fingerprint_changes_with_any_content_and_not_with_a_negative_zero() -> None:
    table = detections()
    assert table.fingerprint == detections().fingerprint
    assert table.fingerprint != detections(score=[0.9, 0.8, 0.71]).fingerprint
    renamed = Catalog.of(
        CATALOG.image_ids, ["cat", "fox"], CATALOG.sizes, CATALOG.file_names, CATALOG.class_ids
    )
    assert renamed.fingerprint != CATALOG.fingerprint
    assert Catalog.of(["1"], ["a"]).fingerprint != Catalog.of([1], ["a"]).fingerprint
    zero = [[0.0, 0, 1, 1]] * 3
    assert (
        detections(xywh=np.array(zero) * -0.0).fingerprint
        == detections(xywh=np.array(zero) * 0.0).fingerprint
    )


def test_a_fingerprint_is_the_same_everywhere() -> None:
    assert detections().fingerprint == "f5d884070553bb9f9810c2db03ba63b604ca7435b185f42cd642e5a064af808c"


def test_catalogs_are_values() -> None:
    same = Catalog.of([3, 5, 9], ["cat", "dog"], [(480, 640)] * 3, ["a", "b", "c"], [1, 18])
    assert same == CATALOG
    assert hash(same) == hash(CATALOG)
    assert same != Catalog.of([3, 5, 9], ["cat", "dog"], [(480, 640)] * 3, ["a", "b", "x"], [1, 18])
    assert CATALOG != "catalog"
    assert repr(detections()) == "DetectionTable(3 boxes, Catalog(3 images, 2 classes))"


def test_a_parquet_file_of_another_kind_or_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(InputError, match=r"no such file"):
        DetectionTable.load(path)
    detections().save(path)
    with pytest.raises(InputError, match=r"holds detections, expected annotations"):
        AnnotationTable.load(path)
    pandas.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(
        InputError, match=r"another program wrote it; read it with pandas and use DetectionTable.from_frame"
    ):
        DetectionTable.load(path)
    path.write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"cannot be read as Parquet"):
        DetectionTable.load(path)
    with pytest.raises(MachineError, match=r"cannot be written"):
        detections().save(path / "t.parquet")  # a file is no folder


def test_a_parquet_file_has_ids_and_names_for_other_tools(tmp_path: Path) -> None:
    detections().save(tmp_path / "d.parquet")
    frame = pandas.read_parquet(tmp_path / "d.parquet")
    assert frame["image_id"].tolist() == [3, 9, 9]
    assert frame["class_name"].tolist() == ["cat", "dog", "cat"]
    old = frame.drop(columns=["image_id", "class_name"])
    table = pyarrow.parquet.read_table(tmp_path / "d.parquet").select(list(old))
    pyarrow.parquet.write_table(table, tmp_path / "old.parquet")
    assert_equal(DetectionTable.load(tmp_path / "old.parquet"), detections())
    empty = DetectionTable.builder(Catalog.of([], [])).build()
    empty.save(tmp_path / "empty.parquet")
    assert_equal(DetectionTable.load(tmp_path / "empty.parquet"), empty)


def test_a_table_shows_its_first_rows_in_a_notebook() -> None:
    html = detections()._repr_html_()
    assert html.count("<tr") == 4
    assert "DetectionTable(3 boxes" in html


def test_a_newer_file_names_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    detections().save(path)
    table = pyarrow.parquet.read_table(path)
    newer = table.schema.metadata[b"detbench"].replace(b'"version": 1', b'"version": 7')
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"detbench": newer}), path)
    with pytest.raises(InputError, match=r"has version 7 of the table format, this program reads 1"):
        DetectionTable.load(path)


def test_a_frame_may_have_corners_and_names() -> None:
    frame = pandas.DataFrame(
        {
            "image_id": ["b", "a"],
            "class": ["dog", "cat"],
            "x1": [1, 2],
            "y1": [1, 2],
            "x2": [5, 6],
            "y2": [7, 8],
        }
    )
    table = AnnotationTable.from_frame(frame)
    assert table.catalog.image_ids == ("a", "b")
    assert table.catalog.classes == ("cat", "dog")
    np.testing.assert_array_equal(table.image, [1, 0])
    np.testing.assert_array_equal(table.label, [1, 0])
    np.testing.assert_array_equal(table.xywh, [[1, 1, 4, 6], [2, 2, 4, 6]])


def test_a_frame_names_the_files_of_its_images() -> None:
    frame = pandas.DataFrame({"image_id": [1, 1], "class": ["a", "a"]} | {key: [1, 1] for key in "xywh"})
    assert AnnotationTable.from_frame(frame).catalog.file_names == ("",)
    named = frame.assign(file_name="street/1.jpg")
    assert AnnotationTable.from_frame(named).catalog.file_names == ("street/1.jpg",)
    by_file = frame.assign(image_id="1.jpg")
    assert AnnotationTable.from_frame(by_file).catalog.file_names == ("1.jpg",)
    with pytest.raises(InputError, match=r"image 1 has the files 'a.jpg' and 'b.jpg'"):
        AnnotationTable.from_frame(frame.assign(file_name=["a.jpg", "b.jpg"]))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"image_id": [1], "class_id": [1], "x": [0]}, r"no column score, x, y, w, h \(or x1, y1, x2, y2\)"),
        ({"class_id": [1], "x": [0], "y": [0], "w": [0], "h": [0], "score": [1]}, "no column image_id"),
        (
            {"image_id": [4], "class_id": [1], "x": [0], "y": [0], "w": [0], "h": [0], "score": [1]},
            r"image_id: row 0 has .*4.*, which the catalog lacks \(1 row\)",
        ),
    ],
)
def test_an_invalid_frame_names_column_and_row(frame: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DetectionTable.from_frame(pandas.DataFrame(frame), CATALOG)


def test_a_class_with_two_names_is_refused() -> None:
    frame = pandas.DataFrame(
        {"image_id": [1, 1], "class_id": [1, 1], "class": ["a", "b"]} | {key: [1, 1] for key in "xywh"}
    )
    with pytest.raises(InputError, match=r"class_id 1 is called 'a' and 'b'"):
        AnnotationTable.from_frame(frame)


@pytest.mark.parametrize(
    "make", [np.array, torch.tensor, list, lambda v: torch.tensor(v, dtype=torch.bfloat16)]
)
def test_lists_of_arrays_or_tensors_become_a_table(make: Any) -> None:
    table = DetectionTable.from_images(
        CATALOG,
        boxes=[make([[0.0, 0, 10, 20]]), make([]), make([[1.0, 2, 4, 6], [5, 5, 6, 6]])],
        scores=[make([0.5]), make([]), make([0.25, 0.75])],
        labels=[np.array([0]), torch.zeros(0, dtype=torch.int64), [1, 0]],
    )
    np.testing.assert_array_equal(table.image, [0, 2, 2])
    np.testing.assert_array_equal(table.xywh, [[0, 0, 10, 20], [1, 2, 3, 4], [5, 5, 1, 1]])
    np.testing.assert_array_equal(table.score, [0.5, 0.25, 0.75])


def test_a_tensor_that_requires_a_gradient_is_detached() -> None:
    boxes = torch.ones(1, 4, requires_grad=True) * 2
    truth = AnnotationTable.from_images(
        [boxes], [torch.tensor([1])], layout="xywh", crowd=[torch.tensor([True])]
    )
    assert truth.catalog.classes == ("0", "1")
    assert truth.crowd.tolist() == [True]
    assert truth.area.tolist() == [4]


def test_a_builder_takes_images_in_any_order() -> None:
    builder = AnnotationTable.builder(CATALOG)
    builder.add(9, [[0, 0, 2, 2]], [1], area=[3], crowd=[True], object_ids=[77])
    builder.add(3, np.zeros((0, 4)), [])
    builder.add(5, [[0, 0, 2, 4]], [0], ignored=[1])
    table = builder.build()
    np.testing.assert_array_equal(table.image, [2, 1])
    np.testing.assert_array_equal(table.area, [3, 8])
    np.testing.assert_array_equal(table.object_id, [77, 2])
    assert table.crowd.tolist() == [True, False]
    assert table.ignored.tolist() == [False, True]
    assert len(DetectionTable.builder(CATALOG).build()) == 0


def test_a_builder_names_the_invalid_image() -> None:
    builder = DetectionTable.builder(CATALOG)
    with pytest.raises(InputError, match=r"image 4 is not in the catalog, which has 3 images"):
        builder.add(4, [[0, 0, 1, 1]], [1], [0])
    with pytest.raises(InputError, match=r"image 5: scores: expected shape \(1,\), one per box, got \(2,\)"):
        builder.add(5, [[0, 0, 1, 1]], [1, 2], [0])
    with pytest.raises(InputError, match=r"image 5: boxes: expected shape \(N, 4\), got \(1, 3\)"):
        builder.add(5, [[0, 0, 1]], [1], [0])
    with pytest.raises(InputError, match=r"image 5: labels: expected integers, got float64"):
        builder.add(5, [[0, 0, 1, 1]], [1], [0.5])
    assert len(builder.build()) == 0, "refused rows are not added"
    with pytest.raises(InputError, match=r"boxes: expected one entry per image, 3, got 1"):
        DetectionTable.from_images(CATALOG, [[]], [[]], [[]])


def test_rows_are_taken_by_mask_and_by_index() -> None:
    table = detections()
    np.testing.assert_array_equal(table.take([2, 0]).score, [0.7, 0.9])
    np.testing.assert_array_equal(table.take(table.label == 1).xywh, [[1, 2, 3, 4]])
    assert table.take([]).catalog == table.catalog
