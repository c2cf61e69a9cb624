"""Pascal VOC's XML: pixels, difficult objects, and irregular files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metrics.errors import InputError, InputWarning
from metrics.formats import coco, voc, yolo
from metrics.tables import AnnotationTable

OBJECT = "<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"
BOX = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"


def annotation(folder: Path, *objects: str, name: str = "a.xml", size: str = "") -> Path:
    size = size or "<size><width>500</width><height>400</height><depth>3</depth></size>"
    path = folder / name
    path.write_text(f"<annotation><filename>{path.stem}.jpg</filename>{size}{''.join(objects)}</annotation>")
    return path


def thing(*corners: object, name: str = "cat", more: str = "") -> str:
    return OBJECT.format(name=name, more=more, box=BOX.format(*corners))


def test_inclusive_pixels_counted_from_one_become_edges_counted_from_zero(tmp_path: Path) -> None:
    path = annotation(tmp_path, thing(1, 1, 500, 400), thing(3, 5, 4, 5 + 1))
    read = voc.read_annotation(path)
    assert read.size == (400, 500)
    assert read.file_name == "a.jpg"
    # the whole image; and a square of two pixels
    np.testing.assert_array_equal(read.boxes, [[0, 0, 500, 400], [2, 4, 4, 6]])
    np.testing.assert_array_equal(voc.read_annotation(path, "edges").boxes, [[1, 1, 500, 400], [3, 5, 4, 6]])


def test_difficult_is_ignored_and_truncated_counts(tmp_path: Path) -> None:
    path = annotation(
        tmp_path,
        thing(1, 1, 9, 9, more="<difficult>1</difficult>"),
        thing(2, 1, 9, 9, more="<truncated>1</truncated><difficult>0</difficult>"),
        thing(3, 1, 9, 9, more="<difficult>Unspecified</difficult>"),
    )
    read = voc.read_annotation(path)
    assert read.truncated.tolist() == [False, True, False]
    table = voc.read_truth([path])
    assert table.ignored.tolist() == [True, False, False]
    assert not table.crowd.any()


def test_parts_of_an_object_are_not_objects(tmp_path: Path) -> None:
    part = "<part><name>head</name><bndbox>" + BOX.format(9, 9, 10, 10) + "</bndbox></part>"
    read = voc.read_annotation(annotation(tmp_path, thing(1, 2, 30, 40, name="person", more=part)))
    assert read.names == ("person",)
    np.testing.assert_array_equal(read.boxes, [[0, 1, 30, 40]])


def test_classes_are_those_that_occur_or_those_that_are_given(tmp_path: Path) -> None:
    paths = [
        annotation(tmp_path, thing(1, 1, 9, 9, name="dog"), name="b.xml"),
        annotation(tmp_path, thing(1, 1, 9, 9, name="cat"), name="a.xml"),
        annotation(tmp_path, name="c.xml"),
    ]
    table = voc.read_truth(paths)
    assert table.catalog.image_ids == ("a", "b", "c")
    assert table.catalog.classes == ("cat", "dog")
    assert table.label.tolist() == [0, 1]
    assert voc.read_truth(paths, ["fox", "dog", "cat"]).label.tolist() == [2, 1]
    with pytest.raises(InputError, match=r"b.xml: unknown class 'dog'; did you mean 'dogs'\?"):
        voc.read_truth(paths, ["cat", "dogs"])
    with pytest.raises(InputError, match=r"a.xml: is given twice"):
        voc.read_truth([paths[1], paths[1]])


def test_no_files_are_an_empty_table() -> None:
    table = voc.read_truth([], ["cat"])
    assert len(table) == 0
    assert table.catalog.image_ids == ()


@pytest.mark.parametrize("side", ["-1", "2147483648", "1e300"])
@pytest.mark.parametrize("tag", ["width", "height"])
def test_fault_122_a_size_that_no_image_has_is_refused(tmp_path: Path, tag: str, side: str) -> None:
    text = f"<annotation><size><{tag}>{side}</{tag}></size></annotation>"
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(InputError, match=r"a\.xml: has .* pixels; correct its annotation"):
        voc.read_truth([tmp_path / "a.xml"])


def test_a_file_without_size_or_objects_is_read(tmp_path: Path) -> None:
    read = voc.read_annotation(annotation(tmp_path, size="<size></size>"))
    assert read.size == (0, 0)
    assert read.boxes.shape == (0, 4)


def test_blood_cells_read_as_described(shared_data: Path) -> None:
    folder = shared_data / "bccd"
    with pytest.warns(InputWarning, match=r"2 of 4,888 objects have no width or no height"):
        whole = voc.read_truth((folder / "Annotations").glob("*.xml"))
    assert whole.catalog.classes == ("Platelets", "RBC", "WBC")
    assert len(whole.catalog.image_ids) == 364
    assert np.unique(whole.catalog.sizes, axis=0).tolist() == [[480, 640]]
    empty = whole.xywh[:, 2:].min(1) == 0
    assert [whole.catalog.image_ids[i] for i in whole.image[empty]] == [
        "BloodImage_00338",
        "BloodImage_00343",
    ]
    for split, images, boxes in (("train", 205, 2805), ("val", 87, 1138), ("test", 72, 945)):
        stems = (folder / "ImageSets" / "Main" / f"{split}.txt").read_text().split()
        table = whole.select(np.isin(whole.catalog.image_ids, stems))
        assert (len(table.catalog.image_ids), len(table)) == (images, boxes)


def described(table: AnnotationTable) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Image, class and box of each object in an order that all layouts share."""
    stems = [Path(name).stem for name in table.catalog.file_names]
    rows = sorted(
        (stems[image], table.catalog.classes[label], *np.round(box, 1), *box)
        for image, label, box in zip(table.image, table.label, table.boxes, strict=True)
    )
    return [row[:2] for row in rows], np.array([row[-4:] for row in rows])


def test_the_same_boxes_read_equal_from_all_layouts(shared_data: Path) -> None:
    folder = shared_data / "formats100"
    truth = voc.read_truth((folder / "pascalvoc_format").glob("*.xml"), pixels="edges")
    names = (folder / "yolo_format" / "obj.names").read_text().split()
    images = [folder / "images" / name for name in truth.catalog.file_names]
    labels = folder / "yolo_format" / "obj_train_data"
    whose, boxes = described(truth)
    assert len(whose) == 273
    for table, rounding in (
        (coco.read_truth(folder / "coco_format_v1" / "instances_default.json"), 0.0),
        (coco.read_truth(folder / "coco_format_v2" / "instances_v2.json"), 0.0),
        # six decimals of centre and size, times at most 500 pixels
        (yolo.read_truth(images, truth.catalog.sizes, names, labels), 1e-6 * 500),
    ):
        assert described(table)[0] == whose
        np.testing.assert_allclose(described(table)[1], boxes, rtol=0, atol=rounding)
