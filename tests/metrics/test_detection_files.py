"""Single layouts of detections: what is guessed, chosen and refused."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import DETECTIONS
from layouts.registry import write_json
from sampled_detections import FOUND, PICTURES, expected, read, refusal, rows, truth

from metrics import read_detections
from metrics.command_line import main
from metrics.errors import InputError, InputNote
from metrics.formats.coco import write_truth
from metrics.tables import AnnotationTable, Catalog


def test_fields_of_fiftyone_are_chosen_by_their_confidence(tmp_path: Path) -> None:
    path = DETECTIONS["fiftyone_dataset"].write(tmp_path, PICTURES, FOUND)
    assert read(path)[1] == ["chosen_field", "images_by_name"]
    file = path / "samples.json"
    document = json.loads(file.read_text())
    for sample in document["samples"]:
        sample["yolo"], sample["ssd"] = sample.pop("predictions"), {"_cls": "Detections", "detections": []}
    document["samples"][0]["ssd"] = document["samples"][0]["yolo"]
    write_json(file, document)
    with pytest.raises(
        InputError, match=r"several fields have boxes with a confidence: yolo, ssd; export one of them"
    ):
        read(path)
    for sample in document["samples"]:
        del sample["ssd"]
    write_json(file, document)
    assert len(read(file)[0]) == len(FOUND)


def test_fault_102_annotations_instead_of_detections_are_refused_with_the_option_that_helps(
    tmp_path: Path,
) -> None:
    (tmp_path / "img000.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(
        InputError, match=r"img000.txt:1: .* has a class and a box but no score.*save_conf=True"
    ):
        read(tmp_path)
    (tmp_path / "img000.txt").write_text("0 0.5 0.5 0.2 0.2 0.9\n")
    assert len(read(tmp_path)[0]) == 1


def test_fault_102_ambiguous_lines_are_refused_and_the_table_that_is_advised_is_read(tmp_path: Path) -> None:
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "img000.txt").write_text("0 0.5 10 10 20 20\n")
    with pytest.raises(
        InputError,
        match=r"all lines fit class score x1 y1 x2 y2 and class score x y w h; call .*, or convert them to a CSV",
    ):
        read(tmp_path / "found")
    table = tmp_path / "found.csv"
    table.write_text("image_id,class_id,score,x1,y1,x2,y2\nimg000,1,0.5,10,10,20,20\n")
    assert read(table)[0].boxes.tolist() == [[10, 10, 20, 20]]
    (tmp_path / "found" / "img000.txt").write_text("0 0.5 10 10 200 20\n")
    with pytest.raises(
        InputError, match=r"img000.txt:1: 0.5 10 10 200 20: the lines in .* are not class cx cy w h score"
    ):
        read(tmp_path / "found")


def test_the_command_reads_folders_and_names_them_where_there_is_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_truth(truth(), tmp_path / "gt.json")
    path = DETECTIONS["ultralytics_labels"].write(tmp_path, PICTURES, FOUND)
    assert main([str(tmp_path / "gt.json"), str(path)]) == 0
    assert "classes are indices from 0" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "gt.json"), str(tmp_path / "empty")]) == 2
    assert "no detections found in this folder; expected COCO results" in capsys.readouterr().err


CASES = Path(__file__).resolve().parents[2] / ".." / "shared" / "cases"


@pytest.mark.skipif(not CASES.is_dir(), reason="no folder of reported exports")
def test_reported_predictions_of_ultralytics_are_read() -> None:
    from metrics import evaluate, read_truth

    case = CASES / "37-yolo-txt-predictions"
    table = read_truth(case)
    values = []
    arguments: list[tuple[Path, Callable[[], Any] | None]] = [
        (case / "predict", None),
        (case / "predictions.json", None),
    ]
    with pytest.raises(InputError, match="pass --class-map from-1"):
        read_detections(arguments[1][0], table)
    for path, rule in ((case / "predict", None), (case / "predictions.json", "from-1")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputNote)
            values.append(evaluate(table, read_detections(path, table, rule)).value("ap"))
    assert values[0] == pytest.approx(values[1], abs=1e-3)  # rounded to six digits of a fraction
    assert values[1] > 0.6


def _lines(results: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in results)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("results.json", lambda results: json.dumps({"results": results})),
        ("results.json", lambda results: json.dumps({"model": "m", "predictions": results})),
        ("results.jsonl", _lines),
    ],
)
def test_results_in_an_object_in_lines_or_alone_in_a_folder_are_read(
    tmp_path: Path, name: str, text: Callable[[list[dict[str, Any]]], str]
) -> None:
    plain = DETECTIONS["coco_results"].write(tmp_path, PICTURES, FOUND)
    wrapped = tmp_path / "inner" / name
    wrapped.parent.mkdir()
    wrapped.write_text(text(json.loads(plain.read_text())))
    np.testing.assert_allclose(rows(read(wrapped)[0]), expected(FOUND, PICTURES), atol=1e-6)
    table, kinds = read(wrapped.parent)
    np.testing.assert_allclose(rows(table), expected(FOUND, PICTURES), atol=1e-6)
    assert "inner_file" in kinds
    (wrapped.parent / "other.csv").write_text("a\n1\n")
    problem = refusal(wrapped.parent)  # which of the two is not guessed
    assert problem.endswith(f"give the path of one of {name}, other.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "ImageId,PredictionString\nimg000,cat 0.5 1 2 3\n",
            "expected class score x1 y1 x2 y2 for each detection",
        ),
        ("ImageId,PredictionString\nimg000,cat much 1 2 3 4\n", "expected a finite number, got 'much'"),
        ("Name,PredictionString\nimg000,cat 0.5 1 2 3 4\n", "has no column of images; call it ImageId"),
    ],
)
def test_fault_153_a_prediction_string_that_does_not_fit_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "submission.csv").write_text(text)
    assert message in refusal(tmp_path / "submission.csv")


def test_a_prediction_string_without_classes_is_of_the_only_class(tmp_path: Path) -> None:
    only = AnnotationTable.of(
        Catalog.of([1, 2], ["wheat"], [(48, 64)] * 2, ["a.png", "b.png"]), [0], [0], [[2, 3, 8, 9]]
    )
    file = tmp_path / "submission.csv"
    box = " ".join(["0.5 2 3 8 9"] * 6)  # as many words as five detections with a class have
    file.write_text(f"image_id,PredictionString\na,{box}\nb,\n")
    table, _ = read(file, only)
    assert len(table) == 6
    np.testing.assert_allclose(table.xywh, [[2, 3, 8, 9]] * 6)


def test_fault_153_a_line_of_a_class_file_with_fewer_values_is_refused(tmp_path: Path) -> None:
    DETECTIONS["detectron2_class_files"].write(tmp_path, PICTURES, FOUND)
    (tmp_path / "dog.txt").write_text("img000 0.5 1 2 3\n")
    assert "dog.txt:1: expected image score x1 y1 x2 y2, got 5 values" in refusal(tmp_path)
