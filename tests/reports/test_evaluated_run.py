"""Counts at a score, by an exact scan, equal those of counting one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_runs import run_in_memory

from metrics.evaluator import evaluate
from metrics.measures.error_types import FALSE_POSITIVES
from metrics.tables import AnnotationTable, Catalog, DetectionTable
from reports.analysis.evaluated_run import EvaluatedRun

grid = st.integers(0, 3).map(lambda number: 10.0 * number)


@st.composite
def scenes(draw: st.DrawFn) -> EvaluatedRun:
    """Few images, classes, places and scores, so that ties, duplicates and empty images are common."""
    catalog = Catalog.of(range(3), ["a", "b"])
    row = st.tuples(st.integers(0, 2), st.integers(0, 1), grid, grid)
    objects = draw(st.lists(st.tuples(row, st.sampled_from(["", "", "crowd", "ignored"])), max_size=8))
    found = draw(st.lists(st.tuples(row, st.sampled_from([0.1, 0.4, 0.4, 0.9])), max_size=10))

    def columns(rows: list[tuple[int, int, float, float]]) -> tuple[list[int], list[int], list[list[float]]]:
        return (
            [row[0] for row in rows],
            [row[1] for row in rows],
            [[row[2], row[3], 12.0, 12.0] for row in rows],
        )

    marks = [mark for _, mark in objects]
    truth = AnnotationTable.of(
        catalog, *columns([row for row, _ in objects]),
        crowd=[mark == "crowd" for mark in marks], ignored=[mark == "ignored" for mark in marks],
    )  # fmt: skip
    image, label, xywh = columns([row for row, _ in found])
    table = DetectionTable(
        catalog, np.array(image, np.int32), np.array(label, np.int32),
        np.array(xywh, np.float64).reshape(-1, 4), np.array([score for _, score in found], np.float64),
    )  # fmt: skip
    return EvaluatedRun(run_in_memory(truth, table))


def counted(run: EvaluatedRun, score: float) -> tuple[int, int, int]:
    """True positives, false positives and false negatives at a score, counted one by one."""
    outcome = run.outcome
    tp = fp = 0
    for at in range(len(outcome.score)):
        if outcome.score[at] >= score and not outcome.ignored[at]:
            tp, fp = tp + bool(outcome.tp[at]), fp + (not outcome.tp[at])
    return tp, fp, int(outcome.valid.sum()) - tp


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_the_best_score_has_the_highest_f1_of_all_scores(run):
    best = run.best_point
    tried = {score: counted(run, score) for score in np.unique(run.outcome.score)}
    f1 = {score: 2 * r / (2 * r + f + m) if r + f + m else 0.0 for score, (r, f, m) in tried.items()}
    if not best.tp:
        assert all(tp == 0 for tp, _, _ in tried.values())
        assert best.score == np.inf
        return
    assert (best.tp, best.fp, best.fn) == tried[best.score]
    assert f1[best.score] == pytest.approx(max(f1.values()))
    assert best.f1 == pytest.approx(f1[best.score])
    assert not any(score > best.score and value > best.f1 - 1e-12 for score, value in f1.items())


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_counts_of_images_and_classes_add_up_to_those_of_all(run):
    best, images = run.best_point, run.image_counts
    assert (images.tp.sum(), images.fp.sum(), images.fn.sum()) == (
        best.tp,
        best.fp,
        best.fn,
    )
    thresholds = np.array([0.0, 0.1, 0.3, 0.4, 0.9, 1.0])
    tp, fp = run.class_counts(thresholds)
    for at, score in enumerate(thresholds):
        assert (tp[:, at].sum(), fp[:, at].sum()) == counted(run, score)[:2]


@settings(max_examples=40, deadline=None)
@given(scenes())
def test_ap_by_class_and_by_iou_average_to_ap(run):
    ap = evaluate(run.run.truth, run.run.detections).headline["ap"]
    known = run.class_ap[~np.isnan(run.class_ap)]
    assert (known.mean() if len(known) else np.nan) == pytest.approx(ap, abs=1e-12, nan_ok=True)
    assert run.ap_by_iou.mean() == pytest.approx(ap, abs=1e-12, nan_ok=True)


def test_false_positives_by_type_add_up_to_the_false_positives():
    catalog = Catalog.of([0, 1], ["a", "b"])
    place = [[0.0, 0, 10, 10], [20.0, 0, 10, 10], [40.0, 0, 10, 10], [60.0, 0, 10, 10]]
    truth = AnnotationTable.of(catalog, [0, 0, 0, 0], [0, 0, 0, 1], place)
    # Detected with IoU 0.5, confused with b, undetected, undetected; and one false positive on background.
    found = [[0.0, 0, 10, 20], [20.0, 0, 10, 10], [0.0, 0, 9, 9]]
    detections = DetectionTable(
        catalog, np.array([0, 0, 1], np.int32), np.array([0, 1, 0], np.int32), np.array(found), np.array([0.9, 0.9, 0.9])
    )  # fmt: skip
    run = EvaluatedRun(run_in_memory(truth, detections))
    best = run.best_point
    assert (best.tp, best.fp, best.fn) == (1, 2, 3)
    assert dict(zip(FALSE_POSITIVES, run.fp_by_type.tolist(), strict=True)) == {
        "classification": 1, "localization": 0, "both": 0, "duplicate": 0, "background": 1,
    }  # fmt: skip
    assert run.image_counts.by_type.sum(0).tolist() == run.image_counts.fp.tolist() == [1, 1]


def test_error_types_are_those_of_the_measure(runs):
    run = EvaluatedRun(runs[0])
    measured = evaluate(run.run.truth, run.run.detections, ["error_types"])
    for name, value in run.error_types.items():
        assert value == pytest.approx(measured.value(name), abs=1e-15), name


def test_without_a_true_positive_no_detection_is_kept():
    catalog = Catalog.of([0], ["a"])
    truth = AnnotationTable.of(catalog, [0], [0], [[0.0, 0, 10, 10]])
    away = DetectionTable(catalog, np.zeros(1, int), np.zeros(1, int), np.full((1, 4), 50.0), np.ones(1))
    for table in (DetectionTable.builder(catalog).build(), away):
        run = EvaluatedRun(run_in_memory(truth, table))
        assert (run.best_point.tp, run.best_point.fp, run.best_point.fn) == (0, 0, 1)
        assert run.fp_by_type.tolist() == [0] * 5
