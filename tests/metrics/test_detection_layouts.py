"""Detections of other programs: every layout of the same detections gives the same table, and errors name file and line."""

from __future__ import annotations

import json
import shutil
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import DETECTIONS
from layouts.registry import Found, write_json
from tiny_data import CLASSES, Picture

from metrics import read_detections
from metrics.command_line import main
from metrics.errors import InputError, InputNote, InputWarning
from metrics.formats.coco import write_truth
from metrics.formats.detection_rows import detection_layouts
from metrics.notes import note_of
from metrics.tables import AnnotationTable, Catalog, DetectionTable

NAMES = ("img000", "a b", "straße", "img.003")
PICTURES = [Picture(name) for name in NAMES]
FOUND = [
    Found(PICTURES[0], 0, (2.0, 3.0, 30.0, 40.0), 0.9),
    Found(PICTURES[0], 1, (10.5, 8.0, 60.0, 47.0), 0.75),
    Found(PICTURES[1], 1, (40.0, 30.0, 63.0, 48.0), 0.5),
    Found(PICTURES[3], 0, (33.0, 25.0, 50.0, 44.0), 0.25),
    Found(PICTURES[3], 1, (31.0, 20.0, 64.0, 48.0), 0.125),
]
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


def truth(pictures: list[Picture] = PICTURES, class_ids: tuple[int, int] = (1, 2)) -> AnnotationTable:
    catalog = Catalog.of(
        range(1, len(pictures) + 1),
        CLASSES,
        [picture.size for picture in pictures],
        [f"images/{picture.name}.png" for picture in pictures],
        class_ids,
    )
    return AnnotationTable.of(catalog, [0, 1], [0, 1], [[2, 3, 28, 37], [40, 30, 23, 18]])


def rows(table: DetectionTable) -> list[tuple[float, ...]]:
    columns = (table.image, table.label, table.score)
    return sorted(zip(*(column.tolist() for column in columns), *table.boxes.T.tolist(), strict=True))


def expected(found: list[Found], pictures: list[Picture]) -> list[tuple[float, ...]]:
    return sorted((pictures.index(e.picture), e.label, e.score, *e.box) for e in found)


def read(
    path: Path, table: AnnotationTable | None = None, **options: Any
) -> tuple[DetectionTable, list[str]]:
    """A table, and the kinds of notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = read_detections(path, table or truth(), **options)
    return found, [note_of(one.message).kind for one in caught]


def refusal(path: Path) -> str:
    """Why a path is refused; empty where it is read."""
    try:
        read(path)
    except InputError as error:
        return str(error)
    return ""


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
