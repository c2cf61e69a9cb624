"""Detections of other programs: every layout of the same detections gives the same table, and errors name file and line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import DETECTIONS
from layouts.registry import Found
from sampled_detections import FOUND, PICTURES, expected, read, refusal, rows, truth
from tiny_data import Picture

from metrics.errors import InputError
from metrics.formats.detection_rows import detection_layouts

FROM_1 = {
    "ultralytics_predictions_json",
    "yolov5_predictions_json",
    "coco_results",
    "torchvision_by_image",
    "torchvision_list",
    "ilsvrc_submission",
    "mot_det",
    "tensorflow_object_detection",
    "visdrone_results",
    "visdrone_vid_results",
}
"""Layouts whose class ids are those of the ground truth below, from 1."""


def test_every_layout_has_a_sample(tmp_path: Path) -> None:
    used = set()
    for name, layout in DETECTIONS.items():
        (tmp_path / name).mkdir()
        path = layout.write(tmp_path / name, PICTURES, FOUND)
        used |= {known.name for known in detection_layouts().values() if known.is_ours(path)}
    assert used == set(detection_layouts())


@pytest.mark.parametrize("name", DETECTIONS)
def test_every_layout_gives_the_same_detections(tmp_path: Path, name: str) -> None:
    layout = DETECTIONS[name]
    table, kinds = read(layout.write(tmp_path, PICTURES, FOUND))
    np.testing.assert_allclose(rows(table), expected(FOUND, PICTURES), atol=layout.tolerance)
    assert set(kinds) <= {
        "class_indices",
        "guessed_layout",
        "classes_by_name",
        "images_by_name",
        "chosen_field",
        "images_by_order",
    }


@st.composite
def detections(draw: st.DrawFn) -> list[Found]:
    found = []
    for k in range(draw(st.integers(1, 12))):
        x, y = draw(st.integers(0, 50)), draw(st.integers(0, 40))
        w, h = draw(st.integers(8, 64 - x)), draw(st.integers(4, 48 - y))
        score = draw(st.integers(1, 99)) / 100 + k / 10_000
        found.append(
            Found(PICTURES[draw(st.integers(0, 3))], draw(st.integers(0, 1)), (x, y, x + w, y + h), score)
        )
    return found


@given(detections(), st.sampled_from(sorted(DETECTIONS)))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_layouts_agree_or_are_refused_as_ambiguous(tmp_path: Path, found: list[Found], name: str) -> None:
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    path = DETECTIONS[name].write(tmp_path, PICTURES, found)
    problem = refusal(path)
    if problem:
        assert "all lines fit" in problem
        assert name in ("cartucho_map", "padilla_xywh", "corners_before_score")
        return
    table, kinds = read(path)
    if name == "padilla_relative" and "guessed_layout" not in kinds:
        return  # boxes that would fit the layout of Ultralytics as well
    np.testing.assert_allclose(rows(table), expected(found, PICTURES), atol=DETECTIONS[name].tolerance)


@pytest.mark.parametrize("name", sorted(set(DETECTIONS) - FROM_1))
def test_indices_and_names_do_not_depend_on_the_ids_of_the_ground_truth(tmp_path: Path, name: str) -> None:
    path = DETECTIONS[name].write(tmp_path, PICTURES, FOUND)
    for class_ids in ((0, 1), (7, 90)):
        table, _ = read(path, truth(class_ids=class_ids))
        np.testing.assert_allclose(rows(table), expected(FOUND, PICTURES), atol=DETECTIONS[name].tolerance)


@pytest.mark.parametrize("name", DETECTIONS)
def test_a_score_that_is_no_number_is_refused_with_its_place(tmp_path: Path, name: str) -> None:
    path = DETECTIONS[name].write(tmp_path, PICTURES, FOUND)
    files = sorted(file for file in tmp_path.rglob("*") if file.is_file() and file.name != "metadata.json")
    for file in files:
        text = file.read_text()
        damaged = text.replace("0.9", '"many"' if file.suffix in (".json", ".odgt") else "many", 1)
        file.write_text(damaged)
        if damaged == text:
            continue
        with pytest.raises(InputError) as refused:
            read(path)
        assert str(file) in str(refused.value)
        assert "many" in str(refused.value)
        return
    raise AssertionError("nothing was damaged")


@pytest.mark.parametrize("name", DETECTIONS)
def test_images_and_classes_that_the_ground_truth_lacks_are_refused(tmp_path: Path, name: str) -> None:
    path = DETECTIONS[name].write(tmp_path, PICTURES, FOUND)
    with pytest.raises(InputError, match="the ground truth does not have"):
        read(path, truth([*PICTURES[:1], Picture("other")]))


@pytest.mark.parametrize("name", DETECTIONS)
def test_scores_in_percent_are_reported_or_refused(tmp_path: Path, name: str) -> None:
    percent = [Found(e.picture, e.label, e.box, e.score * 100) for e in FOUND]
    path = DETECTIONS[name].write(tmp_path, PICTURES, percent)
    problem = refusal(path)
    if name in ("ultralytics_segments", "ultralytics_obb", "ultralytics_pose"):
        assert "score" in problem
    else:
        assert "suspicious_rows" in read(path)[1]
