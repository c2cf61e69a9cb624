"""What a format cannot hold is counted in a note, and only that is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.convert.folder import planned_files, write_dataset
from bench.convert.further_fields import note_further_fields
from bench.convert.image_set import ImageSet, Picture
from bench.data.images import read_image
from metrics.errors import InputError
from metrics.formats import voc
from metrics.formats.discovery import read_truth
from metrics.formats.yolo_text import label_text
from metrics.notes import Note
from metrics.tables import AnnotationTable, Catalog

HEIGHT, WIDTH = 30, 40

Box = tuple[float, float, float, float]


def image_set(boxes: list[Box], classes: tuple[str, ...] = ("cat",), **columns: object) -> ImageSet:
    """A set of one image with these boxes."""
    catalog = Catalog.of(["a"], classes, [(HEIGHT, WIDTH)], ["a.png"])
    count = len(boxes)
    table = AnnotationTable.of(catalog, np.zeros(count, int), np.zeros(count, int), boxes)
    table = replace(table, **{name: np.asarray(column) for name, column in columns.items()})
    return ImageSet("train", table, (Picture("a.png", None, lambda: np.zeros((HEIGHT, WIDTH, 3), np.uint8)),))


def noted(notes: list[Note]) -> dict[str, float]:
    """The first number of each note by its kind."""
    return {note.kind: next(iter(note.values.values()), 0) for note in notes}


def label_rows(text: str | bytes) -> list[list[float]]:
    return [[float(word) for word in line.split()] for line in str(text).splitlines()]


def test_yolo_clips_boxes_and_leaves_out_what_it_has_no_fractions_for() -> None:
    inside, rounding = (4.0, 3.0, 8.0, 6.0), (30.0, 20.0, 10.0 + 1e-9, 10.0)
    beyond, far = (-4.0, 3.0, 8.0, 6.0), (20.0, 15.0, 400.0, 300.0)
    outside, negative, empty = (41.0, 3.0, 8.0, 6.0), (9.0, 3.0, -4.0, 6.0), (5.0, 6.0, 0.0, 3.0)
    written = planned_files([image_set([inside, rounding, beyond, far, outside, negative, empty])], "yolo")
    rows = label_rows(written.texts["labels/train/a.txt"])
    assert rows == [
        pytest.approx([0, 8 / 40, 6 / 30, 8 / 40, 6 / 30]),
        pytest.approx([0, 35 / 40, 25 / 30, 10 / 40, 10 / 30]),
        pytest.approx([0, 2 / 40, 6 / 30, 4 / 40, 6 / 30]),
        pytest.approx([0, 30 / 40, 22.5 / 30, 20 / 40, 15 / 30]),
        pytest.approx([0, 5 / 40, 7.5 / 30, 0, 3 / 30]),
    ]
    assert all(0 <= value <= 1 for row in rows for value in row[1:])
    counts = noted(written.notes)
    assert (counts["clipped_boxes"], counts["outside_boxes"], counts["negative_boxes"]) == (2, 1, 1)


def test_a_negative_box_is_written_after_the_fix_that_its_note_suggests() -> None:
    from bench.fix.fix import fix_sets

    sets = [image_set([(9.0, 3.0, -4.0, 6.0)])]
    (note,) = (note for note in planned_files(sets, "yolo").notes if note.kind == "negative_boxes")
    assert "--fix" in note.text
    fixed, _ = fix_sets(sets)
    written = planned_files(fixed, "yolo")
    assert label_rows(written.texts["labels/train/a.txt"]) == [
        pytest.approx([0, 7 / 40, 6 / 30, 4 / 40, 6 / 30])
    ]
    assert "negative_boxes" not in noted(written.notes)


def test_boxes_of_images_that_were_annotated_without_rotation_turn_with_them_in_yolo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    pixels[3:9, 4:12] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    one = image_set([(4.0, 3.0, 8.0, 6.0)])
    one = replace(one, pictures=(Picture("a.png", tmp_path / "a.png", orientation=6, stored_boxes=True),))
    notes = write_dataset([one], "yolo", tmp_path / "out")
    assert noted(notes)["turned_boxes"] == 1
    (row,) = label_rows((tmp_path / "out" / "labels" / "train" / "a.txt").read_text())
    upright = read_image(tmp_path / "out" / "images" / "train" / "a.png")
    assert upright.shape == (WIDTH, HEIGHT, 3)
    y, x = np.nonzero(upright[:, :, 0] == 255)
    box = [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]
    cx, cy, w, h = row[1] * HEIGHT, row[2] * WIDTH, row[3] * HEIGHT, row[4] * WIDTH
    assert [cx - w / 2, cy - h / 2, w, h] == pytest.approx(box)


def test_yolo_needs_a_class_and_says_which_split_ultralytics_misses() -> None:
    with pytest.raises(InputError, match="has no classes"):
        planned_files([image_set([], ())], "yolo")
    (note,) = (note for note in planned_files([image_set([])], "yolo").notes if note.kind == "absent_split")
    assert note.text.startswith("data.yaml has no val, which")


def test_voc_boxes_of_one_pixel_read_back_without_size_and_are_counted(tmp_path: Path) -> None:
    boxes = [
        (4.0, 3.0, 1.0, 6.0),
        (4.0, 3.0, 6.0, 0.5),
        (4.0, 3.0, 0.0, 6.0),
        (4.0, 3.0, 1.5, 2.0),
        (9.0, 3.0, -4.0, 6.0),
    ]
    notes = write_dataset([image_set(boxes)], "voc", tmp_path / "out")
    counts = noted(notes)
    assert counts["lost_boxes"] == 2
    assert counts["decimal_boxes"] == 2
    read = voc.read_annotation(tmp_path / "out" / "Annotations" / "a.xml").boxes
    widths, heights = read[:, 2] - read[:, 0], read[:, 3] - read[:, 1]
    assert widths.tolist() == [0, 6, 0, 1.5, -4]
    assert heights.tolist() == [6, 0, 6, 2, 6]
    assert read[:, :2].tolist() == [list(box[:2]) for box in boxes]


def test_voc_as_edges_keeps_boxes_of_one_pixel(tmp_path: Path) -> None:
    boxes = [(4.0, 3.0, 1.0, 6.0), (4.0, 3.0, 6.0, 0.5)]
    notes = write_dataset([image_set(boxes)], "voc", tmp_path / "out", pixels="edges")
    assert "lost_boxes" not in noted(notes)
    read = voc.read_annotation(tmp_path / "out" / "Annotations" / "a.xml", "edges").boxes
    assert read.tolist() == [[4, 3, 5, 9], [4, 3, 10, 3.5]]


def test_whole_numbers_are_written_without_decimals_in_voc() -> None:
    text = str(planned_files([image_set([(4.0, 3.0, 8.0, 6.25)])], "voc").texts["Annotations/a.xml"])
    assert "<xmin>5</xmin>" in text
    assert "<xmax>12</xmax>" in text
    assert "<ymax>9.25</ymax>" in text


def test_classes_of_voc_without_objects_and_names_that_xml_changes_are_counted() -> None:
    one = image_set([(4.0, 3.0, 8.0, 6.0)], ("cat ", "cat", "unused"))
    with pytest.warns(
        UserWarning, match="get one with their id: 0 'cat' is 'cat \\(0\\)', 1 'cat' is 'cat \\(1\\)'"
    ):
        written = planned_files([one], "voc")
    counts = noted(written.notes)
    assert counts["lost_classes"] == 2
    assert counts["renamed_classes"] == 1
    assert "<name>cat (0)</name>" in str(written.texts["Annotations/a.xml"])


@pytest.mark.parametrize("format", ["voc", "yolo"])
def test_areas_ids_and_columns_that_only_coco_holds_are_counted(format: str) -> None:
    one = image_set([(4.0, 3.0, 8.0, 6.0), (1.0, 1.0, 4.0, 4.0)], area=[20.0, 16.0])
    catalog = Catalog.of([7], ["cat"], [(HEIGHT, WIDTH)], ["a.png"], [3], {"video": ["v"]})
    one = replace(one, truth=replace(one.truth, catalog=catalog))
    counts = noted(planned_files([one], format).notes)
    assert counts["lost_areas"] == 1
    assert counts["lost_columns"] == 1
    assert counts["image_ids"] == 1
    assert counts["class_ids"] == 1
    assert set(noted(planned_files([one], "coco").notes)) == set()


def test_masks_keypoints_and_marks_are_counted(tmp_path: Path) -> None:
    annotations = [
        {"segmentation": [[1, 2, 3, 4, 5, 6]], "keypoints": [1, 2, 2]},
        {"segmentation": {"size": [2, 2], "counts": [1, 3]}, "attributes": {"occluded": True}},
        {"segmentation": [], "keypoints": [], "attributes": {}},
        {"bbox": [1, 2, 3, 4]},
    ]
    for indent in (None, 2):
        (tmp_path / "gt.json").write_text(json.dumps({"annotations": annotations}, indent=indent))
        (note,) = note_further_fields("coco", [tmp_path / "gt.json"])
        assert note.text == "fields that are not written: attributes (1), keypoints (1), masks (2)"
        assert note.values == {"masks": 2, "keypoints": 1, "attributes": 1}
    xml = (
        "<annotation><object><name>a</name><pose>Left</pose><truncated>1</truncated></object><object><pose>Unspecified</pose>"
        "<truncated>0</truncated></object><object><pose/><part><name>head</name></part></object><object><pose></pose></object></annotation>"
    )
    (tmp_path / "a.xml").write_text(xml)
    (note,) = note_further_fields("voc", [tmp_path / "a.xml"])
    assert note.values == {"truncated marks": 1, "poses": 1, "parts": 1}
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 .1 .1\n0 .1 .1 .2 .1 .2 .2\n")
    (tmp_path / "data.yaml").write_text("names: [cat]\n")
    (note,) = note_further_fields("yolo", [tmp_path / "data.yaml"])
    assert note.values == {"polygons or sets of keypoints": 1}
    (tmp_path / "labels" / "a.txt").write_text("0 .5 .5 .1 .1\n")
    assert note_further_fields("yolo", [tmp_path / "data.yaml"]) == []
    (note,) = note_further_fields("label_studio", [])
    assert note.kind == "lost_fields"


def test_label_lines_keep_all_digits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    xywh = rng.random((200, 4)) * [20, 15, 20, 15]
    image = tmp_path / "a.png"
    Image.new("RGB", (WIDTH, HEIGHT)).save(image)
    image.with_suffix(".txt").write_text(label_text(xywh, np.zeros(200, np.int32), (HEIGHT, WIDTH)))
    (tmp_path / "classes.txt").write_text("cat\n")
    read = read_truth(tmp_path)
    assert np.abs(read.xywh - xywh).max() < 1e-13
