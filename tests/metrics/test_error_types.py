"""Errors have the types of a plain implementation of the rules, and their costs equal pycocotools on fixed tables."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracles import coco_reference
from pycocotools import mask
from strategies import Scene, random_scene, scenes

from metrics.errors import InputError
from metrics.evaluator import evaluate
from metrics.formats.coco import read_detections, read_truth
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.measures.error_types import FIXABLE, KINDS, Fixable, Kind, classify_errors
from metrics.tables import AnnotationTable, Catalog, DetectionTable

RULE = MatchRule(max_dets=(1000,), area_ranges={"all": (0, 1e10)})

FREE = -1


class PlainTIDE:
    """The rules applied to one detection after the other; overlaps and matches are pycocotools'."""

    def __init__(self, scene: Scene, iou: float, background: float) -> None:
        self.scene, self.iou = scene, iou
        truth, found = scene.truth, scene.detections
        valid = ~truth.crowd & (truth.area <= 1e10)
        outcome = match(truth, found, RULE).at(iou)  # equal to pycocotools': tests/metrics/test_matching.py
        self.matched_by = outcome.matched_by
        self.kind: dict[int, Kind] = {}
        self.object: dict[int, int] = {}
        for row in outcome.row[~outcome.tp & ~outcome.ignored].tolist():
            here = np.flatnonzero(truth.image == found.image[row]).tolist()
            near = {g: value for g in here if (value := self.overlap(row, g)) >= background}
            overlaps = {g: value for g, value in near.items() if valid[g]} or near
            own = {g: value for g, value in overlaps.items() if truth.label[g] == found.label[row]}
            others = {g: value for g, value in overlaps.items() if g not in own}
            best_own = max(own, key=lambda g: (own[g], g), default=None)
            best_other = max(others, key=lambda g: (others[g], g), default=None)
            if best_own is not None and own[best_own] < iou:
                self.kind[row], self.object[row] = "localization", best_own
            elif best_other is not None and others[best_other] >= iou:
                self.kind[row], self.object[row] = "classification", best_other
            elif best_own is not None and own[best_own] >= iou:
                assert self.matched_by[best_own] != FREE
                self.kind[row] = "duplicate"
            else:
                self.kind[row] = "both" if overlaps else "background"
        best: dict[int, int] = {}
        for row in sorted(self.object, key=lambda row: (-found.score[row], row)):
            if valid[self.object[row]] and self.matched_by[self.object[row]] == FREE:
                best.setdefault(self.object[row], row)
        self.fixes = {row: g for g, row in best.items()}
        self.missed = {
            g for g in np.flatnonzero(valid).tolist() if self.matched_by[g] == FREE and g not in best
        }

    def overlap(self, row: int, g: int) -> float:
        boxes = self.scene.detections.xywh[row : row + 1], self.scene.truth.xywh[g : g + 1]
        return float(mask.iou(*boxes, [int(self.scene.truth.crowd[g])])[0, 0])

    def average_precision(self, fixed: Fixable | None) -> list[float]:
        """Change the tables and evaluate them with pycocotools."""
        truth, found = self.scene.truth, self.scene.detections
        label, xywh = found.label.copy(), found.xywh.copy()
        stays, remains = np.ones(len(found), bool), np.ones(len(truth), bool)
        for row, kind in self.kind.items():
            if fixed == "false_positives":
                stays[row] = False
            elif kind == fixed and row in self.fixes:
                label[row] = truth.label[self.fixes[row]]
                if kind == "localization":
                    xywh[row] = truth.xywh[self.fixes[row]]
            elif kind == fixed:
                stays[row] = False
        if fixed == "missed":
            remains[list(self.missed)] = False
        if fixed == "false_negatives":
            remains &= (self.matched_by != FREE) | truth.crowd
        there = AnnotationTable.of(
            truth.catalog, truth.image[remains], truth.label[remains], truth.xywh[remains],
            area=truth.area[remains], crowd=truth.crowd[remains],
        )  # fmt: skip
        detections = DetectionTable(
            found.catalog, found.image[stays], label[stays], xywh[stays], found.score[stays]
        )
        rule = MatchRule(iou_thresholds=(self.iou,), max_dets=(1000,), area_ranges={"all": (0, 1e10)})
        classes = range(len(truth.catalog.classes))
        if not len(detections):
            precision = [0.0 for _ in classes]
        else:
            reference = coco_reference(there, detections, rule).precision[0, :, :, 0, 0].mean(0)
            precision = [max(0.0, float(value)) for value in reference]
        valid = ~truth.crowd & (truth.area <= 1e10)
        return [precision[label] if (truth.label[valid] == label).any() else math.nan for label in classes]


THRESHOLDS = st.sampled_from(((0.5, 0.1), (0.75, 0.5), (0.5, 0.5)))


@given(scenes(), THRESHOLDS)
def test_each_error_has_the_type_that_the_rules_give(scene: Scene, thresholds: tuple[float, float]) -> None:
    errors = classify_errors(match(scene.truth, scene.detections, RULE), *thresholds)
    plain = PlainTIDE(scene, *thresholds)
    rows = errors.outcome.row
    assert {int(r): KINDS[k] for r, k in zip(rows, errors.kind, strict=True) if k >= 0} == plain.kind
    assert {
        int(r): int(g) for r, g in zip(rows[errors.fixes], errors.object[errors.fixes], strict=True)
    } == plain.fixes
    assert set(np.flatnonzero(errors.missed).tolist()) == plain.missed


@given(scenes(), THRESHOLDS, st.sampled_from((None, *FIXABLE)))
def test_fixed_errors_give_the_references_average_precision(
    scene: Scene, thresholds: tuple[float, float], fixed: Fixable | None
) -> None:
    errors = classify_errors(match(scene.truth, scene.detections, RULE), *thresholds)
    expected = PlainTIDE(scene, *thresholds).average_precision(fixed)
    assert_allclose(errors.average_precision(fixed), expected, atol=1e-12)


@pytest.mark.parametrize("fixed", [None, *FIXABLE])
@pytest.mark.parametrize("thresholds", [(0.5, 0.1), (0.75, 0.25)])
def test_fixed_errors_give_the_references_average_precision_on_a_larger_scene(
    fixed: Fixable | None, thresholds: tuple[float, float]
) -> None:
    scene = larger_scene()
    errors = classify_errors(match(scene.truth, scene.detections, RULE), *thresholds)
    assert (errors.counts().sum(0) > 0).all()
    plain = PlainTIDE(scene, *thresholds)
    assert_allclose(errors.average_precision(fixed), plain.average_precision(fixed), atol=1e-12)
    if fixed is not None:
        assert_allclose(
            errors.cost(fixed), errors.average_precision(fixed) - plain.average_precision(None), atol=1e-12
        )


def larger_scene() -> Scene:
    """A scene with all types of errors: a third of the detections have another class than their object."""
    scene = random_scene(8, images=12, classes=4, objects=90, detections=400, side=120.0)
    wrong = np.random.default_rng(8).random(400) < 1 / 3
    scene.detections.label[wrong] = (scene.detections.label[wrong] + 1) % 4
    return scene


def test_fixed_errors_on_cocos_published_results(shared_data: Path) -> None:
    folder = shared_data / "coco" / "fakebbox100"
    truth = read_truth(folder / "instances_val2014_100.json")
    found = read_detections(folder / "instances_val2014_fakebbox100_results.json", truth)
    scene = Scene(truth, found)
    errors = classify_errors(match(truth, found, RULE))
    assert round(float(np.nanmean(errors.average_precision())), 3) == 0.697  # AP50, as published
    plain = PlainTIDE(scene, 0.5, 0.1)
    for fixed in FIXABLE:
        assert_allclose(errors.average_precision(fixed), plain.average_precision(fixed), atol=1e-12)


@given(scenes(ignored=True))
def test_every_false_positive_has_one_type_and_every_undetected_object_is_missed_or_fixable(
    scene: Scene,
) -> None:
    errors = classify_errors(match(scene.truth, scene.detections))
    outcome = errors.outcome
    assert_array_equal(errors.kind >= 0, ~outcome.tp & ~outcome.ignored)
    assert not (errors.kind == KINDS.index("missed")).any()
    lost = outcome.valid & (outcome.matched_by < 0)
    within_reach = np.zeros(len(lost), bool)
    within_reach[errors.object[errors.fixes]] = True
    assert_array_equal(lost, errors.missed ^ within_reach)
    assert not (errors.missed & within_reach).any()
    table = errors.counts()
    assert table[:, :-1].sum() == (errors.kind >= 0).sum()
    assert table[:, -1].sum() == errors.missed.sum()


@given(scenes(ignored=True))
def test_one_class_has_no_classification_errors(scene: Scene) -> None:
    matches = match(scene.truth, scene.detections, MatchRule(by_class=False))
    table = classify_errors(matches).counts().sum(0)
    assert table[KINDS.index("classification")] == table[KINDS.index("both")] == 0


@given(scenes(ignored=True))
def test_fixing_never_lowers_ap_and_without_false_positives_ap_is_recall(scene: Scene) -> None:
    errors = classify_errors(match(scene.truth, scene.detections))
    outcome = errors.outcome
    valid = outcome.positives > 0
    for kind in FIXABLE:
        assert (errors.cost(kind)[valid] >= -1e-12).all()
    recall = np.bincount(outcome.label[outcome.tp], minlength=len(valid))[valid] / outcome.positives[valid]
    reached = [np.mean(np.linspace(0, 1, 101) <= value) if value > 0 else 0.0 for value in recall]
    assert_allclose(errors.average_precision("false_positives")[valid], reached, atol=1e-12)


@given(scenes())
def test_the_base_is_cocos_average_precision(scene: Scene) -> None:
    matches = match(scene.truth, scene.detections)
    for index, iou in ((0, 0.5), (5, 0.75)):
        assert_allclose(
            classify_errors(matches, iou).average_precision(),
            matches.curves().precision[index, :, :, 0].mean(0),
            atol=1e-15,
        )
        assert_array_equal(
            matches.at(iou, "small").average_precision(),
            matches.curves().precision[index, :, :, 1].mean(0),
        )


def one_image(objects: list[tuple[int, list[float]]], found: list[tuple[int, list[float], float]]) -> Scene:
    catalog = Catalog.of([1], ["cat", "dog"])
    return Scene(
        AnnotationTable.of(catalog, [0] * len(objects), [k for k, _ in objects], [box for _, box in objects]),
        DetectionTable(
            catalog,
            np.zeros(len(found), int),
            np.array([k for k, _, _ in found], int),
            np.array([box for _, box, _ in found], float).reshape(-1, 4),
            np.array([score for _, _, score in found], float),
        ),
    )


HERE, HALF, LOOSE, AWAY = [0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4], [50, 50, 9, 9]


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ([(0, AWAY, 0.9)], "background"),
        ([(0, LOOSE, 0.9)], "localization"),
        ([(1, HERE, 0.9)], "classification"),
        ([(1, HALF, 0.9)], "classification"),
        ([(1, LOOSE, 0.9)], "both"),
        ([(0, HERE, 0.9), (0, HERE, 0.8)], "duplicate"),
        ([(0, HERE, 0.9), (0, HALF, 0.8)], "duplicate"),
    ],
)
def test_each_type_by_example(found: list[tuple[int, list[float], float]], kind: str) -> None:
    scene = one_image([(0, HERE)], found)
    errors = classify_errors(match(scene.truth, scene.detections))
    assert [KINDS[k] for k in errors.kind if k >= 0] == [kind]
    within_reach = kind in ("localization", "classification", "duplicate")
    assert errors.missed.tolist() == [not within_reach]


def test_of_several_fixable_detections_only_the_highest_scoring_is_fixed() -> None:
    scene = one_image([(0, HERE)], [(1, HERE, 0.9), (0, LOOSE, 0.8), (0, LOOSE, 0.7)])
    errors = classify_errors(match(scene.truth, scene.detections))
    assert errors.outcome.score[errors.fixes].tolist() == [0.9]
    # The lower-scoring ones are removed when localization is fixed; only the highest-scoring one becomes a true positive.
    assert errors.cost("classification")[0] == pytest.approx(1.0)
    assert errors.cost("localization")[0] == 0.0


def test_a_detection_of_another_class_on_a_detected_object_is_removed() -> None:
    near = [1, 0, 10, 10]
    scene = one_image([(0, HERE), (1, AWAY)], [(0, HERE, 0.5), (1, near, 0.9), (1, AWAY, 0.8)])
    errors = classify_errors(match(scene.truth, scene.detections))
    assert not errors.fixes.any()
    assert errors.cost("classification").tolist() == pytest.approx([0.0, 0.5])


def test_rows_are_means_over_classes_and_counts_are_sums() -> None:
    scene = larger_scene()
    evaluation = evaluate(scene.truth, scene.detections, ["error_types"], RULE)
    errors = classify_errors(evaluation.matches)
    for kind in FIXABLE:
        assert_allclose(evaluation.value(f"cost_{kind}"), errors.cost(kind).mean(), atol=1e-15)
    for index, name in enumerate(KINDS):
        assert evaluation.value(f"errors_{name}") == errors.counts()[:, index].sum()
        assert evaluation.value(f"errors_{name}", "class 2") == errors.counts()[2, index]
    settings = {"error_types": {"iou": "all"}}
    mean = evaluate(scene.truth, scene.detections, ["error_types"], RULE, settings=settings)
    each = [classify_errors(evaluation.matches, iou).cost("missed").mean() for iou in RULE.iou_thresholds]
    assert_allclose(mean.value("cost_missed"), np.mean(each), atol=1e-15)
    assert mean.rows[0].iou == "0.50:0.95"


def test_without_objects_costs_are_undefined() -> None:
    scene = one_image([], [(0, HERE, 0.9)])
    evaluation = evaluate(scene.truth, scene.detections, ["error_types"])
    assert math.isnan(evaluation.value("cost_background"))
    assert evaluation.value("errors_background") == 1
    empty = one_image([], [])
    assert math.isnan(evaluate(empty.truth, empty.detections, ["error_types"]).value("cost_missed"))


def test_a_class_whose_objects_are_all_missed_keeps_its_zero() -> None:
    scene = one_image([(0, HERE)], [])
    errors = classify_errors(match(scene.truth, scene.detections))
    assert errors.missed.all()
    assert_array_equal(errors.average_precision("missed"), [0.0, math.nan])


def test_invalid_arguments_are_rejected() -> None:
    scene = one_image([], [])
    with pytest.raises(InputError, match=r"expected a number in \(0, 0.5\]"):
        classify_errors(match(scene.truth, scene.detections), 0.5, 0.6)
    with pytest.raises(InputError, match="unknown 'misses'; known: classification"):
        classify_errors(match(scene.truth, scene.detections)).fixed("misses")  # type: ignore[arg-type]
