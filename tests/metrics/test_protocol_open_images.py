"""Open Images' protocol against plain loops after the challenge's published rules."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import AnnotationTable, evaluate
from metrics.command_line import main
from metrics.errors import InputError, InputNote
from metrics.evaluated_files import read_files, score_files
from metrics.evaluation import Evaluation

Box = tuple[float, float, float, float]

TREE = {"Animal": {"Bird": {"Duck": {}, "Owl": {}}, "Cat": {}}, "Vehicle": {"Car": {}}}
"""Classes below classes; the root is above all and no class."""

CODES = {
    name: f"/m/{k}"
    for k, name in enumerate(("Animal", "Bird", "Duck", "Owl", "Cat", "Vehicle", "Car", "Tree"))
}

pytestmark = pytest.mark.filterwarnings("ignore::metrics.errors.InputWarning")  # sizes of images are assumed


def paths(tree: dict, above: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """The classes above each class."""
    found = {}
    for name, below in tree.items():
        found[name] = above
        found |= paths(below, (*above, name))
    return found


ABOVE = paths(TREE) | {"Tree": ()}


@dataclass
class Picture:
    """Boxes with a class and whether they are groups, verified labels, and detections; xyxy in fractions."""

    boxes: list[tuple[str, Box, bool]] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    detections: list[tuple[str, Box, float]] = field(default_factory=list)


def inner(a: Box, b: Box) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)


def area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def expanded(picture: Picture, hierarchy: bool) -> tuple[list[tuple[str, Box, bool]], set[str]]:
    """Boxes of all classes, and the classes that are evaluated."""
    if not hierarchy:
        return picture.boxes, {name for name, *_ in picture.boxes} | set(picture.labels)
    boxes = list(picture.boxes)
    boxes += [(above, box, group) for name, box, group in picture.boxes for above in ABOVE[name]]
    evaluated = {name for name, *_ in boxes}
    for name, sure in picture.labels.items():
        evaluated.add(name)
        evaluated |= set(ABOVE[name]) if sure else {other for other, above in ABOVE.items() if name in above}
    return boxes, evaluated


def one_picture(picture: Picture, name: str, hierarchy: bool) -> tuple[list[tuple[float, bool]], int]:
    """Scores with true or false, and the number of boxes and groups."""
    everything, evaluated = expanded(picture, hierarchy)
    boxes = [box for own, box, group in everything if own == name and not group]
    groups = [box for own, box, group in everything if own == name and group]
    found = [(box, score) for own, box, score in picture.detections if own == name]
    if name not in evaluated:
        return [], 0
    found.sort(key=lambda each: -each[1])
    taken: set[int] = set()
    results, credit = [], dict[int, float]()
    for box, score in found:
        overlaps = [inner(box, other) / (area(box) + area(other) - inner(box, other)) for other in boxes]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= 0.5 and best not in taken:
            taken.add(best)
            results.append((score, True))
            continue
        parts = [inner(box, other) / area(box) for other in groups]
        most = int(np.argmax(parts)) if parts else -1
        if most >= 0 and parts[most] >= 0.5:
            credit[most] = max(credit.get(most, 0), score)
        else:
            results.append((score, False))
    return results + [(score, True) for score in credit.values()], len(boxes) + len(groups)


def plain_ap(pictures: list[Picture], name: str, hierarchy: bool) -> float:
    parts = [one_picture(picture, name, hierarchy) for picture in pictures]
    positives = sum(count for _, count in parts)
    if not positives:
        return np.nan
    ranked = sorted((each for results, _ in parts for each in results), key=lambda each: -each[0])
    tp = fp = 0
    recall, precision = [0.0], [0.0]
    for _, true in ranked:
        tp, fp = tp + true, fp + (not true)
        recall.append(tp / positives)
        precision.append(tp / (tp + fp))
    recall.append(1.0)
    precision.append(0.0)
    for k in range(len(precision) - 2, -1, -1):
        precision[k] = max(precision[k], precision[k + 1])
    return sum((recall[k + 1] - recall[k]) * precision[k + 1] for k in range(len(recall) - 1))


def random_pictures(seed: int, count: int = 6) -> list[Picture]:
    """Boxes on a grid of 64ths, distinct scores."""
    rng = np.random.default_rng(seed)
    scores = iter((rng.permutation(2000) + 1) / 2001)
    names = list(CODES)
    pictures = []
    for _ in range(count):
        picture = Picture()
        for _ in range(rng.integers(0, 5)):
            x, y = rng.integers(0, 32, 2)
            w, h = rng.integers(6, 32, 2)
            name, group = str(rng.choice(names)), bool(rng.random() < 0.3)
            picture.boxes.append((name, tuple((np.array([x, y, x + w, y + h]) / 64).tolist()), group))
            for _ in range(rng.integers(0, 4)):
                size = np.array([w, h]) * (rng.choice([0.5, 1]) if group else 1)
                near = np.array([x, y, *(np.array([x, y]) + np.maximum(size.round(), 2))]) + rng.integers(
                    -2, 3, 4
                )
                near[2:] = np.maximum(near[2:], near[:2] + 1)
                kind = name if rng.random() < 0.6 else str(rng.choice([*ABOVE[name], str(rng.choice(names))]))
                picture.detections.append((kind, tuple((near / 64).clip(0, 1).tolist()), float(next(scores))))
        for name in rng.choice(names, rng.integers(0, 3), replace=False).tolist():
            picture.labels[name] = int(rng.random() < 0.5)
        pictures.append(picture)
    return pictures


def write(pictures: list[Picture], folder: Path, hierarchy: bool) -> tuple[Path, Path]:
    """The challenge's files, and a table of results."""
    data = folder / "data"
    data.mkdir(parents=True)
    boxes = [
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    ]
    labels, found = ["ImageID,Source,LabelName,Confidence"], ["ImageID,LabelName,Score,XMin,XMax,YMin,YMax"]
    for number, picture in enumerate(pictures):
        for name, (x0, y0, x1, y1), group in picture.boxes:
            boxes.append(f"i{number},x,{CODES[name]},1,{x0},{x1},{y0},{y1},0,0,{int(group)},0,0")
        labels += [f"i{number},verification,{CODES[name]},{sure}" for name, sure in picture.labels.items()]
        for name, (x0, y0, x1, y1), score in picture.detections:
            found.append(f"i{number},{CODES[name]},{score!r},{x0},{x1},{y0},{y1}")
    (data / "validation-detection-bbox.csv").write_text("\n".join(boxes))
    (data / "validation-detection-human-imagelabels.csv").write_text("\n".join(labels))
    for place in (data, folder):
        names = "\n".join(f"{code},{name}" for name, code in CODES.items())
        (place / "class-descriptions-500.csv").write_text(names)
    if hierarchy:
        tree = {"LabelName": "/m/entity", "Subcategory": nodes(TREE)}
        (data / "challenge-2019-label500-hierarchy.json").write_text(json.dumps(tree))
    (folder / "results.csv").write_text("\n".join(found))
    return data, folder / "results.csv"


def nodes(tree: dict) -> list[dict]:
    return [
        {"LabelName": CODES[name], "Part": [{"LabelName": CODES["Tree"]}]}
        | ({"Subcategory": nodes(below)} if below else {})
        for name, below in tree.items()
    ]


@pytest.mark.filterwarnings("ignore::metrics.errors.InputNote")
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), hierarchy=st.booleans())
def test_the_numbers_are_those_of_the_challenge(
    seed: int, hierarchy: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pictures = random_pictures(seed)
    pictures[0].boxes.append(("Owl", (0.0, 0.0, 0.25, 0.25), False))
    pictures[0].labels["Tree"] = 1
    kept = [p for p in pictures if p.boxes or p.labels]  # others are in no file of ground truth
    truth, found = write(kept, tmp_path_factory.mktemp("open_images"), hierarchy)
    evaluation = score_files(truth, found, protocol="open_images", class_map="drop")
    expected = {name: plain_ap(kept, name, hierarchy) for name in evaluation.matches.classes}
    for name, value in expected.items():
        assert evaluation.value("ap_open_images", name) == pytest.approx(value, abs=1e-12, nan_ok=True), name
    assert evaluation.value("ap_open_images") == pytest.approx(np.nanmean(list(expected.values())), abs=1e-12)


def test_a_group_gives_one_credit_and_ignores_the_rest(tmp_path: Path) -> None:
    group: Box = (0.0, 0.0, 0.5, 0.5)
    inside = [("Cat", (0.0, 0.0, 0.25, 0.25), 0.5), ("Cat", (0.25, 0.25, 0.5, 0.5), 0.75)]
    outside = [("Cat", (0.5, 0.5, 1.0, 1.0), 0.625)]
    files = write([Picture([("Cat", group, True)], {"Cat": 1}, inside + outside)], tmp_path, hierarchy=False)
    assert score_files(*files, protocol="open_images").value("ap_open_images") == 1
    outside = [("Cat", (0.5, 0.5, 1.0, 1.0), 0.875)]
    files = write(
        [Picture([("Cat", group, True)], {"Cat": 1}, inside + outside)], tmp_path / "b", hierarchy=False
    )
    assert score_files(*files, protocol="open_images").value("ap_open_images") == pytest.approx(0.5)


def score(pictures: list[Picture], folder: Path, hierarchy: bool = True) -> Evaluation:
    return score_files(*write(pictures, folder, hierarchy), protocol="open_images")


def test_a_label_that_is_present_is_present_for_the_classes_above(tmp_path: Path) -> None:
    box: Box = (0.0, 0.0, 0.5, 0.5)
    found = Picture([("Owl", box, False)], {"Owl": 1}, [("Animal", box, 0.5)])
    false = Picture([], {"Duck": 1}, [("Animal", box, 0.75)])
    assert score([found, false], tmp_path / "a").value("ap_open_images", "Animal") == pytest.approx(0.5)
    unlabelled = Picture([], {"Car": 1}, [("Animal", box, 0.75)])
    assert score([found, unlabelled], tmp_path / "b").value("ap_open_images", "Animal") == 1


def test_a_detection_whose_best_box_is_taken_gets_no_second_choice(tmp_path: Path) -> None:
    boxes = [("Cat", (0.0, 0.0, 0.5, 0.5), False), ("Cat", (0.125, 0.0, 0.625, 0.5), False)]
    found = [("Cat", (0.0, 0.0, 0.5, 0.5), 0.75), ("Cat", (0.03125, 0.0, 0.53125, 0.5), 0.5)]
    assert score([Picture(boxes, {"Cat": 1}, found)], tmp_path).value(
        "ap_open_images", "Cat"
    ) == pytest.approx(0.5)  # type: ignore[arg-type]


def test_without_verified_labels_the_protocol_is_refused_and_cocos_is_advised(tmp_path: Path) -> None:
    files = write(random_pictures(3), tmp_path, hierarchy=True)
    labels = files[0] / "validation-detection-human-imagelabels.csv"
    kept = labels.read_text()
    labels.unlink()
    with pytest.raises(
        InputError,
        match=r"protocol 'open_images': the ground truth has no verified labels.*ImageID, LabelName",
    ):
        score_files(*files, protocol="open_images", class_map="drop")
    assert score_files(*files, protocol="coco", class_map="drop").value("ap") >= 0  # both pieces of advice
    labels.write_text(kept)
    assert score_files(*files, protocol="open_images", class_map="drop").value("ap_open_images") >= 0


def test_expanded_tables_are_not_expanded_again(tmp_path: Path) -> None:
    files = write([Picture([("Duck", (0.0, 0.0, 0.5, 0.5), False)], {"Duck": 1})], tmp_path, hierarchy=True)
    boxes = files[0] / "validation-detection-bbox.csv"
    boxes.rename(files[0] / "validation-detection-bbox-expanded.csv")
    with pytest.warns(
        InputNote,
        match=r"hierarchy.json: not used, because validation-detection-bbox-expanded.csv is expanded",
    ):
        tables = read_files(*files)
    assert "ancestors" not in tables.truth.catalog.class_lists


def test_labels_and_hierarchy_survive_storage(tmp_path: Path) -> None:
    files = write(random_pictures(4), tmp_path, hierarchy=True)
    tables = read_files(*files, class_map="drop")
    assert tables.protocol is None
    tables.truth.save(tmp_path / "truth.parquet")
    again = AnnotationTable.load(tmp_path / "truth.parquet")
    assert again.catalog.class_lists == tables.truth.catalog.class_lists
    assert again.catalog.image_classes == tables.truth.catalog.image_classes
    value = evaluate(again, tables.detections, protocol="open_images").value("ap_open_images")
    assert value == evaluate(tables.truth, tables.detections, protocol="open_images").value("ap_open_images")


def test_fault_103_damaged_labels_and_hierarchies_are_refused(tmp_path: Path) -> None:
    files = write(random_pictures(5), tmp_path, hierarchy=True)
    hierarchy = files[0] / "challenge-2019-label500-hierarchy.json"
    kept = hierarchy.read_text()
    hierarchy.write_text('{"LabelName": "/m/entity", "Subcategory": [{"Name": 1}]}')
    with pytest.raises(
        InputError, match=r"hierarchy.json: /m/entity: Subcategory\[0\]: expected an object with LabelName"
    ):
        score_files(*files, protocol="open_images", class_map="drop")
    hierarchy.write_text(kept)
    labels = files[0] / "validation-detection-human-imagelabels.csv"
    labels.write_text(f"ImageID,Source,LabelName,Confidence\ni0,x,{CODES['Cat']},yes\n")
    with pytest.raises(
        InputError, match=r"imagelabels.csv:2: Confidence: expected a finite number, got 'yes'"
    ):
        score_files(*files, protocol="open_images", class_map="drop")


def test_the_command_prints_the_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = random_pictures(6)
    kept = [picture for picture in pictures if picture.boxes or picture.labels]
    files = write(kept, tmp_path, hierarchy=True)
    assert main([*map(str, files), "--protocol", "open_images", "--class-map", "drop"]) == 0
    assert f"{np.nanmean([plain_ap(kept, name, True) for name in CODES]):.6f}" in capsys.readouterr().out
