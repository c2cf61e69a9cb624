"""The confusion matrix adds up, and each convention equals a plain loop over each image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from strategies import SCORES, Scene, random_scene, scenes, with_detections

from metrics.errors import InputError
from metrics.evaluator import evaluate
from metrics.iou import box_iou
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.measures.confusion import (
    UNPAIRED,
    Confusion,
    ConfusionMatrix,
    Convention,
    confusion,
    confusion_matrix,
)
from metrics.tables import AnnotationTable, Catalog, DetectionTable

CONVENTIONS: tuple[Convention, ...] = ("two_pass", "ultralytics", "supervision", "yolov5")


def scene(objects: list[tuple[int, list[float]]], found: list[tuple[int, list[float], float]]) -> Scene:
    """One image, three classes; objects as (label, xywh), detections as (label, xywh, score)."""
    catalog = Catalog.of([1], ["cat", "dog", "cow"])
    truth = AnnotationTable.of(
        catalog, [0] * len(objects), [label for label, _ in objects], [box for _, box in objects]
    )
    boxes = np.array([box for _, box, _ in found], float).reshape(-1, 4)
    labels, scores = [label for label, _, _ in found], [score for _, _, score in found]
    return Scene(
        truth,
        DetectionTable(
            catalog, np.zeros(len(found), int), np.array(labels, int), boxes, np.array(scores, float)
        ),
    )


def matrix_of(scene: Scene, **settings: object) -> ConfusionMatrix:
    return confusion_matrix(match(scene.truth, scene.detections), **settings)  # type: ignore[arg-type]


def brute_force(scene: Scene, convention: str, score: float, iou: float) -> NDArray[np.int64]:
    """Each convention as a loop over images, objects and detections; no crowds, no ignored objects."""
    truth, found = scene.truth, scene.detections
    background = len(truth.catalog.classes)
    matrix = np.zeros((background + 1, background + 1), np.int64)
    for image in range(len(truth.catalog.image_ids)):
        objects = np.flatnonzero(truth.image == image)
        strict = convention in ("ultralytics", "yolov5")
        kept = found.score > score if strict else found.score >= score
        rows = np.flatnonzero((found.image == image) & kept)
        overlap = box_iou(truth.boxes[objects], found.boxes[rows])
        pairs = PAIRINGS[convention](overlap, truth.label[objects], found.label[rows], found.score[rows], iou)
        for g, label in enumerate(truth.label[objects]):
            matrix[label, found.label[rows[pairs[g]]] if g in pairs else background] += 1
        for d, label in enumerate(found.label[rows]):
            if d not in pairs.values():
                matrix[background, label] += 1
    return matrix


Table = NDArray[np.float64]
Labels = NDArray[np.int32]


def two_pass(overlap: Table, objects: Labels, labels: Labels, scores: Table, iou: float) -> dict[int, int]:
    pairs: dict[int, int] = {}
    for d in np.argsort(-scores, kind="stable"):
        free = [
            g
            for g in range(len(objects))
            if g not in pairs and objects[g] == labels[d] and overlap[g, d] >= iou
        ]
        if free:
            pairs[max(free, key=lambda g: (overlap[g, d], g))] = int(
                d
            )  # of equal ones the later, as COCO has it
    own = [max(overlap[objects == label, d], default=0.0) for d, label in enumerate(labels)]
    while True:
        left = [
            (overlap[g, d], scores[d], -d, -g)
            for g in range(len(objects))
            for d in range(len(labels))
            if g not in pairs and d not in pairs.values() and overlap[g, d] >= iou
            if not 0.1 <= own[d] < iou  # a localization error
        ]
        if not left:
            return pairs
        _, _, d, g = max(left)
        pairs[-g] = -d


def ultralytics(overlap: Table, objects: Labels, labels: Labels, scores: Table, iou: float) -> dict[int, int]:
    pairs: dict[int, int] = {}
    for d in np.argsort(-scores, kind="stable"):
        free = [g for g in range(len(objects)) if g not in pairs and overlap[g, d] > iou]
        if free:
            pairs[max(free, key=lambda g: (overlap[g, d], -g))] = int(d)
    return pairs


def supervision(overlap: Table, objects: Labels, labels: Labels, scores: Table, iou: float) -> dict[int, int]:
    pairs: dict[int, int] = {}
    near = [(g, d) for g in range(len(objects)) for d in range(len(labels)) if overlap[g, d] > iou]
    for g, d in sorted(near, key=lambda pair: (objects[pair[0]] != labels[pair[1]], -overlap[pair])):
        if g not in pairs and d not in pairs.values():
            pairs[g] = d
    return pairs


def yolov5(overlap: Table, objects: Labels, labels: Labels, scores: Table, iou: float) -> dict[int, int]:
    chosen: dict[int, list[int]] = {}
    for d in range(len(labels)):
        if len(objects) and overlap[:, d].max() > iou:
            chosen.setdefault(int(overlap[:, d].argmax()), []).append(d)
    return {g: max(who, key=lambda d: (overlap[g, d], -d)) for g, who in chosen.items()}


PAIRINGS = {
    "two_pass": two_pass, "ultralytics": ultralytics, "supervision": supervision, "yolov5": yolov5
}  # fmt: skip


def without_crowds(scene: Scene) -> Scene:
    scene.truth.crowd[:] = False
    return scene


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(scene=scenes(), score=st.sampled_from(SCORES), iou=st.sampled_from((0.3, 0.5, 0.7)))
def test_each_convention_equals_a_plain_loop(
    convention: Convention, scene: Scene, score: float, iou: float
) -> None:
    scene = without_crowds(scene)
    rule = MatchRule(iou_thresholds=(0.3, 0.5, 0.7), area_ranges={"all": (0, 1e11)})
    ours = confusion_matrix(match(scene.truth, scene.detections, rule), score, iou, convention=convention)
    assert_array_equal(ours.counts, brute_force(scene, convention, score, iou))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_each_convention_equals_a_plain_loop_on_a_crowded_scene(convention: Convention) -> None:
    scene = random_scene(7, images=4, classes=6, objects=150, detections=900, side=40.0, crowds=0.0)
    scene.detections.label[:] = np.random.default_rng(7).integers(0, 6, 900)
    matches = match(scene.truth, scene.detections, MatchRule(iou_thresholds=(0.2,)))
    ours = confusion_matrix(matches, 0.3, 0.2, convention=convention)
    assert_array_equal(ours.counts, brute_force(scene, convention, 0.3, 0.2))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_an_iou_equal_to_the_threshold_suffices_only_for_two_pass(convention: Convention) -> None:
    half = scene([(0, [0, 0, 10, 10])], [(1, [0, 0, 10, 5], 0.9)])
    pairs = matrix_of(half, convention=convention, iou=0.5).counts[0, 1]
    assert pairs == (convention == "two_pass")


@given(scenes(ignored=True), st.sampled_from(SCORES))
def test_rows_add_up_to_objects_and_columns_to_detections(scene: Scene, score: float) -> None:
    matches = match(scene.truth, scene.detections)
    outcome = matches.at(0.5)
    matrix = confusion_matrix(matches, score)
    counts = ~outcome.ignored & (outcome.score >= score)
    detections = np.bincount(outcome.label[counts], minlength=len(matches.classes))
    assert_array_equal(matrix.counts.sum(1)[:-1], outcome.positives)
    assert_array_equal(matrix.counts.sum(0)[:-1], detections)
    assert_array_equal(matrix.objects, matrix.counts.sum(1))
    assert_array_equal(matrix.detections, matrix.counts.sum(0))
    assert matrix.counts[-1, -1] == 0
    pairs = matrix.counts[:-1, :-1].sum()
    assert matrix.counts.sum() == outcome.positives.sum() + detections.sum() - pairs


@given(scenes(ignored=True), st.sampled_from(SCORES))
def test_the_diagonal_is_cocos_true_positives(scene: Scene, score: float) -> None:
    matches = match(scene.truth, scene.detections)
    outcome = matches.at(0.5)
    true = outcome.label[outcome.tp & (outcome.score >= score)]
    assert_array_equal(
        confusion_matrix(matches, score).correct, np.bincount(true, minlength=len(matches.classes))
    )


@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_of_detections_does_not_matter_without_ties(scene: Scene, random: object) -> None:
    scene.detections.score[:] = np.linspace(0.9, 0.1, len(scene.detections))
    rows = np.arange(len(scene.detections))
    random.shuffle(rows)  # type: ignore[attr-defined]
    assert_array_equal(
        matrix_of(scene, score=0.2).counts, matrix_of(with_detections(scene, rows), score=0.2).counts
    )


def test_a_better_box_of_a_wrong_class_does_not_take_the_object() -> None:
    both = scene([(0, [0, 0, 10, 10])], [(1, [0, 0, 10, 10], 0.9), (0, [0, 0, 10, 8], 0.6)])
    assert matrix_of(both).counts.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert matrix_of(both, convention="supervision").counts[0, 0] == 1
    for convention in ("ultralytics", "yolov5"):
        counts = matrix_of(both, convention=convention).counts
        assert counts[0, 1] == 1
        assert counts[3, 0] == 1


def test_detections_in_a_crowd_or_on_an_ignored_object_are_left_out() -> None:
    one = scene([(0, [0, 0, 10, 10])], [(0, [0, 0, 10, 10], 0.9), (0, [1, 1, 8, 8], 0.8)])
    one.truth.crowd[:] = True
    assert matrix_of(one).counts.sum() == 0
    one.truth.crowd[:] = False
    one.truth.ignored[:] = True
    assert matrix_of(one).counts.sum() == 1  # an ignored object is taken once: the second lies on empty


def test_the_most_frequent_confusions_come_first() -> None:
    box = [[float(20 * place), 0.0, 10.0, 10.0] for place in range(6)]
    objects = [(0, box[0]), (0, box[1]), (1, box[2]), (2, box[3]), (2, box[4])]
    found = [(1, box[0], 0.9), (1, box[1], 0.9), (2, box[2], 0.9), (2, box[3], 0.9), (0, box[5], 0.9)]
    matrix = matrix_of(scene(objects, found))
    assert matrix.top() == [
        Confusion("cat", "dog", "classification", 2, 1.0),
        Confusion("dog", "cow", "classification", 1, 1.0),
    ]
    assert matrix.top(1) == [Confusion("cat", "dog", "classification", 2, 1.0)]
    assert matrix.top(unpaired=True)[2:] == [
        Confusion("cow", UNPAIRED, "", 1, 0.5),
        Confusion(UNPAIRED, "cat", "background", 1, 1.0),
    ]
    frame = matrix.to_frame()
    assert list(frame.columns) == ["true", "predicted", "error_type", "count", "share"]
    assert frame["count"].sum() == matrix.counts.sum()


def test_rates_are_shares_of_objects_or_detections() -> None:
    box = [[float(20 * place), 0.0, 10.0, 10.0] for place in range(6)]
    objects = [(0, box[0]), (0, box[1]), (0, box[2]), (1, box[3])]
    found = [(0, box[0], 0.9), (1, box[1], 0.9), (1, box[4], 0.9), (1, box[5], 0.9)]
    one = scene(objects, found)
    evaluation = evaluate(one.truth, one.detections, ["confusion"])
    assert evaluation.value("class_accuracy") == 1 / 2
    assert evaluation.value("missed") == 2 / 4
    assert evaluation.value("unpaired") == 2 / 4
    assert evaluation.value("missed", "cat") == 1 / 3
    assert evaluation.value("unpaired", "dog") == 2 / 3
    assert math.isnan(evaluation.value("class_accuracy", "dog"))
    assert math.isnan(evaluation.value("missed", "cow"))
    assert {row.name: row.higher_is_better for row in evaluation.rows} == {
        "class_accuracy": True,
        "missed": False,
        "unpaired": False,
    }


def test_without_objects_and_detections_values_are_nan() -> None:
    values = confusion(match(*_empty()))
    assert all(math.isnan(value.value) for value in values)
    assert confusion_matrix(match(*_empty())).counts.tolist() == [[0] * 4] * 4


def _empty() -> tuple[AnnotationTable, DetectionTable]:
    empty = scene([], [])
    return empty.truth, empty.detections


def test_without_classes_there_is_one_class() -> None:
    one = scene([(0, [0, 0, 10, 10])], [(1, [0, 0, 10, 10], 0.9), (2, [50, 0, 10, 10], 0.6)])
    matches = match(one.truth, one.detections, MatchRule(by_class=False))
    for convention in CONVENTIONS:
        assert confusion_matrix(matches, convention=convention).counts.tolist() == [[1, 0], [1, 0]]


def test_invalid_arguments_are_rejected() -> None:
    with pytest.raises(InputError, match="unknown 'ultralitics'; did you mean 'ultralytics'"):
        matrix_of(scene([], []), convention="ultralitics")
    with pytest.raises(InputError, match=r"expected a number in \[0, 1\]"):
        matrix_of(scene([], []), convention="yolov5", iou=45)
    with pytest.raises(InputError, match="not among the rule's thresholds"):
        matrix_of(scene([], []), iou=0.45)
