"""Public data sets and annotation services: what is ignored, left out or refused, and the odd forms that their files have."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts.registry import write_json, write_text
from PIL import Image

from metrics import AnnotationTable, read_truth
from metrics.errors import InputError, InputNote
from metrics.notes import Note, note_of


def image(file: Path, size: tuple[int, int] = (64, 48)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(file)


def read(path: Path, **options: Any) -> tuple[AnnotationTable, dict[str, Note]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_truth(path, **options)
    notes = [note_of(one.message) for one in caught if issubclass(one.category, InputNote)]
    return table, {note.kind: note for note in notes}


def objects(table: AnnotationTable) -> list[tuple[Any, ...]]:
    """Image, class and corners of each object, and `crowd` or `ignored` if it is."""
    columns = (table.image, table.label, table.boxes.tolist(), table.crowd, table.ignored)
    return sorted(
        (str(table.catalog.image_ids[i]), table.catalog.classes[label], *box)
        + (("crowd",) if crowd else ())
        + (("ignored",) if ignored else ())
        for i, label, box, crowd, ignored in zip(*columns, strict=True)
    )


def test_regions_of_uavdt_are_crowds_of_every_class(tmp_path: Path) -> None:
    folder = tmp_path / "M0101"
    write_text(folder / "gt" / "gt_whole.txt", "1,1,10,20,30,12,1,1,1\n2,1,12,20,30,12,3,4,3\n")
    write_text(folder / "gt" / "gt.txt", "1,1,10,20,30,12,1,1,1\n2,1,12,20,30,12,1,1,1\n")
    write_text(folder / "gt" / "gt_ignore.txt", "2,-1,0,0,8,6,1,-1,-1\r\n")
    for frame in (1, 2, 3):
        image(folder / "img1" / f"img{frame:06d}.jpg")
    table, notes = read(tmp_path)
    assert objects(table) == [
        ("img000001", "car", 10, 20, 40, 32),
        ("img000002", "bus", 0, 0, 8, 6, "crowd"),
        ("img000002", "bus", 12, 20, 42, 32),
        ("img000002", "car", 0, 0, 8, 6, "crowd"),
    ]
    assert len(table.catalog.image_ids) == 3
    assert notes["ignored_regions"].values == {"regions": 1}


def test_words_of_total_text_that_are_not_evaluated_are_ignored(tmp_path: Path) -> None:
    text = (
        "x: [[153 161\n 179 195]], y: [[347 323 305\n  331]], ornt: [u'c'], transcriptions: [u'the']\n"
        "x: [[1 9 9]], y: [[2 2 8]], ornt: [u'#'], transcriptions: [u'#']\n"
        "x: [[4 9 9]], y: [[2 2 8]], ornt: ['h'], transcriptions: [\"don't], y: [\"]\n"
    )
    write_text(tmp_path / "Polygon" / "Train" / "poly_gt_img11.txt", text)
    write_text(
        tmp_path / "Polygon" / "Test" / "poly_gt_img1.txt",
        "x: [[1 9 9]], y: [[2 2 8]], ornt: ['h'], transcriptions: ['a']",
    )
    table, _ = read(tmp_path, split="train")
    assert objects(table) == [
        ("img11", "text", 1, 2, 9, 8, "ignored"),
        ("img11", "text", 4, 2, 9, 8),
        ("img11", "text", 153, 305, 195, 347),
    ]
    file = tmp_path / "Polygon" / "Train" / "poly_gt_img11.txt"
    file.write_text("x: [[1 9 9]], y: [[2 2]], ornt: ['h'], transcriptions: ['a']")
    with pytest.raises(
        InputError, match=r"poly_gt_img11.txt:1: expected as many x as y, at least three, got 3 and 2"
    ):
        read(tmp_path)


def test_illegible_words_of_coco_text_are_ignored_and_its_test_split_is_left_out(tmp_path: Path) -> None:
    word = {"image_id": 7, "bbox": [468.9, 286.7, 24.1, 9.1], "utf8_string": "NO"}
    document = {
        "anns": {
            "1": {**word, "legibility": "legible"},
            "2": {**word, "legibility": "illegible", "bbox": [1, 2, 3, 4]},
        },
        "imgs": {
            "7": {
                "id": 7,
                "set": "train",
                "file_name": "COCO_train2014_000000000007.jpg",
                "width": 640,
                "height": 480,
            },
            "8": {
                "id": 8,
                "set": "test",
                "file_name": "COCO_train2014_000000000008.jpg",
                "width": 640,
                "height": 480,
            },
        },
        "imgToAnns": {"7": [1, 2], "8": []},
    }
    file = write_json(tmp_path / "cocotext.v2.json", document)
    table, notes = read(file)
    first = ("COCO_train2014_000000000007", "text")
    assert objects(table) == [
        (*first, 1, 2, 4, 6, "ignored"),
        (*first, 468.9, 286.7, 493.0, pytest.approx(295.8)),
    ]
    assert notes["left_out"].values == {"images": 1}
    document["anns"]["2"]["image_id"] = 9
    write_json(file, document)
    with pytest.raises(InputError, match=r"anns\[2\]: image_id '9' is not in imgs"):
        read(file)


def test_noisy_lesions_are_ignored_and_slices_are_in_the_folder_of_their_series(tmp_path: Path) -> None:
    head = (
        "File_name,Patient_index,Bounding_boxes,Coarse_lesion_type,Possibly_noisy,Image_size,Train_Val_Test\n"
    )
    lines = (
        '000001_01_01_109.png,1,"226.169, 90.0204, 241.252, 111.977",3,0,"512, 512",3\n'
        '000001_01_01_109.png,1,"1, 2, 30, 40",3,1,"512, 512",3\n'
    )
    write_text(tmp_path / "DL_info.csv", head + lines)
    table, _ = read(tmp_path)
    assert objects(table) == [
        ("109", "lesion", 1, 2, 30, 40, "ignored"),
        ("109", "lesion", 226.169, 90.0204, 241.252, 111.977),
    ]
    assert table.catalog.file_names == ("000001_01_01/109.png",)
    assert table.catalog.sizes.tolist() == [[512, 512]]


def test_entities_of_xfund_are_read_by_page(tmp_path: Path) -> None:
    entity = {
        "box": [104, 114, 530, 159],
        "text": "A",
        "label": "header",
        "words": [],
        "linking": [],
        "id": 0,
    }
    page = {
        "id": "zh_train_0",
        "document": [entity],
        "img": {"fname": "zh_train_0.jpg", "width": 2480, "height": 3508},
    }
    write_json(
        tmp_path / "zh.train.json", {"lang": "zh", "version": "0.1", "split": "train", "documents": [page]}
    )
    table, _ = read(tmp_path)
    assert objects(table) == [("zh_train_0", "header", 104, 114, 530, 159)]
    assert table.catalog.sizes.tolist() == [[3508, 2480]]


def runs(mask: Any) -> str:
    """Run lengths by brute force: pixels down the columns, counted from 1."""
    flat = [0, *mask.T.ravel().tolist(), 0]
    starts = [k for k in range(1, len(flat)) if flat[k] > flat[k - 1]]
    ends = [k for k in range(1, len(flat)) if flat[k] < flat[k - 1]]
    return " ".join(f"{start} {end - start}" for start, end in zip(starts, ends, strict=True))


def test_run_lengths_give_the_boxes_of_random_masks(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    lines, wanted = ["ImageId,EncodedPixels"], []
    for k in range(40):
        height, width = (int(side) for side in random.integers(3, 30, 2))
        image(tmp_path / "train_v2" / f"i{k}.png", (width, height))
        mask = random.random((height, width)) < random.choice([0.02, 0.3, 1.0])
        if mask.any():
            rows, columns = np.nonzero(mask)
            wanted.append((f"i{k}", "ship", columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        lines.append(f"i{k}.png,{runs(mask.astype(int))}")
    write_text(tmp_path / "train_ship_segmentations_v2.csv", "\n".join(lines))
    table, notes = read(tmp_path)
    assert objects(table) == sorted(wanted)
    assert len(table.catalog.image_ids) == 40
    assert "one_class" in notes


def test_connected_parts_of_masks_of_classes_are_objects(tmp_path: Path) -> None:
    """Severstal: a row for each class in an image, in two spellings of the columns."""
    mask = np.zeros((20, 30), int)
    mask[2:5, 3:9] = mask[10:20, 20:30] = 1
    other = np.zeros((20, 30), int)
    other[0, 0] = other[1, 1] = 1  # they touch at a corner
    image(tmp_path / "images" / "a_1.jpg", (30, 20))
    wanted = [("a_1", "1", 3, 2, 9, 5), ("a_1", "1", 20, 10, 30, 20), ("a_1", "2", 0, 0, 2, 2)]
    rows = [("a_1.jpg", "1", runs(mask)), ("a_1.jpg", "2", runs(other)), ("a_1.jpg", "3", "")]
    for head, line in (
        ("ImageId,ClassId,EncodedPixels", "{},{},{}"),
        ("Image_Label,EncodedPixels", "{}_{},{}"),
    ):
        write_text(tmp_path / "train.csv", "\n".join([head, *(line.format(*row) for row in rows)]))
        table, notes = read(tmp_path)
        assert objects(table) == wanted
        assert notes["mask_parts"].values == {"rows": 2}


def test_run_lengths_without_images_or_beyond_them_are_refused(tmp_path: Path) -> None:
    file = write_text(tmp_path / "masks.csv", "ImageId,EncodedPixels\na.png,1 5\n")
    with pytest.raises(
        InputError,
        match=r"run lengths have a meaning only with the image's height, and image 'a.png' is not there",
    ):
        read(file)
    image(tmp_path / "a.png", (4, 3))
    assert objects(read(file)[0]) == [("a", "object", 0, 0, 2, 3)]
    for text, message in (
        ("10 4", r"masks.csv:2: pixel 13 is beyond an image of 4 x 3 pixels"),
        ("0 4", r"masks.csv:2: EncodedPixels: pixels and lengths begin at 1"),
        ("1 2 3", r"masks.csv:2: EncodedPixels: expected pairs of a first pixel and a length"),
    ):
        write_text(file, f"ImageId,EncodedPixels\na.png,{text}\n")
        with pytest.raises(InputError, match=message):
            read(file)


def numbered(file: Path, boxes: list[tuple[int, int, int, int]]) -> None:
    mask = np.zeros((48, 64), np.uint8)
    for k, (x0, y0, x1, y1) in enumerate(boxes, 1):
        mask[y0:y1, x0:x1] = k
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(file)


@pytest.mark.parametrize(
    ("images", "masks", "ending"), [("images", "masks", ""), ("PNGImages", "PedMasks", "_mask")]
)
def test_numbers_in_masks_of_objects_are_objects(
    tmp_path: Path, images: str, masks: str, ending: str
) -> None:
    for name, boxes in (("a", [(1, 2, 9, 8), (20, 20, 30, 40)]), ("b", [(5, 5, 6, 6)]), ("c", [])):
        image(tmp_path / images / f"{name}.png")
        numbered(tmp_path / masks / f"{name}{ending}.png", boxes)
    table, notes = read(tmp_path)
    assert objects(table) == [
        ("a", "object", 1, 2, 9, 8),
        ("a", "object", 20, 20, 30, 40),
        ("b", "object", 5, 5, 6, 6),
    ]
    assert len(table.catalog.image_ids) == 3
    assert notes["one_class"].values == {"objects": 3}


def test_masks_of_classes_are_not_taken_for_masks_of_objects(tmp_path: Path) -> None:
    for name, values in (("a", (1, 2)), ("b", (1, 2)), ("c", (255,))):
        image(tmp_path / "images" / f"{name}.png")
        mask = np.zeros((48, 64), np.uint8)
        for k, value in enumerate(values):
            mask[10 * k : 10 * k + 5] = value
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    with pytest.raises(InputError, match="no annotations found"):
        read(tmp_path)


def test_samples_of_segments_ai_without_a_finished_label_are_left_out(tmp_path: Path) -> None:
    def sample(name: str, status: str | None, *annotations: dict[str, Any]) -> dict[str, Any]:
        label = {"label_status": status, "attributes": {"annotations": list(annotations)}}
        return {"name": name, "labels": {"ground-truth": label if status else None}}

    box = {"id": 1, "category_id": 3, "type": "bbox", "points": [[12, 9], [1, 2]]}
    line = {"id": 2, "category_id": 3, "type": "polyline", "points": [[1, 2], [3, 4]]}
    samples = [
        sample("a.png", "REVIEWED", box, line),
        sample("b.png", None),
        sample("c.png", "PRELABELED", box),
    ]
    dataset = {"name": "d", "task_attributes": {"categories": [{"id": 3, "name": "cat"}]}, "samples": samples}
    file = write_json(tmp_path / "d-v1.json", {"name": "v1", "dataset": dataset})
    table, notes = read(file)
    assert objects(table) == [("a", "cat", 1, 2, 12, 9)]
    assert table.catalog.image_ids == ("a",)
    assert notes["left_out"].values == {"annotations": 1}
    dataset["samples"] = [sample("a.png", "LABELED", {"id": 1, "category_id": 3})]
    write_json(file, {"name": "v1", "dataset": dataset})
    with pytest.raises(InputError, match=r"masks as images on a server, and no boxes: export it as COCO"):
        read(file)


def test_turned_boxes_and_polygons_of_encord_have_the_boxes_around_them(tmp_path: Path) -> None:
    turned = {"x": 0.25, "y": 0.25, "w": 0.5, "h": 0.5, "theta": 90}
    things = [
        {"name": "cat", "shape": "rotatable_bounding_box", "rotatableBoundingBox": turned},
        {
            "name": "dog",
            "shape": "polygon",
            "polygon": {"0": {"x": 0.1, "y": 0.2}, "1": {"x": 0.5, "y": 0.2}, "2": {"x": 0.3, "y": 1}},
        },
        {"name": "dog", "shape": "point", "point": {"0": {"x": 0.1, "y": 0.2}}},
    ]
    unit = {
        "data_title": "a.jpg",
        "data_type": "image/jpeg",
        "width": 200,
        "height": 100,
        "labels": {"objects": things},
    }
    film = {"data_title": "b.mp4", "data_type": "video/mp4", "labels": {"0": {"objects": []}}}
    file = write_json(tmp_path / "labels.json", [{"label_hash": "l", "data_units": {"u": unit, "v": film}}])
    table, notes = read(file)
    assert objects(table) == [
        ("a", "cat", pytest.approx(75), pytest.approx(0), pytest.approx(125), pytest.approx(100)),
        ("a", "dog", 20, 20, 100, 100),
    ]
    assert notes["left_out"].values == {"annotations": 2}


def test_the_reviewed_label_of_kili_counts(tmp_path: Path) -> None:
    def label(kind: str, day: int, x: float) -> dict[str, Any]:
        points = [{"x": x, "y": 10}, {"x": x + 5, "y": 10}, {"x": x + 5, "y": 30}]
        shape = {"boundingPoly": [{"vertices": points}], "categories": [{"name": "CAT"}], "type": "polygon"}
        marker = {"point": {"x": 1, "y": 1}, "categories": [{"name": "CAT"}], "type": "marker"}
        return {
            "labelType": kind,
            "createdAt": f"2024-01-{day:02d}",
            "jsonResponse": {"JOB_0": {"annotations": [shape, marker]}},
        }

    labels = [label("DEFAULT", 3, 1), label("REVIEW", 1, 2), label("REVIEW", 2, 3), label("INFERENCE", 9, 4)]
    assets = [{"externalId": "trees", "labels": labels}, {"externalId": "sea", "labels": []}]
    file = write_json(tmp_path / "data.json", assets)
    table, notes = read(file)
    assert objects(table) == [("trees", "CAT", 3, 10, 8, 30)]
    assert notes["left_out"].values == {"annotations": 1}


def test_tiles_lines_and_classes_of_qupath(tmp_path: Path) -> None:
    def feature(kind: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
        return {
            "type": "Feature",
            "geometry": {"type": kind, "coordinates": coordinates},
            "properties": properties,
        }

    ring = [[10, 20], [40, 20], [40, 50], [10, 20]]
    far = [[60.5, 5], [70, 5], [70, 9]]
    features = [
        feature("Polygon", [ring], objectType="annotation", classification={"name": "Tumor", "colorRGB": -1}),
        feature("MultiPolygon", [[ring], [far]], object_type="detection", classification="Stroma"),
        feature("Polygon", [ring], objectType="annotation"),
        feature("Polygon", [ring], objectType="tile"),
        feature("LineString", ring, objectType="annotation"),
    ]
    write_json(tmp_path / "slide.geojson", features)
    table, notes = read(tmp_path)
    assert objects(table) == [
        ("slide", "Stroma", 10, 5, 70, 50),
        ("slide", "Tumor", 10, 20, 40, 50),
        ("slide", "object", 10, 20, 40, 50),
    ]
    assert notes["left_out"].values == {"annotations": 2}
    assert notes["one_class"].values == {"objects": 1}


def test_frames_and_categories_that_nuimages_does_not_list_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "v1.0-mini"
    write_json(folder / "category.json", [{"token": "c", "name": "vehicle.car"}])
    key = {
        "token": "k",
        "filename": "samples/CAM_BACK/a.jpg",
        "is_key_frame": True,
        "width": 1600,
        "height": 900,
    }
    write_json(folder / "sample_data.json", [key, {"token": "s", "is_key_frame": False}])
    thing = {"token": "o", "category_token": "c", "sample_data_token": "k", "bbox": [1, 2, 30, 40]}
    write_json(folder / "object_ann.json", [thing])
    assert objects(read(tmp_path)[0]) == [("a", "vehicle.car", 1, 2, 30, 40)]
    for key_, value in (("category_token", "d"), ("sample_data_token", "s")):
        write_json(folder / "object_ann.json", [{**thing, key_: value}])
        with pytest.raises(InputError, match=rf"object_ann.json: \[0\]: {key_} '{value}' is not"):
            read(tmp_path)


def test_a_yaml_list_of_bosch_lights_is_read_by_its_path(tmp_path: Path) -> None:
    text = (
        "- boxes:\n  - {label: Red, occluded: false, x_max: 633.58, x_min: 631.32, y_max: 374.48, y_min: 367.5}\n"
        "  path: ./rgb/train/2015-10-05-10-52-01_bag/24594.png\n- boxes: []\n  path: ./rgb/train/b/24664.png\n"
    )
    file = write_text(tmp_path / "train.yaml", text)
    table, _ = read(file)
    assert objects(table) == [("24594", "Red", 631.32, 367.5, 633.58, 374.48)]
    assert len(table.catalog.image_ids) == 2


def test_polygons_of_rectlabel_are_left_out_with_a_note(tmp_path: Path) -> None:
    things = [
        {"label": "sneakers", "x_y_w_h": [94, 156, 400.5, 300]},
        {"label": "sneakers", "polygon": {"paths": []}},
    ]
    write_json(
        tmp_path / "a.json", {"filename": "a.jpg", "folder": "x", "image_w_h": [1000, 700], "objects": things}
    )
    table, notes = read(tmp_path)
    assert objects(table) == [("a", "sneakers", 94, 156, 494.5, 456)]
    assert table.catalog.sizes.tolist() == [[700, 1000]]
    assert notes["left_out"].values == {"annotations": 1}


def test_lists_of_cub_are_joined_by_ids_and_its_classes_are_not_those_of_yolo(tmp_path: Path) -> None:
    write_text(tmp_path / "images.txt", "1 001.Albatross/a.jpg\n2 002.Laysan/b.jpg\n")
    write_text(tmp_path / "bounding_boxes.txt", "2 10.0 20.0 30.0 40.0\n1 60.0 27.0 325.0 304.0\n")
    write_text(tmp_path / "image_class_labels.txt", "1 1\n2 2\n")
    write_text(tmp_path / "classes.txt", "1 001.Albatross\n2 002.Laysan\n")
    write_text(tmp_path / "train_test_split.txt", "1 1\n2 0\n")
    assert objects(read(tmp_path, split="train")[0]) == [("a", "001.Albatross", 60, 27, 385, 331)]
    assert objects(read(tmp_path, split="test")[0]) == [("b", "002.Laysan", 10, 20, 40, 60)]
    write_text(tmp_path / "bounding_boxes.txt", "2 10.0 20.0 30.0 40.0\n")
    with pytest.raises(InputError, match=r"images.txt:1: image '1' has no line in bounding_boxes.txt"):
        read(tmp_path)


def test_objects_of_visual_genome_have_their_first_name(tmp_path: Path) -> None:
    thing = {"object_id": 5, "x": 421, "y": 91, "w": 79, "h": 339, "names": ["Clock ", "time"], "synsets": []}
    file = write_json(
        tmp_path / "objects.json", [{"image_id": 1, "objects": [thing], "image_url": "https://x/1.jpg"}]
    )
    assert objects(read(file)[0]) == [("1", "clock", 421, 91, 500, 430)]


def test_ignored_boxes_of_imglab_and_bbgt(tmp_path: Path) -> None:
    text = (
        "<dataset><images><image file='a.jpg'><box top='90' left='194' width='37' height='20'><label>face</label></box>"
        "<box top='9' left='19' width='3' height='3' ignore='1'/></image></images></dataset>"
    )
    write_text(tmp_path / "dlib" / "training.xml", text)
    assert objects(read(tmp_path / "dlib")[0]) == [
        ("a", "face", 19, 9, 22, 12, "crowd"),
        ("a", "face", 194, 90, 231, 110),
    ]
    lines = "% bbGt version=3\r\nDog 2 8 71 93 0 0 0 0 0 0 0\r\nDog 1 2 3 4 0 0 0 0 0 1 0\r\n"
    write_text(tmp_path / "bbgt" / "Annno" / "Dog" / "2015_00002.JPG.txt", lines)
    image_id = "2015_00002"
    assert objects(read(tmp_path / "bbgt")[0]) == [
        (image_id, "Dog", 1, 2, 4, 6, "ignored"),
        (image_id, "Dog", 2, 8, 73, 101),
    ]


def test_dummy_signs_and_those_at_the_border_of_panoramas_are_ignored(tmp_path: Path) -> None:
    corners = {"xmin": 1, "ymin": 2, "xmax": 30, "ymax": 40}
    things = [
        {"label": "stop", "bbox": corners, "properties": {"dummy": True}},
        {
            "label": "stop",
            "bbox": {**corners, "cross_boundary": {"left": corners, "right": {**corners, "xmax": 9}}},
        },
        {"label": "stop", "bbox": {**corners, "ymax": 50.5}, "properties": {"ambiguous": False}},
    ]
    write_json(
        tmp_path / "annotations" / "a.json", {"width": 90, "height": 60, "ispano": True, "objects": things}
    )
    ignored = [("a", "stop", 1, 2, x, 40, "ignored") for x in (9, 30, 30)]
    assert objects(read(tmp_path)[0]) == [*ignored, ("a", "stop", 1, 2, 30, 50.5)]


def test_copies_of_sequences_for_other_detectors_are_left_out(tmp_path: Path) -> None:
    for name in ("MOT17-02-DPM", "MOT17-02-FRCNN", "MOT17-02-SDP", "MOT17-04-SDP"):
        write_text(
            tmp_path / "train" / name / "gt" / "gt.txt",
            f"1,1,10,20,30,40,1,1,{'1' if '02' in name else '0.5'}\n",
        )
    table, notes = read(tmp_path)
    assert len(table.image) == 2
    assert notes["left_out"].values == {"sequences": 2}
    write_text(tmp_path / "train" / "MOT17-02-SDP" / "gt" / "gt.txt", "1,1,11,20,30,40,1,1,1\n")
    assert len(read(tmp_path)[0].image) == 3


def test_the_class_may_be_the_last_of_five_numbers(tmp_path: Path) -> None:
    for name, text in (("a", "10 20 30 40 1\n50 60 640 480 1\n"), ("b", "11 20 30 41 1\n"), ("c", "")):
        image(tmp_path / "Images" / f"{name}.png", (640, 480))
        write_text(tmp_path / "Annotations" / f"{name}.txt", text)
    table, notes = read(tmp_path)
    assert objects(table) == [
        ("a", "1", 10, 20, 30, 40),
        ("a", "1", 50, 60, 640, 480),
        ("b", "1", 11, 20, 30, 41),
    ]
    assert "guessed_layout" in notes
    write_text(tmp_path / "Annotations" / "a.txt", "0 20 30 640 470\n0 60 64 480 100\n")
    write_text(tmp_path / "Annotations" / "b.txt", "1 20 30 400 41\n")
    assert [row[1] for row in objects(read(tmp_path)[0])] == ["0", "0", "1"]


def test_rsod_names_the_image_before_the_class(tmp_path: Path) -> None:
    image(tmp_path / "JPEGImages" / "aircraft_4.jpg", (1000, 900))
    write_text(
        tmp_path / "x" / "Annotation" / "labels" / "aircraft_4.txt",
        "aircraft_4.jpg\taircraft\t690\t618\t748\t675\r\n",
    )
    assert [row[1:] for row in objects(read(tmp_path)[0])] == [("aircraft", 690, 618, 748, 675)]


def test_images_of_coco_may_have_their_file_under_another_key(tmp_path: Path) -> None:
    box = {"id": 1, "image_id": 1, "category_id": 0, "bbox": [1, 2, 30, 40]}
    rows = [{"id": 1, "sid": 0, "name": "ring_1.jpg", "width": 64, "height": 48}]
    document = {"images": rows, "annotations": [box], "categories": [{"id": 0, "name": "person"}]}
    table, notes = read(write_json(tmp_path / "train.json", document))
    assert table.catalog.file_names == ("ring_1.jpg",)
    assert "other_keys" in notes
    rows.append({"id": 2, "width": 64, "height": 48})
    assert read(write_json(tmp_path / "train.json", document))[0].catalog.file_names == ("", "")


def test_regions_of_kitti_tracking_are_crowds_and_frames_without_lines_are_empty(tmp_path: Path) -> None:
    rest = "-2.5 120.1 130.2 150.5 170.0 1.7 0.7 1.0 -5 1 8 -1.8"
    region = "0 -1 DontCare -1 -1 -10.0 219.31 188.49 245.5 218.56 -1000 -1000 -1000 -10 -1 -1 -1"
    write_text(
        tmp_path / "training" / "label_02" / "0000.txt",
        f"{region}\n0 2 Pedestrian 0 1 {rest}\n2 2 Car 1 0 {rest}\n",
    )
    for frame in range(3):
        image(tmp_path / "training" / "image_02" / "0000" / f"{frame:06d}.png")
    table, notes = read(tmp_path)
    box, ignored = (120.1, 130.2, 150.5, 170.0), (219.31, 188.49, 245.5, 218.56, "crowd")
    assert objects(table) == [
        ("000000", "Car", *ignored),
        ("000000", "Pedestrian", *box),
        ("000000", "Pedestrian", *ignored),
        ("000002", "Car", *box),
    ]
    assert len(table.catalog.image_ids) == 3
    assert notes["ignored_regions"].values == {"regions": 1}


def test_text_of_sroie_has_files_called_like_the_images(tmp_path: Path) -> None:
    image(tmp_path / "X0001.jpg", (500, 200))
    write_text(
        tmp_path / "X0001.txt",
        "72,25,326,25,326,64,72,64,TAN WOON YANN\r\n50,82,440,82,440,121,50,121,BOOK TA .K(TAMAN, DAYA)\r\n",
    )
    assert objects(read(tmp_path)[0]) == [
        ("X0001", "text", 50, 82, 440, 121),
        ("X0001", "text", 72, 25, 326, 64),
    ]


def test_objects_that_voc_marks_as_without_box_are_left_out(tmp_path: Path) -> None:
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    things = f"<object><name>1</name><name>2</name>{box}</object><object><name>3</name><scene>1</scene><nobndbox>1</nobndbox></object>"
    write_text(
        tmp_path / "Annotations" / "a.xml", f"<annotation><filename>a.jpg</filename>{things}</annotation>"
    )
    table, notes = read(tmp_path)
    assert objects(table) == [("a", "1", 0, 1, 30, 40)]
    assert notes["left_out"].values == {"objects": 1}


def test_upright_boxes_of_dior_are_read_where_turned_ones_lie_beside_them(tmp_path: Path) -> None:
    box = "<bndbox><xmin>{}</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    for first, folder in ((1, "Horizontal Bounding Boxes"), (9, "Oriented Bounding Boxes")):
        text = f"<annotation><object><name>dam</name>{box.format(first)}</object></annotation>"
        write_text(tmp_path / "Annotations" / folder / "00001.xml", text)
    image(tmp_path / "JPEGImages-trainval" / "00001.jpg")
    table, notes = read(tmp_path)
    assert objects(table) == [("00001", "dam", 0, 1, 30, 40)]
    assert notes["files_beside"].values == {"files": 1}
