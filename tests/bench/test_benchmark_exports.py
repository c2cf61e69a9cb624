"""Marks of MOT Challenge, Cityscapes and CityPersons, and of projects of VoTT, VIA 3, Scale AI and ODVG: what counts, what is ignored, what is left out."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from layouts import TRUTH
from layouts.registry import Scene, write_json, write_lines, write_text
from test_export_layouts import content, kinds
from tiny_data import Picture

from bench.datasets import open_dataset
from metrics import AnnotationTable, read_truth
from metrics.errors import InputError


def rows(table: AnnotationTable) -> list[tuple[Any, ...]]:
    """Image, class, corners, ignored and crowd of each object."""
    catalog = table.catalog
    columns = (table.image, table.label, table.boxes, table.ignored, table.crowd)
    return sorted(
        (catalog.image_ids[image], catalog.classes[label], *box, ignored, crowd)
        for image, label, box, ignored, crowd in zip(*(column.tolist() for column in columns), strict=True)
    )


MOT_LINES = [
    (1, 1, 2, 3, 20, 30, 1, 1, 0.5),  # a pedestrian
    (1, 2, 30, 3, 20, 30, 0, 1, 1),  # not to be considered
    (1, 3, 5, 5, 9, 9, 0, 8, 1),  # a distractor
    (1, 4, 6, 6, 9, 9, 0, 3, 1),  # a car
    (2, 1, 4, 3, 20, 30, 1, 1, 0.25),
]


def mot(root: Path, frames: int = 3) -> Path:
    for frame in range(1, frames + 1):
        Picture(f"{frame:06d}").save(root / "img1", ".jpg")
    write_lines(root / "gt" / "gt.txt", MOT_LINES, ",")
    return root


def test_flags_and_classes_of_mot_challenge_are_those_of_its_evaluation(tmp_path: Path) -> None:
    """TrackEval: pedestrians count; detections of distractors and of flag 0 are neither right nor wrong; a car is background."""
    table, noted = kinds(mot(tmp_path))
    assert rows(table) == [
        ("000001", "pedestrian", 2, 3, 22, 33, False, False),
        ("000001", "pedestrian", 5, 5, 14, 14, True, False),
        ("000001", "pedestrian", 30, 3, 50, 33, True, False),
        ("000002", "pedestrian", 4, 3, 24, 33, False, False),
    ]
    assert table.object_columns["visibility"].tolist() == [0.5, 1, 1, 0.25]
    assert table.catalog.image_ids == ("000001", "000002", "000003")
    assert noted == ["ignored_regions", "left_out"]


def test_names_of_classes_of_mot_files_are_those_of_labels_txt_or_of_the_benchmark(tmp_path: Path) -> None:
    write_lines(mot(tmp_path) / "gt" / "gt.txt", [(1, 1, 2, 3, 20, 30, 1, 3, 1)], ",")
    table, noted = kinds(tmp_path)
    assert (table.catalog.classes, noted) == (("car",), ["made_names"])
    write_text(tmp_path / "gt" / "labels.txt", "cat\ndog\n")
    with pytest.raises(InputError, match=r"gt\.txt:1: class 3: there are 2 names; write .* gt/labels\.txt"):
        read_truth(tmp_path)
    write_text(tmp_path / "gt" / "labels.txt", "cat\ndog\nhen\n")
    table, noted = kinds(tmp_path)
    assert (table.catalog.classes, noted) == (("hen",), [])


def test_lines_of_ten_values_have_no_class(tmp_path: Path) -> None:
    """MOT15: the last three are a place in the world."""
    write_lines(mot(tmp_path) / "gt" / "gt.txt", [(1, 1, 2, 3, 20, 30, 1, -11.5, -7.4, 0)], ",")
    assert rows(read_truth(tmp_path)) == [("000001", "pedestrian", 2, 3, 22, 33, False, False)]


@pytest.mark.parametrize(
    ("names", "frames", "expected"),
    [
        (["000001", "000002", "000003"], [1, 3], {1: "000001", 3: "000003"}),
        (["000003", "000004", "000005"], [3, 5], {3: "000003", 5: "000005"}),
        (["000000", "000001", "000002"], [1, 2], {1: "000000", 2: "000001"}),
        (["000000", "000001", "000002"], [0, 2], {0: "000000", 2: "000002"}),
        (["000100", "000200", "000300"], [1, 3], {1: "000100", 3: "000300"}),
        (["b", "a", "c"], [1, 3], {1: "a", 3: "c"}),
    ],
)
def test_frames_are_numbers_in_names_or_the_order_of_names(
    tmp_path: Path, names: list[str], frames: list[int], expected: dict[int, str]
) -> None:
    for name in names:
        Picture(name).save(tmp_path / "img1")
    write_lines(tmp_path / "gt" / "gt.txt", [(frame, 1, frame, 3, 20, 30, 1, 1, 1) for frame in frames], ",")
    found = {int(x): image for image, _, x, *_ in rows(read_truth(tmp_path))}
    assert found == expected


def test_fault_166_frames_without_an_image_are_refused_and_images_elsewhere_are_found(tmp_path: Path) -> None:
    root = mot(tmp_path / "seq")
    write_lines(root / "gt" / "gt.txt", [*MOT_LINES, (9, 1, 2, 3, 20, 30, 1, 1, 1)], ",")
    with pytest.raises(InputError, match=r"gt\.txt:6: frame 9: .*img1 has no such image; it has 3 images"):
        read_truth(root)
    write_lines(root / "gt" / "gt.txt", [(k, 1, 2, 3, 20, 30, 1, 1, 1) for k in (1, 2, 3)], ",")
    write_text(root / "seqinfo.ini", "[Sequence]\nseqLength=3\nimWidth=64\nimHeight=48\nimExt=.jpg\n")
    shutil.move(root / "img1", tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"not found; searched .*; set data\.images"):
        open_dataset(root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = open_dataset(root, images=str(tmp_path / "elsewhere"))
    assert sum(len(split) for split in data.splits.values()) == 3


@pytest.mark.parametrize(
    "text",
    [
        "nothing\n",
        "[Sequence]\nseqLength=many\n",
        "[Sequence]\nimDir=../other\n",
        "[Sequence]\nseqLength=-1\n",
    ],
)
def test_fault_166_a_seqinfo_that_does_not_fit_is_refused(tmp_path: Path, text: str) -> None:
    write_text(mot(tmp_path) / "seqinfo.ini", text)
    with pytest.raises(InputError, match=r"seqinfo\.ini: "):
        read_truth(tmp_path)


def polygon(label: str, x: float, **more: Any) -> dict[str, Any]:
    return {"label": label, "polygon": [[x, 1], [x + 9, 1], [x + 9, 30], [x, 30]], **more}


def test_groups_of_cityscapes_are_crowds_and_what_is_not_evaluated_is_a_region(tmp_path: Path) -> None:
    objects = [polygon("car", 1), polygon("cargroup", 11), polygon("trailer", 21), polygon("road", 0)]
    objects += [polygon("person", 41, deleted=1), polygon("rider", 31), polygon("kiosk", 41)]
    for split, of in {"train": objects, "val": objects[:1], "test": [polygon("out of roi", 0)]}.items():
        Picture(f"{split}_leftImg8bit").save(tmp_path / "leftImg8bit" / split / "ulm")
        document = {"imgHeight": 48, "imgWidth": 64, "objects": of}
        write_json(tmp_path / "gtFine" / split / "ulm" / f"{split}_gtFine_polygons.json", document)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_truth(tmp_path, "train")
    crowd = [("train", name, 21.0, 1.0, 30.0, 30.0, False, True) for name in ("car", "kiosk", "rider")]
    assert rows(table) == sorted(
        [
            ("train", "car", 1, 1, 10, 30, False, False),
            ("train", "car", 11, 1, 20, 30, False, True),
            ("train", "kiosk", 41, 1, 50, 30, False, False),
            ("train", "rider", 31, 1, 40, 30, False, False),
            *crowd,
        ]
    )
    texts = "\n".join(str(one.message) for one in caught)
    assert "no image of test has an object" in texts
    assert "1 group is a crowd region of its class (such as cargroup)" in texts
    assert "1 region that the benchmark does not evaluate" in texts
    assert "3 polygons are not objects and are left out: deleted (1), out of roi (1), road (1)" in texts


def test_ignored_regions_and_groups_of_citypersons_are_regions_of_every_class(tmp_path: Path) -> None:
    Picture("a_leftImg8bit").save(tmp_path / "leftImg8bit" / "train" / "ulm")
    labels = ("pedestrian", "rider", "ignore", "person group")
    objects = [
        {"label": name, "bbox": [k, 1, 9, 9], "bboxVis": [0, 0, 1, 1]} for k, name in enumerate(labels)
    ]
    document = {"imgHeight": 48, "imgWidth": 64, "objects": objects}
    write_json(tmp_path / "gtBboxCityPersons/train/ulm/a_gtBboxCityPersons.json", document)
    table, noted = kinds(tmp_path)
    assert [(row[1], row[2], row[-1]) for row in rows(table)] == [
        ("pedestrian", 0, False),
        ("pedestrian", 2, True),
        ("pedestrian", 3, True),
        ("rider", 1, False),
        ("rider", 2, True),
        ("rider", 3, True),
    ]
    assert noted == ["ignored_regions"]


def sample(name: str, root: Path) -> Path:
    """A sample of one layout, and the file of its annotations."""
    TRUTH[name].write(root, Scene({"train": content()}))
    return max(root.rglob("*.json*"), key=lambda file: file.stat().st_size)


def test_further_tags_and_frames_of_videos_of_vott_are_left_out(tmp_path: Path) -> None:
    file = sample("vott_export", tmp_path)
    document = json.loads(file.read_text())
    first, second, third, *_ = document["assets"].values()
    first["regions"][0]["tags"].append("small")
    second["regions"][0]["tags"] = []
    third["asset"]["type"] = 3
    write_json(file, document)
    with pytest.warns(
        match=r"3 entries are left out: frames of videos \(1\), regions without a tag \(1\), tags after the first of a region, which is its class \(1\)"
    ):
        table = read_truth(tmp_path)
    assert len(table.catalog.image_ids) == 23


def test_shapes_and_kinds_of_classes_of_via_3(tmp_path: Path) -> None:
    file = sample("via_3", tmp_path)
    document = json.loads(file.read_text())
    document["file"]["99"] = {"fid": "99", "fname": "a.mp4", "type": 4, "loc": 1, "src": ""}
    document["view"]["99"] = {"fid_list": ["99"]}
    shapes = {
        "point": [1, 5, 5],
        "circle": [3, 20, 20, 5],
        "ellipse": [4, 20, 20, 6, 3],
        "extreme": [8, 3, 10, 9, 2, 15, 10, 9, 30],
        "segment": [],
    }
    for name, xy in shapes.items():
        document["metadata"][name] = {"vid": "2", "flg": 0, "z": [], "xy": xy, "av": {"1": "0"}}
    document["metadata"]["video"] = {"vid": "99", "flg": 0, "z": [1], "xy": [2, 1, 1, 5, 5], "av": {"1": "0"}}
    write_json(file, document)
    table, noted = kinds(tmp_path)
    image = table.catalog.image_ids.index("img001")
    boxes = table.boxes[table.image == image].tolist()
    assert boxes[1:] == [[15, 15, 25, 25], [14, 17, 26, 23], [3, 2, 15, 30]]
    assert noted == ["left_out", "left_out"]
    document["attribute"]["1"] |= {"type": 1, "options": {}}
    write_json(file, document)
    assert set(read_truth(tmp_path).catalog.classes) == {"0", "1"}


def test_tasks_of_scale_ai_without_response_and_lines_are_left_out(tmp_path: Path) -> None:
    file = sample("scale_ai", tmp_path)
    tasks = json.loads(file.read_text())
    del tasks[0]["response"]
    line = {"type": "line", "label": "cat", "vertices": [{"x": 1, "y": 1}, {"x": 9, "y": 1}]}
    tasks[1]["response"]["annotations"].append(line)
    write_json(file, {"docs": tasks})
    with pytest.warns(match=r"2 entries are left out: line annotations \(1\), tasks without response \(1\)"):
        assert len(read_truth(tmp_path).catalog.image_ids) == 23
    tasks[0]["response"] = {"annotations": []}
    write_json(file, {"docs": tasks})
    with pytest.warns(match=r": 1 entry is left out: line annotations \(1\)$"):
        read_truth(tmp_path)
    write_json(file, [{"task_id": "a", "params": {"attachment": "a.png"}}])
    with pytest.raises(InputError, match="no task has a response: export the tasks when they are completed"):
        read_truth(tmp_path)


def test_phrases_of_captions_are_names_of_classes(tmp_path: Path) -> None:
    regions = [
        {"phrase": "a dog", "bbox": [1, 2, 20, 30]},
        {"phrase": ["two", "cats"], "bbox": [[1, 2, 9, 9], [11, 2, 19, 9]]},
    ]
    row = {"filename": "a.png", "height": 48, "width": 64}
    row["grounding"] = {"caption": "a dog and two cats", "regions": regions}  # type: ignore[assignment]
    write_text(tmp_path / "vg.jsonl", json.dumps(row) + "\n")
    table, noted = kinds(tmp_path)
    assert [row[1:6] for row in rows(table)] == [
        ("a dog", 1, 2, 20, 30),
        ("two cats", 1, 2, 9, 9),
        ("two cats", 11, 2, 19, 9),
    ]
    assert noted == ["made_names"]


def test_images_of_tt100k_in_no_folder_of_a_split_are_left_out_with_a_note(tmp_path: Path) -> None:
    TRUTH["tt100k"].write(tmp_path, Scene({"train": content(), "other": content(3, 24)}))
    table, noted = kinds(tmp_path)
    assert (len(table.catalog.image_ids), noted) == (24, ["left_out"])


def test_classes_of_xview_without_a_list_have_their_numbers_as_names(tmp_path: Path) -> None:
    TRUTH["xview"].write(tmp_path, Scene({"train": content()}))
    names = tmp_path / "xview_class_labels.txt"
    names.write_text("11:cat\n")
    table, noted = kinds(tmp_path)
    assert (table.catalog.classes, noted) == (("cat",), ["left_out"])
    names.unlink()
    table, noted = kinds(tmp_path)
    assert (table.catalog.classes, noted) == (("11", "12"), ["made_names"])


def test_a_missing_image_of_a_sequence_does_not_shift_the_frames_behind_it(tmp_path: Path) -> None:
    lines = [(frame, 1, frame, 3, 20, 30, 1, 1, 1) for frame in (1, 2, 3, 4)]
    write_lines(mot(tmp_path, frames=6) / "gt" / "gt.txt", lines, ",")
    boxes = rows(read_truth(tmp_path))
    (tmp_path / "img1" / "000003.jpg").unlink()
    with pytest.raises(InputError, match=r"gt\.txt:3: frame 3: .*img1 has no such image; it has 5 images"):
        read_truth(tmp_path)
    write_lines(tmp_path / "gt" / "gt.txt", [line for line in lines if line[0] != 3], ",")
    assert rows(read_truth(tmp_path)) == [row for row in boxes if row[0] != "000003"]
