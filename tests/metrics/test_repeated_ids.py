"""Ids that several images, categories or annotations have: the first is kept, and pycocotools agrees on the numbers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.errors import InputWarning
from metrics.evaluated_files import score_files, verify_files
from metrics.formats import coco

BOXES = ([2, 2, 20, 20], [30, 10, 10, 30], [5, 5, 40, 8])


def image(identity: int, name: str = "") -> dict[str, Any]:
    return {"id": identity, "file_name": name or f"{identity}.png", "width": 64, "height": 48}


def annotation(identity: int, image_id: int = 1, category: int = 1, box: int = 0) -> dict[str, Any]:
    w, h = BOXES[box][2:]
    return {
        "id": identity, "image_id": image_id, "category_id": category, "bbox": BOXES[box], "area": w * h, "iscrowd": 0,
    }  # fmt: skip


def write(
    folder: Path, images: list[Any], annotations: list[Any], categories: list[Any], found: list[Any]
) -> tuple[Path, Path]:
    truth, detections = folder / "gt.json", folder / "dets.json"
    truth.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    detections.write_text(json.dumps(found))
    return truth, detections


@pytest.mark.parametrize("indent", [None, 2], ids=["scanned", "parsed"])
def test_fault_77_the_first_five_repeated_ids_are_named_and_the_first_is_kept(
    tmp_path: Path, indent: int | None
) -> None:
    document = {
        "images": [image(k) for k in range(1, 9)] + [image(k, f"again {k}.png") for k in range(8, 1, -1)],
        "categories": [{"id": 1, "name": "one"}, {"id": 1, "name": "two"}, {"id": 2, "name": "three"}],
        "annotations": [
            annotation(7), annotation(7), annotation(7, image_id=2), annotation(7, box=1), annotation(8, category=2),
        ],
    }  # fmt: skip
    (tmp_path / "gt.json").write_text(json.dumps(document, indent=indent))
    with pytest.warns(InputWarning) as caught:
        table = coco.read_truth(tmp_path / "gt.json")
    texts = [str(each.message) for each in caught]
    assert any(
        "images have an id that is repeated (8, 7, 6, 5, 4, ...); the first image of each" in t for t in texts
    )
    assert any(
        "1 of 3 categories have an id that is repeated (1); the first name of each is used" in t
        for t in texts
    )
    assert any(
        "3 of 5 annotations have an id that is repeated (7); of copies with the same image, class and box"
        in t
        for t in texts
    )
    assert table.catalog.file_names == tuple(f"{k}.png" for k in range(1, 9))
    assert table.catalog.classes == ("one", "three")
    # The same object under the same id is one object; other objects with the id are not lost.
    assert table.xywh.tolist() == [BOXES[0], BOXES[0], BOXES[1], BOXES[0]]
    assert table.image.tolist() == [0, 1, 0, 0]


rows = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2))


@settings(max_examples=30, deadline=None)
@given(
    objects=st.lists(rows, min_size=1, max_size=8),
    images=st.lists(st.integers(1, 3), max_size=3),
    categories=st.lists(st.integers(1, 2), max_size=2),
    found=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(0, 2), st.floats(0, 1)),
        min_size=1,
        max_size=8,
    ),
)
def test_fault_77_pycocotools_agrees_whatever_is_repeated(
    tmp_path_factory: pytest.TempPathFactory,
    objects: list[tuple[int, int, int, int]],
    images: list[int],
    categories: list[int],
    found: list[tuple[int, int, int, float]],
) -> None:
    truth, detections = write(
        tmp_path_factory.mktemp("repeated"),
        [*map(image, (1, 2, 3)), *(image(k, f"again {k}") for k in images)],
        [annotation(*each) for each in objects],
        [
            {"id": 1, "name": "one"},
            {"id": 2, "name": "two"},
            *({"id": k, "name": f"again {k}"} for k in categories),
        ],
        [{"image_id": i, "category_id": c, "bbox": BOXES[b], "score": s} for i, c, b, s in found],
    )
    with warnings.catch_warnings(action="ignore"):
        evaluation = score_files(truth, detections)
    verification = verify_files(evaluation, truth, detections)
    assert verification.agrees, verification
