"""Pascal VOC as other tools write it: lists of splits elsewhere, rotated boxes and polygons, other XML files, images without XML."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_data import Picture, pictures, write_voc

from bench.datasets import open_dataset
from metrics import read_truth
from metrics.errors import InputError

SPLITS = {"train": range(6), "val": range(6, 9), "test": range(9, 12)}


def written(root: Path) -> list[Picture]:
    found = pictures(12)
    write_voc(root, found)
    return found


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("ImageSets/Main/{}.txt", "JPEGImages/{0}.png"),
        ("ImageSets/Main/{}.txt", "/home/me/pets/Annotations/{0}.xml"),
        ("ImageSets/{}.txt", "{0}"),
        ("{}.txt", "{0}"),
        ("{}.txt", "./JPEGImages/{0}.png ./Annotations/{0}.xml"),
        ("{}_list.txt", "JPEGImages/{0}.png Annotations/{0}.xml"),
    ],
)
def test_lists_of_splits_in_other_folders_or_with_paths_are_the_splits(
    tmp_path: Path, place: str, line: str
) -> None:
    found = written(tmp_path)
    for split, numbers in SPLITS.items():
        file = tmp_path / place.format(split)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(line.format(found[k].name) + "\n" for k in numbers))
    data = open_dataset(tmp_path)
    expected = {split: [found[k].name for k in numbers] for split, numbers in SPLITS.items()}
    assert {name: list(split.truth.catalog.image_ids) for name, split in data.splits.items()} == expected
    assert ("listed_splits" in {note.kind for note in data.notes}) == ("Main" not in place)
    assert list(read_truth(tmp_path, "val").catalog.image_ids) == expected["val"]


def test_lists_of_other_images_beside_the_data_are_not_used(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "train.txt").write_text("something else\n")
    assert sum(map(len, open_dataset(tmp_path).splits.values())) == 12


def rotated(x0: float, y0: float, x1: float, y1: float, angle: float) -> tuple[str, list[float]]:
    """A ``robndbox`` of these corners turned about their centre, and the box around a dense outline of it."""
    cx, cy, w, h = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    turn = complex(math.cos(angle), math.sin(angle))
    outline = [
        complex(cx, cy) + complex(u * w / 2, v * h / 2) * turn
        for u in np.linspace(-1, 1, 21)
        for v in np.linspace(-1, 1, 21)
    ]
    values = {"cx": cx, "cy": cy, "w": w, "h": h, "angle": angle}
    xml = "<robndbox>" + "".join(f"<{key}>{value}</{key}>" for key, value in values.items()) + "</robndbox>"
    x, y = [point.real for point in outline], [point.imag for point in outline]
    return xml, [min(x), min(y), max(x), max(y)]


DIOR_R = (
    "<robndbox><x_left_top>20</x_left_top><y_left_top>12</y_left_top><x_right_top>44</x_right_top><y_right_top>20</y_right_top>"
    "<x_right_bottom>39</x_right_bottom><y_right_bottom>38</y_right_bottom><x_left_bottom>15</x_left_bottom>"
    "<y_left_bottom>30</y_left_bottom></robndbox>"
)

POLYGONS: list[Callable[[list[tuple[int, int]]], str]] = [
    lambda points: "".join(f"<x{k}>{x}</x{k}><y{k}>{y}</y{k}>" for k, (x, y) in enumerate(points, 1)),
    lambda points: "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in points),
]


@pytest.mark.parametrize("pixels", ["inclusive", "edges"])
def test_rotated_boxes_and_polygons_have_the_box_around_them(tmp_path: Path, pixels: str) -> None:
    write_voc(tmp_path, pictures(6))
    files = sorted((tmp_path / "Annotations").glob("*.xml"))
    expected = {}
    for k, file in enumerate(files):
        if k < 3:
            xml, box = rotated(20, 15, 40, 30, k * 0.7)
        elif k == 3:
            xml, box = DIOR_R, [15.0, 12, 44, 38]
        else:
            points = [(10 + k, 8), (30, 12), (22, 40)]
            xml, box = f"<polygon>{POLYGONS[k % 2](points)}</polygon>", [10.0 + k, 8, 30, 40]
        text = file.read_text()
        start, end = text.index("<bndbox>"), text.index("</bndbox>") + len("</bndbox>")
        file.write_text(text[:start] + xml + text[end:])
        expected[file.stem] = box
    truth = read_truth(tmp_path, pixels=pixels)
    np.testing.assert_allclose(truth.boxes, [expected[str(i)] for i in truth.catalog.image_ids], atol=1e-9)


def test_fault_151_other_xml_among_annotations_is_named_and_elsewhere_ignored(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "a.xml").write_text("<project/>")
    assert sum(map(len, open_dataset(tmp_path).splits.values())) == 12
    other = tmp_path / "Annotations" / "a.xml"
    other.write_text("<project/>")
    with pytest.raises(InputError, match=r"Annotations/a\.xml: is not a Pascal VOC annotation.*move it out"):
        open_dataset(tmp_path)
    other.unlink()
    open_dataset(tmp_path)


def test_fault_151_an_encoding_that_cannot_be_read_is_refused_and_the_fix_works(tmp_path: Path) -> None:
    written(tmp_path)
    file = min((tmp_path / "Annotations").glob("*.xml"))
    text = file.read_text().replace("cat", "猫")
    file.write_bytes(f'<?xml version="1.0" encoding="GB2312"?>{text}'.encode("gb2312"))
    with pytest.raises(InputError, match=r'is not XML: .*; save it as UTF-8, with encoding="UTF-8"'):
        read_truth(tmp_path)
    file.write_text(f'<?xml version="1.0" encoding="UTF-8"?>{text}', encoding="utf-8")
    assert "猫" in read_truth(tmp_path).catalog.classes


def test_images_without_xml_are_counted(tmp_path: Path) -> None:
    written(tmp_path)
    for name in ("z1", "z2"):
        Picture(name).save(tmp_path / "JPEGImages")
    (note,) = [note for note in open_dataset(tmp_path).notes if note.kind == "unannotated_images"]
    assert note.values == {"images": 2}
    assert "z1.png" in note.text
