"""Ground truth whose objects have scores: read, with a warning that says how to read it as detections."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from layouts.registry import write_json, write_text

from metrics import read_detections, read_truth
from metrics.errors import InputError, InputNote, InputWarning
from metrics.formats.scored_truth import KEYS
from metrics.kernels.json_columns import SMALLEST
from metrics.notes import note_of

BOX = (8, 6, 32, 24)
"""Corners of the object, in an image of 64 x 48 pixels."""
SIZE = {"width": 64, "height": 48}


def coco(root: Path, extra: Mapping[str, Any]) -> Path:
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [8, 6, 24, 18], "area": 432, "iscrowd": 0}
    images = [{"id": 1, "file_name": "a.png"} | SIZE]
    document = {"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": [row | extra]}
    return write_json(root / "instances.json", document)


def large_coco(root: Path, extra: Mapping[str, Any]) -> Path:
    """A file that is not parsed into objects."""
    file = coco(root, extra)
    document = json.loads(file.read_text())
    document["info"] = {"description": "-" * SMALLEST}
    return write_json(file, document)


def table(root: Path, extra: Mapping[str, Any]) -> Path:
    names, values = (",".join(["", *map(str, each)]) for each in (extra, extra.values()))
    return write_text(root / "boxes.csv", f"image,class,x1,y1,x2,y2{names}\na.png,cat,8,6,32,24{values}\n")


def table_without_class(root: Path, extra: Mapping[str, Any]) -> Path:
    file = table(root, extra)
    return write_text(file, file.read_text().replace(",class", "").replace(",cat", ""))


def labelme(root: Path, extra: Mapping[str, Any]) -> Path:
    shape = {"label": "cat", "shape_type": "rectangle", "points": [[8, 6], [32, 24]]}
    document = {"imagePath": "a.png", "imageHeight": 48, "imageWidth": 64, "shapes": [shape | extra]}
    return write_json(root / "a.json", document)


def createml(root: Path, extra: Mapping[str, Any]) -> Path:
    box = {"label": "cat", "coordinates": {"x": 20, "y": 15, "width": 24, "height": 18}}
    return write_json(root / "a.json", [{"image": "a.png", "annotations": [box | extra]}])


def bdd100k(root: Path, extra: Mapping[str, Any]) -> Path:
    label = {"category": "cat", "box2d": {"x1": 8, "y1": 6, "x2": 32, "y2": 24}}
    return write_json(root / "a.json", [{"name": "a.png", "labels": [label | extra]}])


def datumaro(root: Path, extra: Mapping[str, Any]) -> Path:
    box = {"id": 0, "type": "bbox", "label_id": 0, "bbox": [8, 6, 24, 18], "attributes": extra}
    image = {"path": "a.png", "size": [48, 64]}
    items = [{"id": "a", "annotations": [box], "image": image}]
    categories = {"label": {"labels": [{"name": "cat"}]}}
    return write_json(
        root / "annotations" / "default.json", {"categories": categories, "items": items}
    ).parent.parent


def odvg(root: Path, extra: Mapping[str, Any]) -> Path:
    instance = {"bbox": list(BOX), "label": 0, "category": "cat"}
    row = {"filename": "a.png", "detection": {"instances": [instance | extra]}} | SIZE
    return write_text(root / "a.jsonl", json.dumps(row) + "\n")


def darwin(root: Path, extra: Mapping[str, Any]) -> Path:
    box = {"name": "cat", "bounding_box": {"x": 8, "y": 6, "w": 24, "h": 18}, "inference": extra}
    item = {"name": "a.png", "path": "/", "slots": [SIZE]}
    return write_json(root / "a.json", {"version": "2.0", "item": item, "annotations": [box]})


def hugging_face(root: Path, extra: Mapping[str, Any]) -> Path:
    objects = {"bbox": [[8, 6, 24, 18]], "categories": ["cat"]} | {key: [each] for key, each in extra.items()}
    row = {"file_name": "a.png", "objects": objects}
    return write_text(root / "metadata.jsonl", json.dumps(row) + "\n")


def fiftyone(root: Path, extra: Mapping[str, Any]) -> Path:
    box = {"label": "cat", "bounding_box": [8 / 64, 6 / 48, 24 / 64, 18 / 48]} | extra
    sample = {"filepath": "data/a.png", "metadata": SIZE}
    field = {"_cls": "Detections", "detections": [box]}
    return write_json(root / "samples.json", {"samples": [sample | {"found": field}]})


WRITERS = (
    coco, large_coco, table, table_without_class, labelme, createml, bdd100k, datumaro, odvg, darwin, hugging_face, fiftyone,
)  # fmt: skip


def read(path: Path) -> list[str]:
    """Kinds of the warnings; the object is the same with and without a score."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        truth = read_truth(path)
    assert truth.boxes.tolist() == [pytest.approx(BOX)]
    return [note_of(one.message).kind for one in caught if issubclass(one.category, InputWarning)]


@pytest.mark.parametrize("write", WRITERS)
def test_ground_truth_with_scores_is_read_with_a_warning(
    tmp_path: Path, write: Callable[[Path, Mapping[str, Any]], Path]
) -> None:
    assert "scored_truth" not in read(write(tmp_path, {}))
    for key in ("confidence",) if write is fiftyone else KEYS:
        assert "scored_truth" in read(write(tmp_path, {key: 0.5}))
        assert "scored_truth" not in read(write(tmp_path, {key: 1}))  # a mark that it is certain


def test_fault_176_a_file_with_scores_is_read_as_detections_as_the_warning_says(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    truth = read_truth(coco(tmp_path / "truth", {}))
    for write in (coco, table):
        path = write(tmp_path, {"score": 0.5})
        with pytest.warns(
            InputWarning, match=r"1 of 1 objects have a score.*if they are detections, give the file as"
        ):
            read_truth(path)
        assert read_detections(path, truth).score.tolist() == [0.5]


def test_a_table_with_scores_in_a_folder_is_refused_and_read_by_its_path(tmp_path: Path) -> None:
    file = table(tmp_path, {"score": 0.5})
    with pytest.raises(
        InputError, match=r"boxes.csv: is a table of boxes with scores, .*give its own path to read it"
    ):
        read_truth(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        warnings.simplefilter("ignore", InputWarning)
        assert len(read_truth(file)) == 1
