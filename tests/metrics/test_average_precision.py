"""Average precision against closed forms, the reference and laws; Pascal VOC's against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from strategies import Scene, random_scene, scenes, with_detections

from metrics.errors import InputError
from metrics.evaluator import evaluate
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.measures.average_precision import precision_recall
from metrics.measures.frequency_groups import frequency_groups
from metrics.tables import AnnotationTable, Catalog, DetectionTable


def row_of(truths: int, pattern: str) -> Scene:
    """One class on one image: distant objects, and detections by falling score: T matches the next object, F none."""
    catalog = Catalog.of([1], ["thing"])
    places = [[100.0 * i, 0.0, 50.0, 50.0] for i in range(truths)]
    truth = AnnotationTable.of(catalog, [0] * truths, [0] * truths, places)
    found, next_truth = [], 0
    for letter in pattern:
        found.append(places[next_truth] if letter == "T" else [0.0, 1000.0 + len(found) * 100, 50.0, 50.0])
        next_truth += letter == "T"
    size = len(pattern)
    scores = np.linspace(0.9, 0.1, size) if size else np.zeros(0)
    boxes = np.array(found, float).reshape(-1, 4)
    return Scene(truth, DetectionTable(catalog, np.zeros(size, int), np.zeros(size, int), boxes, scores))  # type: ignore[arg-type]


def by_definition(truths: int, pattern: str) -> tuple[float, float, float]:
    """COCO's, VOC 2007's and VOC 2010's average precision from their definitions."""
    true, points = 0, []
    for rank, letter in enumerate(pattern, start=1):
        true += letter == "T"
        points.append((true / truths, true / rank))

    def best(recall: float) -> float:
        return max((precision for reached, precision in points if reached >= recall), default=0.0)

    coco = sum(best(level) for level in np.linspace(0, 1, 101)) / 101
    voc07 = sum(best(level) for level in np.linspace(0, 1, 11)) / 11
    voc10 = sum(best(k / truths) / truths for k in range(1, true + 1))
    return coco, voc07, voc10


@given(st.integers(1, 12), st.text("TF", max_size=20))
def test_average_precision_equals_its_definitions(truths: int, pattern: str) -> None:
    assume(pattern.count("T") <= truths)
    scene = row_of(truths, pattern)
    evaluation = evaluate(scene.truth, scene.detections, ("average_precision", "voc_average_precision"))
    coco, voc07, voc10 = by_definition(truths, pattern)
    for name, expected in (("ap", coco), ("ap50", coco), ("voc07_ap", voc07), ("voc10_ap", voc10)):
        assert evaluation.value(name) == pytest.approx(expected, abs=1e-12)
        assert evaluation.value(name, "thing") == pytest.approx(expected, abs=1e-12)


def test_a_difficult_object_is_neither_valid_nor_a_false_positive() -> None:
    # fault 22
    scene = row_of(3, "TTFT")
    scene.truth.ignored[1] = True
    evaluation = evaluate(scene.truth, scene.detections, ("voc_average_precision",))
    assert evaluation.value("voc10_ap") == pytest.approx((1 + 2 / 3) / 2)


@given(scenes())
def test_truth_as_detections_is_perfect(scene: Scene) -> None:
    truth = scene.truth
    plain = ~truth.crowd & (truth.xywh[:, 2:] > 0).all(axis=1)
    truth = AnnotationTable.of(truth.catalog, truth.image[plain], truth.label[plain], truth.xywh[plain])
    assume(len(truth) > 0)
    found = DetectionTable(truth.catalog, truth.image, truth.label, truth.xywh, np.ones(len(truth)))
    assert evaluate(truth, found).value("ap") == pytest.approx(1)


@given(scenes(), st.integers(0, 2**32 - 1))
def test_only_the_order_of_scores_matters(scene: Scene, seed: int) -> None:
    found = scene.detections
    gaps = np.random.default_rng(seed).random(8) + 0.1
    levels, place = np.unique(found.score, return_inverse=True)
    moved = DetectionTable(
        found.catalog, found.image, found.label, found.xywh, np.cumsum(gaps)[: len(levels)][place] - 3
    )
    one, other = match(scene.truth, found).curves(), match(scene.truth, moved).curves()
    assert_array_equal(one.precision, other.precision)


@given(scenes())
def test_average_precision_is_between_0_and_1(scene: Scene) -> None:
    values = np.array([row.value for row in evaluate(scene.truth, scene.detections).rows])
    assert ((values >= 0) & (values <= 1) | np.isnan(values)).all()


@given(scenes(most_detections=12))
def test_a_worse_false_positive_never_raises_average_precision(scene: Scene) -> None:
    found = scene.detections
    more = DetectionTable(
        found.catalog,
        np.append(found.image, 0).astype(np.int32),
        np.append(found.label, 0).astype(np.int32),
        np.vstack([found.xywh, [5000.0, 5000.0, 9.0, 9.0]]),
        np.append(found.score, -1.0),
    )
    before, after = (match(scene.truth, table).curves().precision for table in (found, more))
    assert_array_equal(before, after)  # detections below the last true positive have no effect


@given(scenes(most_detections=12), st.data())
def test_removing_a_false_positive_never_lowers_average_precision(scene: Scene, data: st.DataObject) -> None:
    outcome = match(scene.truth, scene.detections).at(0.5)
    false = outcome.row[~outcome.tp & ~outcome.ignored]
    assume(len(false) > 0)
    removed = data.draw(st.sampled_from(false.tolist()))
    rows = np.delete(np.arange(len(scene.detections)), removed)
    rule = MatchRule(iou_thresholds=(0.5,))
    before = match(scene.truth, scene.detections, rule).curves().precision[..., 0]
    after = match(scene.truth, with_detections(scene, rows).detections, rule).curves().precision[..., 0]
    assert not (after < before).any()


@given(scenes(), st.booleans())
def test_a_mirror_image_has_the_same_average_precision(scene: Scene, down: bool) -> None:
    flipped = []
    for table in (scene.truth, scene.detections):
        box = np.round(table.xywh * 8)  # whole numbers, so that mirroring is exact
        table.xywh[:] = box
        axis = int(down)
        mirrored = box.copy()
        mirrored[:, axis] = 4096 - box[:, axis] - box[:, axis + 2]
        flipped.append(mirrored)
    one = match(scene.truth, scene.detections).curves().precision
    scene.truth.xywh[:], scene.detections.xywh[:] = flipped
    assert_array_equal(match(scene.truth, scene.detections).curves().precision, one)


def test_curves_of_single_classes_and_their_mean() -> None:
    scene = random_scene(5)
    matches = match(scene.truth, scene.detections)
    recall, precision, score = precision_recall(matches, 0.5, label=1)
    assert_allclose(
        precision.mean(), evaluate(scene.truth, scene.detections).value("ap50", "class 1"), atol=1e-12
    )
    reached = ~np.isnan(score)
    assert (np.diff(score[reached]) <= 0).all()
    assert (precision[~reached] == 0).all()
    assert recall[reached].max() <= matches.curves().recall[0, 1, 0]
    mean = precision_recall(matches, 0.5).precision
    each = [precision_recall(matches, 0.5, label=label).precision for label in range(4)]
    assert_allclose(mean, np.mean(each, axis=0), atol=1e-12)
    with pytest.raises(InputError, match=r"in \[0, 4\), got 4"):
        precision_recall(matches, label=4)


def test_a_class_without_objects_has_no_curve() -> None:
    scene = random_scene(5)
    empty = AnnotationTable.of(scene.truth.catalog, [], [], [])
    matches = match(empty, scene.detections)
    assert np.isnan(precision_recall(matches).precision).all()
    assert np.isnan(precision_recall(matches, label=0).precision).all()


def test_classes_are_grouped_by_their_number_of_images() -> None:
    scene = random_scene(6, classes=5, images=40)
    evaluation = evaluate(scene.truth, scene.detections, ("average_precision", "frequency_groups"))
    of_class = [evaluation.value("ap", f"class {label}") for label in range(5)]
    images = [len(np.unique(scene.truth.image[scene.truth.label == label])) for label in range(5)]
    assert all(11 <= count <= 100 for count in images)
    assert evaluation.value("ap_common") == pytest.approx(np.mean(of_class))
    assert math.isnan(evaluation.value("ap_rare"))
    rare, common, frequent = (
        value.value for value in frequency_groups(evaluation.matches, [10, 1, 11, 100, 101])
    )
    assert (rare, common, frequent) == pytest.approx(
        (np.mean(of_class[:2]), np.mean(of_class[2:4]), of_class[4])
    )
    with pytest.raises(InputError, match="one number for each of 5 classes"):
        frequency_groups(evaluation.matches, [1, 2])
    with pytest.raises(InputError, match="ascending numbers"):
        frequency_groups(evaluation.matches, groups={"many": 9, "few": 1})
