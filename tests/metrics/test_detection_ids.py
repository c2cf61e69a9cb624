"""Which class and which image of the ground truth the detections of another program are of."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from layouts import DETECTIONS
from layouts.registry import Found, write_json
from sampled_detections import FOUND, PICTURES, expected, read, rows, truth
from tiny_data import CLASSES, Picture

from metrics import read_detections
from metrics.errors import InputError, InputNote, InputWarning
from metrics.tables import AnnotationTable, Catalog


def test_fault_102_class_indices_beyond_the_classes_are_refused_or_dropped(tmp_path: Path) -> None:
    found = [*FOUND, Found(PICTURES[0], 2, (1, 2, 20, 30), 0.4)]
    path = DETECTIONS["ultralytics_labels"].write(tmp_path, PICTURES, found)
    with pytest.raises(
        InputError,
        match=r"class 2 in 1 of 6 detections, but the ground truth has 2 classes: .*--class-map drop",
    ):
        read(path)
    with pytest.warns(InputWarning, match="1 of 6 detections is of 1 class .* left out"):
        read_detections(path, truth(), class_map="drop")
    assert len(read(path, class_map="drop")[0]) == len(FOUND)
    assert read(path, class_map={0: 2, 1: 1, 2: 1})[0].label.tolist().count(1) == 2


def test_numbers_in_file_names_are_used_where_they_contradict_the_ids(tmp_path: Path) -> None:
    """``000.jpg`` is 0 for Ultralytics, while ids of the ground truth count from 1."""
    pictures = [Picture(f"{k:03d}") for k in range(4)]
    found = [Found(pictures[k], k % 2, (2.0 + k, 3.0, 30.0, 40.0), 0.5 + k / 10) for k in range(1, 4)]
    named = DETECTIONS["ultralytics_predictions_json"].write(tmp_path, pictures, found)
    table, kinds = read(named, truth(pictures))
    assert rows(table) == expected(found, pictures)
    assert kinds == ["images_by_file"]
    ids, kinds = read(named, truth(pictures), image_ids="file-names")
    assert rows(ids) == expected(found, pictures)
    plain = DETECTIONS["yolov5_predictions_json"].write(tmp_path, pictures, found)
    assert rows(read(plain, truth(pictures), image_ids="file-names")[0]) == expected(found, pictures)


def test_ids_of_coco_fit_its_eighty_classes(tmp_path: Path) -> None:
    catalog = Catalog.of([1], [f"c{k}" for k in range(80)], [(48, 64)], ["a.png"])
    table = AnnotationTable.of(catalog, [0], [79], [[2, 3, 28, 37]])
    file = write_json(
        tmp_path / "predictions.json",
        [{"image_id": "a", "category_id": 90, "bbox": [2, 3, 28, 37], "score": 0.5}],
    )
    with pytest.raises(InputError, match=r"COCO's category ids up to 90: pass --class-map coco-91"):
        read_detections(file, table)
    assert read_detections(file, table, "coco-91").label.tolist() == [79]
    with pytest.raises(InputError, match="coco-91 is for the 80 classes of COCO, but the ground truth has 2"):
        read_detections(file, truth(), "coco-91")


def test_classes_by_name_win_over_other_ids_and_are_reported(tmp_path: Path) -> None:
    path = DETECTIONS["supervision_csv"].write(tmp_path, PICTURES, FOUND)
    assert read(path)[1] == ["classes_by_name"]
    assert read(path, truth(class_ids=(0, 1)))[1] == []
    with pytest.raises(InputError, match="category_id 0"):
        read(path, class_map={1: 2})
    assert rows(read(path, class_map="from-0")[0]) == expected(FOUND, PICTURES)


def test_fault_102_fractions_need_sizes_of_the_images(tmp_path: Path) -> None:
    path = DETECTIONS["ultralytics_labels"].write(tmp_path, PICTURES, FOUND)
    unknown = truth()
    catalog = Catalog.of(unknown.catalog.image_ids, CLASSES, None, unknown.catalog.file_names, (1, 2))
    with pytest.raises(InputError, match="no size of image 2; add width and height to its images"):
        read(path, AnnotationTable.of(catalog, [0], [0], [[2, 3, 28, 37]]))


def test_text_files_of_folders_are_the_images_of_folders(tmp_path: Path) -> None:
    pictures = [Picture("cam1/000"), Picture("cam2/000")]
    found = [Found(pictures[k], k, (2.0, 3.0 + k, 30.0, 40.0), 0.5 + k / 10) for k in range(2)]
    path = DETECTIONS["ultralytics_labels"].write(tmp_path, pictures, found)
    catalog = Catalog.of([1, 2], CLASSES, [(48, 64)] * 2, ["cam1/000.png", "cam2/000.png"])
    table, _ = read(path, AnnotationTable.of(catalog, [0], [0], [[2, 3, 28, 37]]))
    np.testing.assert_allclose(rows(table), expected(found, pictures), atol=1e-3)


@pytest.mark.parametrize(
    "write",
    [
        lambda name: f"C:\\data\\images\\{name}",
        lambda name: f"/home/me/images/{name}",
        lambda name: f"https://host/images/{name}?v=1",
        lambda name: name.replace(" ", "%20"),
        str.upper,
        lambda name: unicodedata.normalize("NFD", name),
    ],
)
def test_images_are_identified_by_paths_of_other_machines(
    tmp_path: Path, write: Callable[[str], str]
) -> None:
    path = DETECTIONS["supervision_csv"].write(tmp_path, PICTURES, FOUND)
    text = path.read_text()
    for picture in PICTURES:
        text = text.replace(f"{picture.name}.png", write(f"{picture.name}.png"))
    path.write_text(text)
    assert rows(read(path)[0]) == expected(FOUND, PICTURES)


def test_names_before_an_upload_to_label_studio_identify_images(tmp_path: Path) -> None:
    files = ["0bd1f00d-a.png", "ab12cd34-b.png", "b.jpg", "11111111-c.png", "22222222-c.png"]
    catalog = Catalog.of(
        sorted(file[:-4] for file in files), CLASSES, [(48, 64)] * 5, sorted(files, key=lambda f: f[:-4])
    )
    table = AnnotationTable.of(catalog, [0], [0], [[2, 3, 28, 37]])

    def image(name: str) -> str:
        results = [{"image_id": name, "category_id": 0, "bbox": [2, 3, 28, 37], "score": 0.5}]
        found = read_detections(write_json(tmp_path / "a.json", results), table)
        return catalog.file_names[int(found.image[0])]

    with pytest.warns(InputNote, match="name 1 image by other paths"):
        assert image("a") == image("images/a.png") == image("a.jpg") == "0bd1f00d-a.png"
    assert image("b") == image("b.png") == "b.jpg"
    assert image("ab12cd34-b") == image("ab12cd34-b.jpg") == "ab12cd34-b.png"
    with pytest.raises(InputError, match="on 1 image that the ground truth does not have"):
        image("c.png")


def test_a_name_that_fits_two_images_identifies_none(tmp_path: Path) -> None:
    catalog = Catalog.of([1, 2], CLASSES, [(48, 64)] * 2, ["a/x.png", "b/x.png"])
    table = AnnotationTable.of(catalog, [0], [0], [[2, 3, 28, 37]])
    rows_of = [{"image_id": "c/x.png", "category_id": 0, "bbox": [2, 3, 28, 37], "score": 0.5}]
    with pytest.raises(InputError, match="on 1 image that the ground truth does not have"):
        read_detections(write_json(tmp_path / "a.json", rows_of), table)
    rows_of[0]["image_id"] = "data/b/x.png"
    assert read_detections(write_json(tmp_path / "a.json", rows_of), table).image.tolist() == [1]
