"""KITTI's protocol against plain loops after the published definition, one score threshold at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import AnnotationTable, Catalog, DetectionTable, evaluate
from metrics.command_line import main
from metrics.errors import InputError
from metrics.evaluated_files import score_files

LIMITS = {"easy": (40, 0, 0.15), "moderate": (25, 1, 0.3), "hard": (25, 2, 0.5)}
OVERLAP = {"Car": 0.7, "Pedestrian": 0.5, "Cyclist": 0.5}
NEIGHBOUR = {"Car": "Van", "Pedestrian": "Person_sitting"}
CLASSES = ["Car", "Cyclist", "Pedestrian", "Person_sitting", "Van"]


@dataclass
class Object:
    """A line of ``label_2``, or of a result file with a score."""

    kind: str
    box: tuple[float, float, float, float]
    truncation: float = 0.0
    occlusion: int = 0
    score: float = 0.0

    def line(self, scored: bool) -> str:
        box = " ".join(f"{value:.2f}" for value in self.box)
        tail = f" {self.score:.4f}" if scored else ""
        return f"{self.kind} {self.truncation:.2f} {self.occlusion} -10 {box} -1 -1 -1 -1000 -1000 -1000 -10{tail}"


@dataclass
class Frame:
    """An image."""

    objects: list[Object] = field(default_factory=list)
    detections: list[Object] = field(default_factory=list)


def intersection(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)


def area(box: tuple[float, ...]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    inner = intersection(a, b)
    return inner / (area(a) + area(b) - inner) if inner else 0.0


def states(frame: Frame, kind: str, level: str) -> tuple[list[int], list[int]]:
    """For objects and detections: 0 counts, 1 is ignored, -1 does not exist for this class."""
    height, occlusion, truncation = LIMITS[level]
    objects = []
    for each in frame.objects:
        hard = (
            each.occlusion > occlusion or each.truncation > truncation or each.box[3] - each.box[1] <= height
        )
        if each.kind == kind:
            objects.append(1 if hard else 0)
        else:
            objects.append(1 if each.kind == NEIGHBOUR.get(kind) else -1)
    found = []
    for each in frame.detections:
        found.append(1 if each.box[3] - each.box[1] < height else 0 if each.kind == kind else -1)
    return objects, found


def first_pass(frame: Frame, kind: str, level: str) -> list[float]:
    objects, found = states(frame, kind, level)
    assigned = [False] * len(found)
    scores = []
    for each, state in zip(frame.objects, objects, strict=True):
        if state == -1:
            continue
        best, top = -1, -1e7
        for j, other in enumerate(frame.detections):
            if (
                found[j] != -1
                and not assigned[j]
                and iou(other.box, each.box) > OVERLAP[kind]
                and other.score > top
            ):
                best, top = j, other.score
        if best >= 0:
            assigned[best] = True
            if state == 0 and found[best] == 0:
                scores.append(top)
    return scores


def count(frame: Frame, kind: str, level: str, threshold: float) -> tuple[int, int]:
    objects, found = states(frame, kind, level)
    below = [other.score < threshold for other in frame.detections]
    assigned = [False] * len(found)
    tp = 0
    for each, state in zip(frame.objects, objects, strict=True):
        if state == -1:
            continue
        best, most, took_ignored = -1, 0.0, False
        for j, other in enumerate(frame.detections):
            if found[j] == -1 or assigned[j] or below[j]:
                continue
            overlap = iou(other.box, each.box)
            if overlap <= OVERLAP[kind]:
                continue
            if found[j] == 0 and (overlap > most or took_ignored):
                best, most, took_ignored = j, overlap, False
            elif found[j] == 1 and best < 0:
                best, took_ignored = j, True
        if best >= 0:
            assigned[best] = True
            tp += state == 0 and found[best] == 0
    fp = 0
    for j, other in enumerate(frame.detections):
        if found[j] == 0 and not assigned[j] and not below[j]:
            inside = any(
                region.kind == "DontCare"
                and intersection(other.box, region.box) / area(other.box) > OVERLAP[kind]
                for region in frame.objects
            )
            fp += not inside
    return tp, fp


def plain_ap(frames: list[Frame], kind: str, level: str) -> float:
    positives = sum(states(frame, kind, level)[0].count(0) for frame in frames)
    if not positives:
        return np.nan
    scores = sorted((score for frame in frames for score in first_pass(frame, kind, level)), reverse=True)
    thresholds, current = [], 0.0
    for i, score in enumerate(scores):
        left = (i + 1) / positives
        right = (i + 2) / positives if i < len(scores) - 1 else left
        if right - current < current - left and i < len(scores) - 1:
            continue
        thresholds.append(score)
        current += 1 / 40
    precision = [0.0] * 41
    for t, threshold in enumerate(thresholds):
        tp, fp = np.sum([count(frame, kind, level, threshold) for frame in frames], axis=0)
        precision[t] = tp / (tp + fp) if tp + fp else 0.0
    return float(np.mean([max(precision[i:]) for i in range(1, 41)]))


def tables(frames: list[Frame]) -> tuple[AnnotationTable, DetectionTable]:
    """The frames as tables, DontCare regions as crowds of each class."""
    catalog = Catalog.of(range(len(frames)), CLASSES)
    rows = [
        (i, CLASSES.index(kind), each)
        for i, frame in enumerate(frames)
        for each in frame.objects
        for kind in ([each.kind] if each.kind != "DontCare" else CLASSES)
    ]
    boxes = np.array([each.box for *_, each in rows]).reshape(-1, 4)
    truth = AnnotationTable.of(
        catalog, [row[0] for row in rows], [row[1] for row in rows], np.c_[boxes[:, :2], boxes[:, 2:] - boxes[:, :2]],
        crowd=np.array([each.kind == "DontCare" for *_, each in rows], bool),
    )  # fmt: skip
    columns = {
        "truncation": np.array([each.truncation for *_, each in rows], float),
        "occlusion": np.array([each.occlusion for *_, each in rows], float),
    }
    truth = AnnotationTable(catalog, *truth.columns().values(), object_columns=columns)
    found = [(i, each) for i, frame in enumerate(frames) for each in frame.detections]
    boxes = np.array([each.box for _, each in found]).reshape(-1, 4)
    detections = DetectionTable(
        catalog,
        np.array([i for i, _ in found], np.int32),
        np.array([CLASSES.index(each.kind) for _, each in found], np.int32),
        np.c_[boxes[:, :2], boxes[:, 2:] - boxes[:, :2]],
        np.array([each.score for _, each in found], float),
    )
    return truth, detections


def random_frames(seed: int, images: int = 6, objects: int = 8) -> list[Frame]:
    """Frames of whole pixels, with objects, detections near them, others, and DontCare regions."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(images):
        frame = Frame()
        for _ in range(rng.integers(0, objects)):
            x, y = rng.integers(0, 300, 2)
            w, h = rng.integers(15, 90), rng.choice([20, 24, 25, 26, 39, 40, 41, 60, 80])
            kind = str(rng.choice([*CLASSES, "Car", "Car", "Pedestrian", "DontCare"]))
            truncation, occlusion = float(rng.choice([0, 0.15, 0.2, 0.3, 0.4, 0.6])), int(rng.integers(0, 4))
            occlusion *= int(rng.random() < 0.6)
            box = tuple(map(float, (x, y, x + w, y + h)))
            frame.objects.append(Object(kind, box, truncation * (rng.random() < 0.5), occlusion))  # type: ignore[arg-type]
            for _ in range(rng.integers(0, 4)):
                near = np.array(box) + rng.integers(-3, 4, 4)
                other = kind if kind in CLASSES and rng.random() < 0.8 else str(rng.choice(CLASSES))
                score = float(rng.integers(0, 30)) / 30
                frame.detections.append(Object(other, tuple(map(float, near)), score=score))  # type: ignore[arg-type]
        frames.append(frame)
    return frames


def assert_equal_to_plain_loops(frames: list[Frame]) -> None:
    evaluation = evaluate(*tables(frames), protocol="kitti")
    for level in LIMITS:
        expected = {kind: plain_ap(frames, kind, level) for kind in OVERLAP}
        for kind, value in expected.items():
            assert evaluation.value(f"ap40_{level}", kind) == pytest.approx(value, abs=1e-12, nan_ok=True), (
                level,
                kind,
            )
        defined = [value for value in expected.values() if not np.isnan(value)]
        mean = evaluation.value(f"ap40_{level}")
        assert mean == pytest.approx(np.mean(defined), abs=1e-12) if defined else np.isnan(mean)


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_the_numbers_are_those_of_the_definition(seed: int) -> None:
    assert_equal_to_plain_loops(random_frames(seed))


def test_the_numbers_are_those_of_the_definition_with_more_objects_than_positions() -> None:
    assert_equal_to_plain_loops(random_frames(7, images=30, objects=14))


@pytest.mark.parametrize(
    ("change", "level", "counts"),
    [
        ({"box": (0, 0, 50, 40)}, "easy", False),  # an object must be higher than 40
        ({"box": (0, 0, 50, 41)}, "easy", True),
        ({"box": (0, 0, 50, 25)}, "hard", False),
        ({"truncation": 0.15}, "easy", True),
        ({"truncation": 0.16}, "easy", False),
        ({"occlusion": 1}, "easy", False),
        ({"occlusion": 1}, "moderate", True),
        ({"occlusion": 3}, "hard", False),
    ],
)
def test_an_object_counts_by_its_height_truncation_and_occlusion(
    change: dict, level: str, counts: bool
) -> None:
    truth = Object(**({"kind": "Car", "box": (0, 0, 50, 60)} | change))
    # 40 objects reach every position
    frames = [Frame([truth], [Object("Car", truth.box, score=0.9 - number / 100)]) for number in range(40)]
    value = evaluate(*tables(frames), protocol="kitti").value(f"ap40_{level}", "Car")
    assert (
        value == pytest.approx(39 / 40) if counts else np.isnan(value)
    )  # the first of 40 scores is position 0


def write_frames(frames: list[Frame], folder: Path) -> tuple[Path, Path]:
    """``label_2`` and a folder of results."""
    truth, found = folder / "training" / "label_2", folder / "results" / "data"
    truth.mkdir(parents=True)
    found.mkdir(parents=True)
    for number, frame in enumerate(frames):
        (truth / f"{number:06}.txt").write_text("".join(f"{each.line(False)}\n" for each in frame.objects))
        (found / f"{number:06}.txt").write_text("".join(f"{each.line(True)}\n" for each in frame.detections))
    return folder / "training", folder / "results"


def test_files_of_kitti_give_the_numbers_of_the_definition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = random_frames(11, images=12)
    for frame in frames:  # scores as in the files
        for each in frame.detections:
            each.score = round(each.score, 4)
    paths = write_frames(frames, tmp_path)
    ours = score_files(*paths, protocol="kitti")
    for level in LIMITS:
        for kind in OVERLAP:
            expected = plain_ap(frames, kind, level)
            assert ours.value(f"ap40_{level}", kind) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert main([*map(str, paths), "--protocol", "kitti"]) == 0
    printed = capsys.readouterr().out
    assert f"{plain_ap(frames, 'Car', 'moderate'):.6f}" in printed


def test_occlusion_and_truncation_survive_selection_and_storage(tmp_path: Path) -> None:
    truth, _ = tables(random_frames(3))
    truth.save(tmp_path / "truth.parquet")
    again = AnnotationTable.load(tmp_path / "truth.parquet")
    assert again.fingerprint == truth.fingerprint
    half = again.select([0, 2])
    kept = np.isin(truth.image, [0, 2])
    for name, column in truth.object_columns.items():
        np.testing.assert_array_equal(again.object_columns[name], column)
        np.testing.assert_array_equal(half.object_columns[name], column[kept])
    other = {name: column + 1 for name, column in truth.object_columns.items()}
    assert (
        AnnotationTable(truth.catalog, *truth.columns().values(), object_columns=other).fingerprint
        != truth.fingerprint
    )
    with pytest.raises(InputError, match="expected one per object"):
        AnnotationTable(truth.catalog, *truth.columns().values(), object_columns={"occlusion": np.zeros(1)})


def test_ground_truth_without_occlusion_is_refused() -> None:
    truth, detections = tables(random_frames(3))
    plain = AnnotationTable(truth.catalog, *truth.columns().values())
    with pytest.raises(
        InputError, match=r"protocol 'kitti': the ground truth has no occlusion.*--protocol coco"
    ):
        evaluate(plain, detections, protocol="kitti")
    assert evaluate(plain, detections, protocol="coco").value("ap") >= 0  # the advice
