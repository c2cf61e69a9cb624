"""CrowdHuman's protocol against plain loops after the published definitions, and Dollar's miss rate in closed form."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics import AnnotationTable, Catalog, DetectionTable, evaluate
from metrics.errors import InputError, InputNote
from metrics.evaluated_files import score_files

Box = tuple[float, float, float, float]
SIZE = (120, 160)
"""(height, width) of all images."""

REFERENCES = [0.0100, 0.0178, 0.03160, 0.0562, 0.1000, 0.1778, 0.3162, 0.5623, 1.000]


@dataclass
class Picture:
    """Persons with a flag that they are ignored, masks, and detections with scores; xyxy."""

    persons: list[tuple[Box, bool]] = field(default_factory=list)
    masks: list[Box] = field(default_factory=list)
    detections: list[tuple[Box, float]] = field(default_factory=list)

    def regions(self) -> list[Box]:
        return [clip(box) for box, ignored in self.persons if ignored] + [clip(box) for box in self.masks]

    def valid(self) -> list[Box]:
        return [clip(box) for box, ignored in self.persons if not ignored]


def clip(box: Box) -> Box:
    height, width = SIZE
    x0, y0 = min(max(box[0], 0), width - 1), min(max(box[1], 0), height - 1)
    return x0, y0, max(min(box[2], width), 0), max(min(box[3], height), 0)


def inner(a: Box, b: Box) -> float:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)


def area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(a: Box, b: Box) -> float:
    return inner(a, b) / (area(a) + area(b) - inner(a, b)) if inner(a, b) else 0.0


def covered(a: Box, b: Box) -> float:
    return inner(a, b) / area(a) if inner(a, b) else 0.0


def matched(pictures: list[Picture]) -> list[bool]:
    """Whether each detection that counts, by falling score over all pictures, is true."""
    found = []
    for picture in pictures:
        free = picture.valid()
        for box, score in sorted(picture.detections, key=lambda each: -each[1]):
            own = clip(box)
            best, most = None, 0.5
            for person in free:
                if iou(own, person) > most:
                    best, most = person, iou(own, person)
            if best is not None:
                free.remove(best)
                found.append((score, True))
            elif not any(covered(own, region) > 0.5 for region in picture.regions()):
                found.append((score, False))
    return [true for _, true in sorted(found, key=lambda each: -each[0])]


def plain_numbers(pictures: list[Picture]) -> dict[str, float]:
    persons = sum(len(picture.valid()) for picture in pictures)
    tp = fp = 0
    rate, missed, precision, recall = [], [], [], []
    for true in matched(pictures):
        tp, fp = tp + true, fp + (not true)
        rate.append(fp / len(pictures))
        missed.append(1 - tp / persons)
        precision.append(tp / (tp + fp))
        recall.append(tp / persons)
    first, last = [], []
    for reference, exact in zip(REFERENCES, 10.0 ** np.arange(-2, 0.1, 0.25), strict=True):
        at = next((i for i, each in enumerate(rate) if each >= reference), len(rate) - 1)
        first.append(missed[at] if missed else 1.0)
        below = [miss for each, miss in zip(rate, missed, strict=True) if each <= exact]
        last.append(max(below[-1] if below else 1.0, 1e-10))
    with np.errstate(divide="ignore"):
        return {
            "mr2": float(np.exp(np.mean(np.log(first)))),
            "mr2_caltech": float(np.exp(np.mean(np.log(last)))),
            "ap_crowdhuman": sum(
                (recall[k] - recall[k - 1]) * (precision[k] + precision[k - 1]) / 2
                for k in range(1, len(recall))
            ),
            "ji": max(mean_jaccard(pictures, 0.1 * k) for k in range(10)),
        }


def best_pairs(found: list[Box], persons: list[Box]) -> list[tuple[int, int]]:
    """The one-to-one pairs with an IoU above 0.5 and the highest sum of IoU, by trying all of them."""
    best: tuple[float, list[tuple[int, int]]] = (0.0, [])
    for size in range(1, min(len(found), len(persons)) + 1):
        for rows in combinations(range(len(found)), size):
            for objects in permutations(range(len(persons)), size):
                pairs = list(zip(rows, objects, strict=True))
                overlaps = [iou(found[i], persons[j]) for i, j in pairs]
                if min(overlaps) > 0.5 and sum(overlaps) > best[0]:
                    best = sum(overlaps), pairs
    return best[1]


def mean_jaccard(pictures: list[Picture], threshold: float) -> float:
    ratios = []
    for picture in pictures:
        found = [clip(box) for box, score in picture.detections if score > threshold]
        persons, regions = picture.valid(), picture.regions()
        pairs = best_pairs(found, persons)
        rows, objects = {i for i, _ in pairs}, {j for _, j in pairs}
        lost = [
            i for i, box in enumerate(found) if i not in rows and any(covered(box, r) > 0.5 for r in regions)
        ]
        gone = [
            j
            for j, box in enumerate(persons)
            if j not in objects and any(covered(box, r) > 0.5 for r in regions)
        ]
        n, m, k = len(found) - len(lost), len(persons) - len(gone), len(pairs)
        if n + m:
            ratios.append(k / (n + m - k))
    return float(np.mean(ratios)) if ratios else 0.0


def tables(pictures: list[Picture], sizes: bool = True) -> tuple[AnnotationTable, DetectionTable]:
    catalog = Catalog.of(range(len(pictures)), ["person"], [SIZE] * len(pictures) if sizes else None)
    rows = [(i, box, ignored, False) for i, each in enumerate(pictures) for box, ignored in each.persons]
    rows += [(i, box, False, True) for i, each in enumerate(pictures) for box in each.masks]
    found = [(i, box, score) for i, each in enumerate(pictures) for box, score in each.detections]
    truth = AnnotationTable.of(
        catalog, np.array([row[0] for row in rows], int), np.zeros(len(rows), int), xywh([row[1] for row in rows]),
        ignored=np.array([row[2] for row in rows], bool), crowd=np.array([row[3] for row in rows], bool),
    )  # fmt: skip
    return truth, DetectionTable(
        catalog,
        np.array([row[0] for row in found], np.int32),
        np.zeros(len(found), np.int32),
        xywh([row[1] for row in found]),
        np.array([row[2] for row in found], float),
    )


def xywh(boxes: list[Box]) -> np.ndarray:
    corners = np.array(boxes, float).reshape(-1, 4)
    return np.c_[corners[:, :2], corners[:, 2:] - corners[:, :2]]


def random_pictures(seed: int, count: int = 5) -> list[Picture]:
    """Whole pixels, also beyond the border; at most five detections of a picture, and distinct scores."""
    rng = np.random.default_rng(seed)
    scores = iter(rng.permutation(1000) / 1000)
    pictures = []
    for _ in range(count):
        picture = Picture()
        for _ in range(rng.integers(0, 5)):
            x, y = rng.integers(-15, 120, 2).tolist()
            w, h = rng.integers(15, 50, 2).tolist()
            box = (float(x), float(y), float(x + w), float(y + h))
            kind = rng.random()
            if kind < 0.15:
                picture.masks.append(box)
            else:
                picture.persons.append((box, kind < 0.3))
            for _ in range(rng.integers(0, 3)):
                if len(picture.detections) < 5:
                    near = tuple((np.array(box) + rng.integers(-5, 6, 4)).tolist())
                    picture.detections.append((near, float(next(scores))))
        pictures.append(picture)
    return pictures


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_the_numbers_are_those_of_the_definitions(seed: int) -> None:
    pictures = random_pictures(seed)
    evaluation = evaluate(*tables(pictures), protocol="crowdhuman")
    if not any(picture.valid() for picture in pictures):
        assert np.isnan(evaluation.value("mr2"))
        return
    for name, value in plain_numbers(pictures).items():
        assert evaluation.value(name, "person") == pytest.approx(value, abs=1e-12), name
        assert evaluation.value(name) == pytest.approx(value, abs=1e-12), name


def test_miss_rates_in_closed_form() -> None:
    # 100 pictures with a person each, 50 found, then one false positive per picture: at every reference half are missed
    box = (10.0, 10.0, 40.0, 100.0)
    pictures = [Picture([(box, False)], [], [(box, 0.9)] if k < 50 else []) for k in range(100)]
    for k, picture in enumerate(pictures):
        picture.detections.append(((100.0, 10.0, 130.0, 100.0), 0.5 - k / 1000))
    evaluation = evaluate(*tables(pictures), protocol="crowdhuman")
    assert evaluation.value("mr2") == pytest.approx(0.5)
    assert evaluation.value("mr2_caltech") == pytest.approx(0.5)
    assert evaluation.value("ji") == pytest.approx((50 * 1 + 50 * 0) / 100)  # at a threshold of 0.5 or more
    rows = {row.name: row.higher_is_better for row in evaluation.rows}
    assert rows == {"mr2": False, "mr2_caltech": False, "ap_crowdhuman": True, "ji": True}


def test_without_detections_everything_is_missed() -> None:
    evaluation = evaluate(*tables([Picture([((0, 0, 9, 9), False)])]), protocol="crowdhuman")
    assert [evaluation.value(name) for name in ("mr2", "mr2_caltech", "ap_crowdhuman", "ji")] == [1, 1, 0, 0]


@pytest.mark.filterwarnings("ignore::metrics.errors.InputWarning")  # boxes beyond the border
def test_files_of_crowdhuman_give_the_numbers_of_the_definitions(tmp_path: Path) -> None:
    pictures = random_pictures(1, count=8)
    truth, found = tmp_path / "annotation_val.odgt", tmp_path / "dump.odgt"
    lines, results = [], []
    for number, picture in enumerate(pictures):
        boxes = [
            {"tag": "person", "fbox": xywh([box])[0].tolist(), "extra": {"ignore": int(ignored)}}
            for box, ignored in picture.persons
        ] + [
            {"tag": "mask", "fbox": xywh([box])[0].tolist(), "extra": {"ignore": 1}} for box in picture.masks
        ]
        lines.append({"ID": f"{number},a", "gtboxes": boxes, "height": SIZE[0], "width": SIZE[1]})
        found_boxes = [
            {"box": xywh([box])[0].tolist(), "score": score, "tag": 1} for box, score in picture.detections
        ]
        results.append({"ID": f"{number},a", "dtboxes": found_boxes})
    truth.write_text("\n".join(map(json.dumps, lines)))
    found.write_text("\n".join(map(json.dumps, results)))
    ours = score_files(truth, found, protocol="crowdhuman")
    for name, value in plain_numbers(pictures).items():
        assert ours.value(name) == pytest.approx(value, abs=1e-12), name
    found.write_text('{"ID": "0,a", "dtboxes": [{"box": [1, 2, 3], "score": 1}]}')
    with (
        pytest.warns(),
        pytest.raises(InputError, match=r"dump.odgt:1: dtboxes\[0\]: box: expected four numbers"),
    ):
        score_files(truth, found, protocol="crowdhuman")


def test_boxes_are_not_clipped_where_sizes_are_unknown() -> None:
    picture = Picture([((-40.0, 0, 40, 40), False)], [], [((0.0, 0, 40, 40), 0.9)])
    assert evaluate(*tables([picture]), protocol="crowdhuman").value("mr2") == 0
    with pytest.warns(InputNote, match="1 image has no size"):
        evaluation = evaluate(*tables([picture], sizes=False), protocol="crowdhuman")
    assert evaluation.value("mr2") == 1  # an IoU of exactly one half does not exceed it
