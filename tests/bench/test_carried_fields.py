"""Masks, keypoints and other fields of COCO files are in a copy as they were, where the copy is in COCO's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.cli import main

SKELETON = {"keypoints": ["head", "tail"], "skeleton": [[1, 2]], "supercategory": "animal"}
EXTRA: dict[int, dict[str, Any]] = {
    1: {"segmentation": [[2.25, 3, 8, 3, 8, 9.125]], "attributes": {"occluded": True, "note": "\u00e9"}},
    2: {
        "segmentation": {"size": [32, 32], "counts": [3, 40, 981]},
        "keypoints": [4, 5, 2, 0, 0, 0],
        "num_keypoints": 1,
    },
    3: {},
    4: {"segmentation": [[1, 1, 9, 1, 9, 9]], "score_of_annotator": 0.1},
}


def dataset(folder: Path, ids: tuple[int, ...] = (1, 2, 3, 4), turned: bool = False) -> Path:
    """Two images with two objects each; object 3 is beyond its image, 4 repeats none."""
    (folder / "images").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        exif = Image.Exif()
        if turned and name == "b.jpg":
            exif[274] = 6
        Image.new("RGB", (32, 32), {"a.jpg": "red", "b.jpg": "blue"}[name]).save(
            folder / "images" / name, exif=exif
        )
    boxes = ([2, 3, 6, 6], [3, 3, 10, 10], [20, 20, 30, 5], [1, 1, 8, 8])
    annotations = [
        {
            "id": identity,
            "image_id": 1 + k // 2,
            "category_id": 1,
            "bbox": box,
            "area": 36,
            "iscrowd": 0,
            **EXTRA[k + 1],
        }
        for k, (identity, box) in enumerate(zip(ids, boxes, strict=True))
    ]
    images = [
        {"id": 1 + k, "file_name": name, "width": 32, "height": 32}
        for k, name in enumerate(("a.jpg", "b.jpg"))
    ]
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat", **SKELETON}],
    }
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def copied(folder: Path, out: Path, *words: str) -> dict[str, Any]:
    assert main(["data", str(folder), *words, str(out), "--quiet"]) == 0
    (file,) = (out / "annotations").glob("*.json")
    return dict(json.loads(file.read_text(encoding="utf-8")))


def further(document: dict[str, Any]) -> dict[int, dict[str, Any]]:
    own = {"id", "image_id", "category_id", "bbox", "area", "iscrowd"}
    return {
        row["id"]: {key: value for key, value in row.items() if key not in own}
        for row in document["annotations"]
    }


@pytest.mark.parametrize("words", [("--fix",), ("--to", "coco")], ids=["fix", "to"])
def test_fields_are_equal_in_the_copy(words, tmp_path, capsys):
    document = copied(dataset(tmp_path / "data"), tmp_path / "copy", *words)
    assert further(document) == EXTRA
    (category,) = document["categories"]
    assert {key: category[key] for key in SKELETON} == SKELETON
    assert "further fields" not in capsys.readouterr().err
    clipped = next(row["bbox"] for row in document["annotations"] if row["id"] == 3)
    assert clipped == ([20, 20, 12, 5] if words == ("--fix",) else [20, 20, 30, 5])


def test_what_cannot_be_carried_is_counted(tmp_path, capsys):
    """Image b is rotated, with one object that has fields; of the objects with id 1, one gets a new id."""
    document = copied(dataset(tmp_path / "data", turned=True), tmp_path / "copy", "--fix")
    assert further(document) == EXTRA | {4: {}}
    assert "1 object loses its further fields" in capsys.readouterr().err
    document = copied(dataset(tmp_path / "other", ids=(1, 1, 3, 4)), tmp_path / "third", "--fix")
    found = further(document)
    assert (found[3], found[4]) == (EXTRA[3], EXTRA[4])
    assert [found[identity] for identity in found if identity not in (3, 4)] == [{}, {}]
    assert "2 objects lose their further fields" in capsys.readouterr().err
