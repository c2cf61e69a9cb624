"""Detections of MOT Challenge, VisDrone, Label Studio and TensorFlow: sequences, categories, models, scores and batches."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from layouts import DETECTIONS, TRUTH
from layouts.registry import Found, Scene, write_json, write_lines
from sampled_detections import FOUND, PICTURES, expected, read
from sampled_detections import rows as detected
from tiny_data import Picture, pictures

from metrics import AnnotationTable, read_detections, read_truth
from metrics.errors import InputError
from metrics.notes import note_of
from metrics.tables import Catalog


def test_detections_of_several_sequences_are_read_by_the_names_of_files(tmp_path: Path) -> None:
    for name in ("MOT17-02", "MOT17-04"):
        folder = tmp_path / "train" / name
        for frame in (1, 2, 3):
            Picture(f"{frame:06d}").save(folder / "img1", ".jpg")
        write_lines(folder / "gt" / "gt.txt", [(1, 1, 2, 3, 20, 30, 1, 1, 0.5)], ",")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = read_truth(tmp_path)
        for name, frame in (("MOT17-02", 1), ("MOT17-04", 3)):
            line = (frame, -1, 2, 3, 20, 30, 0.5, -1, -1, -1)
            write_lines(tmp_path / "tracker" / f"{name}.txt", [line], ",")
            write_lines(tmp_path / "train" / name / "det" / "det.txt", [line], ",")
        found = [read_detections(tmp_path / folder, truth) for folder in ("tracker", "train")]
    for table in found:
        assert [truth.catalog.file_names[i] for i in table.image] == [
            "train/MOT17-02/img1/000001.jpg",
            "train/MOT17-04/img1/000003.jpg",
        ]
        assert {truth.catalog.classes[label] for label in table.label} == {"pedestrian"}
    (tmp_path / "tracker" / "MOT17-02.txt").rename(tmp_path / "tracker" / "other.txt")
    with pytest.raises(
        InputError, match=r"0 folders of the ground truth's images are called 'other'; .*MOT17"
    ):
        read_detections(tmp_path / "tracker", truth)


def test_fault_167_detections_without_class_need_a_ground_truth_of_one_or_with_pedestrians(
    tmp_path: Path,
) -> None:
    shown = pictures(6)
    TRUTH["mot_challenge"].write(tmp_path, Scene({"train": shown}))
    truth = read_truth(tmp_path)
    file = write_lines(tmp_path / "det.txt", [(1, -1, 2, 3, 20, 30, 0.5, -1, -1, -1)], ",")
    with pytest.raises(
        InputError, match=r"det\.txt:1: has no class, and the ground truth has 2; write its number"
    ):
        read_detections(file, truth)
    write_lines(file, [(1, -1, 2, 3, 20, 30, 0.5, 2, -1)], ",")
    with pytest.raises(InputError, match="pass --class-map from-1"):
        read_detections(file, truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert read_detections(file, truth, "from-1").label.tolist() == [1]


def test_categories_of_visdrone_are_its_classes_where_the_ground_truth_has_them(tmp_path: Path) -> None:
    shown = pictures(6)
    TRUTH["visdrone"].write(tmp_path, Scene({"train": shown}))
    truth = read_truth(tmp_path)
    label, box = shown[0].objects[0]
    found = [Found(shown[0], label, box, 0.5)]
    path = DETECTIONS["visdrone_results"].write(tmp_path / "found", shown, found)
    with (path / f"{shown[1].name}.txt").open("a") as file:
        file.write("1,1,9,9,0.5,0,-1,-1\n1,1,9,9,0.5,11,-1,-1\n")
    with pytest.warns(
        match=r"2 detections are of categories that are not evaluated and are left out: category 0 \(1\), category 11 \(1\)"
    ):
        table = read_detections(path, truth)
    assert truth.catalog.classes[table.label[0]] == ("pedestrian", "people")[label]
    np.testing.assert_allclose(table.boxes, [box])


def test_fault_168_predictions_of_label_studio_of_several_models_or_of_none_are_refused(
    tmp_path: Path,
) -> None:
    shown = pictures(3)
    path = DETECTIONS["label_studio_predictions"].write(
        tmp_path, shown, [Found(shown[0], 0, (1, 2, 9, 9), 0.5)]
    )
    truth = AnnotationTable.from_images([np.zeros((0, 4))] * 3, [[]] * 3, classes=["cat", "dog"])
    tasks = json.loads(path.read_text())
    tasks[1]["predictions"][0]["model_version"] = "v4"
    write_json(path, tasks)
    with pytest.raises(
        InputError, match=r"predictions of several models: v3, v4; keep those of one \(model_version\)"
    ):
        read_detections(path, truth)
    tasks[1]["predictions"] = tasks[0]["predictions"] * 2
    write_json(path, tasks)
    with pytest.raises(InputError, match=r"\[1\]: 2 predictions of one model; keep one of each task"):
        read_detections(path, truth)
    tasks[0]["annotations"] = tasks[0]["predictions"]
    for task in tasks:
        task["predictions"] = []
    write_json(path, tasks)
    with pytest.raises(InputError, match="no task has predictions, so that these are annotations"):
        read_detections(path, truth)


def test_regions_without_a_score_have_that_of_their_prediction(tmp_path: Path) -> None:

    path = DETECTIONS["label_studio_predictions"].write(tmp_path, PICTURES, FOUND)
    tasks = json.loads(path.read_text())
    del tasks[0]["predictions"][0]["result"][0]["score"]
    write_json(path, tasks)
    table, noted = read(path)
    assert 0.5 in table.score[table.image == 0]
    assert "scores_of_predictions" in noted


@pytest.mark.parametrize("batch", ["serving", "axis", "pixels"])
def test_batches_and_pixels_of_tensorflow_are_read(tmp_path: Path, batch: str) -> None:

    file = DETECTIONS["tensorflow_object_detection"].write(tmp_path, PICTURES, FOUND)
    document = json.loads(file.read_text())
    for name, of in document.items():
        if batch == "pixels":
            scale = np.array([48, 64, 48, 64])
            of["detection_boxes"] = (np.array(of["detection_boxes"]) * scale).tolist()
        elif batch == "axis":
            document[name] = {key: [value] for key, value in of.items()}
        else:
            document[name] = {"predictions": [of]}
    write_json(file, document)
    np.testing.assert_allclose(detected(read(file)[0]), expected(FOUND, PICTURES), atol=1e-6)


def test_images_that_are_known_by_the_ends_of_their_paths_are_reported_once(tmp_path: Path) -> None:
    path = DETECTIONS["label_studio_predictions"].write(tmp_path, PICTURES, FOUND)
    names = [f"shots/{picture.name}.jpg" for picture in PICTURES]
    sizes = np.array([picture.size for picture in PICTURES])
    catalog = Catalog.of([7 * k for k in range(len(names))], ["cat", "dog"], sizes, names)
    truth = AnnotationTable.of(catalog, [0], [0], [[1, 2, 3, 4]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_detections(path, truth)
    assert [note_of(one.message).kind for one in caught].count("images_by_name") == 1
