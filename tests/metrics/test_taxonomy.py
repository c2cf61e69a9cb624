"""Every false positive has one type, and error types and confusion matrix agree with a plain count at every score."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_taxonomy import PlainErrors, overlap_of, plain_errors
from strategies import SCORES, Scene, random_scene, scenes

from metrics.matching import Matches, match
from metrics.measures.confusion import UNPAIRED, confusion_matrix
from metrics.measures.error_types import FALSE_POSITIVES, KINDS, classify_errors
from metrics.tables import AnnotationTable, Catalog, DetectionTable


def check_counts(scene: Scene, score: float) -> PlainErrors:
    """Compare error types, the matrix and its table with the plain count."""
    matches, plain = match(scene.truth, scene.detections), plain_errors(scene.truth, scene.detections, score)
    check_error_types(matches, plain, score)
    matrix = confusion_matrix(matches, score)
    frame, classes = matrix.to_frame(), (*matches.classes, UNPAIRED)
    truth, found = scene.truth, scene.detections
    expected: Counter[tuple[str, str, str]] = Counter()
    for row, g in plain.tp.items():
        expected[classes[truth.label[g]], classes[found.label[row]], ""] += 1
    for row, kind in plain.fp.items():
        name = classes[truth.label[plain.pairs[row]]] if row in plain.pairs else UNPAIRED
        expected[name, classes[found.label[row]], kind] += 1
    for g in plain.undetected - set(plain.pairs.values()):
        expected[classes[truth.label[g]], UNPAIRED, ""] += 1
    cells = zip(frame["true"], frame["predicted"], frame["error_type"], frame["count"], strict=True)
    assert {(true, predicted, kind): count for true, predicted, kind, count in cells} == expected
    by_type = dict(zip(FALSE_POSITIVES, matrix.false_positives.tolist(), strict=True))
    assert by_type == {kind: plain.types[kind] for kind in FALSE_POSITIVES}
    assert sum(by_type.values()) == len(plain.fp) == matrix.detections[:-1].sum() - matrix.correct.sum()
    unpaired = matrix.without_object
    assert unpaired.sum() == matrix.objects[-1]
    assert unpaired.sum(0).tolist() == matrix.counts[-1, :-1].tolist()
    pairs = len(plain.pairs)
    assert (matrix.false_positives - unpaired.sum(1)).tolist() == [pairs, 0, 0, 0, 0]
    return plain


def check_error_types(matches: Matches, plain: PlainErrors, score: float) -> None:
    errors = classify_errors(matches)
    outcome = errors.outcome
    kept = (errors.kind >= 0) & (outcome.score >= score)
    assert {
        int(row): KINDS[k] for row, k in zip(outcome.row[kept], errors.kind[kept], strict=True)
    } == plain.fp


@given(scenes(ignored=True), st.sampled_from(SCORES))
def test_types_and_matrix_of_random_scenes_equal_a_plain_count(scene: Scene, score: float) -> None:
    check_counts(scene, score)


@pytest.mark.parametrize("score", [0.0, 0.4, 0.8])
def test_types_and_matrix_of_a_crowded_scene_equal_a_plain_count(score: float) -> None:
    scene = random_scene(3, images=6, classes=5, objects=80, detections=400, side=80.0, crowds=0.1)
    rng = np.random.default_rng(3)
    scene.truth.ignored[:] = rng.random(80) < 0.1
    wrong = rng.random(400) < 0.5
    scene.detections.label[wrong] = rng.integers(0, 5, int(wrong.sum()))
    plain = check_counts(scene, score)
    assert set(plain.types) == set(FALSE_POSITIVES)
    assert plain.pairs
    if not score:  # also classification errors on objects that are taken, and detections ignored by COCO
        assert len(plain.pairs) < plain.types["classification"]
        assert plain.ignored


@given(scenes(ignored=True))
def test_a_detection_on_background_overlaps_no_object_of_any_class(scene: Scene) -> None:
    errors = classify_errors(match(scene.truth, scene.detections))
    for row, kind in zip(errors.outcome.row.tolist(), errors.kind.tolist(), strict=True):
        objects = range(len(scene.truth))
        overlaps = [overlap_of(scene.truth, scene.detections, row, g) for g in objects]
        background = kind == KINDS.index("background")
        assert background == (kind >= 0 and all(overlap < 0.1 for overlap in overlaps))


@given(scenes(ignored=True), st.sampled_from(SCORES))
def test_permuted_classes_keep_background(scene: Scene, score: float) -> None:
    """Detections that only name other classes are never more often on background than before."""
    before = check_counts(scene, score)
    labels = scene.detections.label
    labels[:] = (labels + 1) % len(scene.truth.catalog.classes)
    after = check_counts(scene, score)
    in_both = [row for row in after.fp if row in before.fp]
    for row in in_both:
        assert (before.fp[row] == "background") == (after.fp[row] == "background")
    assert all(after.fp[row] != "background" for row in after.fp if row in before.tp)


def one_image(
    objects: list[tuple[int, list[float], str]], found: list[tuple[int, list[float], float]]
) -> Scene:
    """Three classes; objects as (label, xywh, "" or "crowd" or "ignored"), detections as (label, xywh, score)."""
    catalog = Catalog.of([1], ["cat", "dog", "cow"])
    marks = [mark for _, _, mark in objects]
    return Scene(
        AnnotationTable.of(
            catalog, [0] * len(objects), [label for label, _, _ in objects], [box for _, box, _ in objects],
            crowd=[mark == "crowd" for mark in marks], ignored=[mark == "ignored" for mark in marks],
        ),
        DetectionTable(
            catalog, np.zeros(len(found), int), np.array([label for label, _, _ in found], int),
            np.array([box for _, box, _ in found], float).reshape(-1, 4),
            np.array([score for _, _, score in found], float),
        ),
    )  # fmt: skip


def test_nearly_all_false_positives_of_a_model_that_confuses_classes_are_classification_errors() -> None:
    """Twelve cards, each found twice: half of the boxes name another card, and one box lies on the table."""
    cards = [[float(40 * at), 0.0, 30.0, 50.0] for at in range(12)]
    objects = [(at % 3, box, "") for at, box in enumerate(cards)]
    found = [((at + at % 2) % 3, box, 0.9) for at, box in enumerate(cards)]
    found += [((at + 1) % 3, box, 0.8) for at, box in enumerate(cards)]
    scene = one_image(objects, [*found, (0, [600.0, 0.0, 30.0, 50.0], 0.7)])
    # Of the second boxes, those of odd cards repeat the wrong class of the first.
    plain = check_counts(scene, 0.5)
    assert plain.types == {"classification": 18, "background": 1}
    assert len(plain.pairs) == 6


HERE, LOOSE, PART = [0.0, 0, 10, 10], [0.0, 0, 10, 4], [2.0, 2, 2, 2]


@pytest.mark.parametrize(
    ("mark", "label", "box", "kind"),
    [
        ("ignored", 1, HERE, "classification"),
        ("ignored", 1, LOOSE, "both"),
        ("ignored", 0, LOOSE, "localization"),
        ("ignored", 1, PART, "background"),  # IoU 0.04
        ("crowd", 1, PART, "classification"),  # the crowd covers all of it
        ("crowd", 0, [9.0, 0, 10, 10], "localization"),  # the crowd covers 0.1 of it
        ("crowd", 1, [9.0, 0, 10, 10], "both"),
        ("crowd", 1, [9.5, 0, 10, 10], "background"),
    ],
)
def test_an_annotation_that_does_not_count_is_not_background(
    mark: str, label: int, box: list[float], kind: str
) -> None:
    scene = one_image([(0, HERE, mark)], [(label, box, 0.9)])
    errors = classify_errors(match(scene.truth, scene.detections))
    assert [KINDS[k] for k in errors.kind] == [kind]
    assert not errors.fixes.any()
    check_counts(scene, 0.0)


def test_a_second_detection_of_an_ignored_object_is_a_duplicate() -> None:
    scene = one_image([(0, HERE, "ignored")], [(0, HERE, 0.9), (0, HERE, 0.8)])
    assert check_counts(scene, 0.0).fp == {1: "duplicate"}


def test_an_object_that_counts_decides_before_one_that_does_not() -> None:
    """A box on an ignored cow that reaches into a valid cat of its own class is a localization error on the cat."""
    scene = one_image([(0, [8.0, 0, 10, 10], ""), (2, HERE, "ignored")], [(0, HERE, 0.9)])
    errors = classify_errors(match(scene.truth, scene.detections))
    assert [KINDS[k] for k in errors.kind] == ["localization"]
    assert errors.object.tolist() == [0]
    assert errors.fixes.all()
    assert not errors.missed.any()


@pytest.mark.parametrize(("label", "kind"), [(0, "localization"), (1, "both")])
def test_an_overlap_of_exactly_the_limit_is_not_background(label: int, kind: str) -> None:
    scene = one_image([(0, HERE, "")], [(label, [0.0, 0, 10, 1], 0.9)])  # IoU 10 / 100
    assert check_counts(scene, 0.0).fp == {0: kind}
