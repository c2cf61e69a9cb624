"""Calibration errors equal their sums over bins, computed bin by bin and detection by detection."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import binomtest
from strategies import Scene, random_scene, scenes

from metrics.errors import InputError, InputWarning
from metrics.evaluator import evaluate
from metrics.iou import box_iou
from metrics.match_rule import MatchRule
from metrics.matching import Matches, match
from metrics.measures.calibration import calibration, detection_calibration_error
from metrics.measures.localization_recall_precision import optimal_lrp
from metrics.reliability import reliability, wilson_interval
from metrics.tables import AnnotationTable, Catalog, DetectionTable


def counted(matches: Matches, iou: float, floor: float = 0.0) -> list[tuple[int, float, float]]:
    """Label, score and IoU (0 for a false positive) of each detection that counts."""
    outcome = matches.at(iou)
    return [
        (int(outcome.label[i]), float(outcome.score[i]), float(outcome.iou[i]) if outcome.tp[i] else 0.0)
        for i in range(len(outcome.row))
        if not outcome.ignored[i] and outcome.score[i] >= floor
    ]


def in_bin(score: float, m: int, bins: int) -> bool:
    return m / bins < score <= (m + 1) / bins or (m == 0 and score == 0)


def plain_error(detections: list[tuple[float, float]], bins: int) -> float:
    """Pairs of score and target: the sum over bins of |I_m| / |D| * |mean target - mean score|."""
    if not detections:
        return math.nan
    total = 0.0
    for m in range(bins):
        inside = [(score, worth) for score, worth in detections if in_bin(score, m, bins)]
        if inside:
            gap = np.mean([worth for _, worth in inside]) - np.mean([score for score, _ in inside])
            total += len(inside) / len(detections) * abs(gap)
    return float(total)


def overall(matches: Matches, **settings: object) -> dict[str, float]:
    return {v.name: v.value for v in calibration(matches, **settings) if not v.class_name}  # type: ignore[arg-type]


@given(scenes(ignored=True), st.sampled_from((0.0, 0.25)), st.sampled_from((1, 4, 10)))
def test_errors_equal_their_sums_over_bins(scene: Scene, floor: float, bins: int) -> None:
    matches = match(scene.truth, scene.detections)
    touching = match(scene.truth, scene.detections, MatchRule(iou_thresholds=(1e-12,)))
    values = overall(matches, floor=floor, bins=bins, localization_bins=bins)
    half, touch = counted(matches, 0.5, floor), counted(touching, 1e-12, floor)
    classes = range(len(matches.classes))

    pooled = plain_error([(score, float(iou > 0)) for _, score, iou in half], bins)
    assert_allclose(values["d_ece"], pooled, atol=1e-12)
    per_class = [v.value for v in calibration(matches, floor=floor, bins=bins) if v.name == "d_ece"][1:]
    each = [plain_error([(s, float(iou > 0)) for k, s, iou in half if k == label], bins) for label in classes]
    assert_allclose(per_class, each, atol=1e-12)
    for name, detections in (("la_ece", half), ("la_ece0", touch)):
        each = [plain_error([(s, iou) for k, s, iou in detections if k == label], bins) for label in classes]
        assert_allclose(values[name], nan_mean(each), atol=1e-12)
    each = [[abs(s - iou) for k, s, iou in touch if k == label] for label in classes]
    assert_allclose(values["la_ace0"], nan_mean([np.mean(d) if d else math.nan for d in each]), atol=1e-12)


def nan_mean(values: list[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


@pytest.mark.parametrize("binning", ["quantile", "equal_width"])
@given(scene=scenes(ignored=True), bins=st.sampled_from((1, 3, 10)))
def test_a_reliability_table_counts_each_detection_once(scene: Scene, binning: str, bins: int) -> None:
    matches = match(scene.truth, scene.detections)
    table = reliability(matches, bins=bins, binning=binning)  # type: ignore[arg-type]
    detections = counted(matches, 0.5)
    assert table.count.sum() == len(detections)
    assert len(table.count) <= bins
    for m in range(len(table.count)):
        inside = [
            (s, iou)
            for _, s, iou in detections
            if table.low[m] < s <= table.high[m] or (m == 0 and s == table.low[0])
        ]
        assert table.count[m] == len(inside)
        if not inside:
            assert np.isnan([table.score[m], table.precision[m], table.precision_low[m], table.iou[m]]).all()
            continue
        hits = [iou for _, iou in inside if iou > 0]
        assert table.tp[m] == len(hits)
        assert table.score[m] == pytest.approx(np.mean([s for s, _ in inside]))
        assert table.precision[m] == len(hits) / len(inside)
        assert_allclose(table.iou[m], np.mean(hits) if hits else math.nan)
        assert table.precision_low[m] <= table.precision[m] <= table.precision_high[m]
    if binning == "equal_width":
        assert_allclose(table.error, overall(matches, bins=bins)["d_ece"], atol=1e-12)


def test_quantile_bins_have_about_equal_counts() -> None:
    scene = random_scene(2, detections=1000)
    scene.detections.score[:] = np.random.default_rng(0).permutation(1000) / 1000
    table = reliability(match(scene.truth, scene.detections, MatchRule(max_dets=(1000,))), bins=8)
    assert len(table.count) == 8
    assert table.count.max() - table.count.min() <= 2
    assert table.low[0] == min(table.low)
    assert_array_equal(table.low[1:], table.high[:-1])


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilsons_interval_equals_scipys(confidence: float) -> None:
    true, count = np.array([0, 1, 5, 10, 10, 499]), np.array([10, 10, 10, 10, 11, 1000])
    low, high = wilson_interval(true, count, confidence)
    for k, n, a, b in zip(true.tolist(), count.tolist(), low, high, strict=True):
        theirs = binomtest(k, n).proportion_ci(confidence, method="wilson")
        assert (a, b) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert np.isnan(wilson_interval(np.array([0]), np.array([0]))[0]).all()


def test_wilsons_interval_contains_the_proportion() -> None:
    count = np.repeat(np.arange(1, 200), 3)
    true = np.stack([np.zeros(199, int), np.arange(1, 200) // 2, np.arange(1, 200)], axis=1).ravel()
    low, high = wilson_interval(true, count)
    assert ((low >= 0) & (low <= true / count) & (true / count <= high) & (high <= 1)).all()


def shapes(scores: list[float], overlaps: list[float]) -> Matches:
    """One object of 10 x 10 pixels per image, and a detection that covers this share of it; 0: elsewhere."""
    count = len(scores)
    catalog = Catalog.of(range(count), ["cat"], [(100, 200)] * count)
    boxes = np.array([[0, 0, 10, 10 * part] if part else [150, 50, 10, 10] for part in overlaps], float)
    truth = AnnotationTable.of(catalog, range(count), [0] * count, [[0, 0, 10, 10]] * count)
    found = DetectionTable(catalog, np.arange(count), np.zeros(count, int), boxes, np.array(scores))
    return match(truth, found)


def test_scores_that_are_the_iou_have_no_localization_error() -> None:
    parts = [0.3, 0.5, 0.6, 0.8, 1.0, 0.0]
    values = overall(shapes(parts, parts))
    assert values["la_ace0"] == pytest.approx(0, abs=1e-12)
    assert values["la_ece0"] == pytest.approx(0, abs=1e-12)
    assert values["la_ece"] == pytest.approx(0.3 / 6)  # at IoU 0.5 the first is false
    assert values["d_ece"] == pytest.approx((0.3 + 0.5 + 0.4 + 0.2) / 6)


def test_half_correct_at_score_one_half_is_calibrated() -> None:
    values = overall(shapes([0.5] * 4, [1.0, 0.0, 1.0, 0.0]))
    assert values["d_ece"] == 0
    assert values["la_ace0"] == 0.5  # each detection is off by a half; a bin of them is not


def test_detections_below_the_thresholds_of_another_split_do_not_count() -> None:
    matches = shapes([0.2, 0.9, 0.9], [0.5, 1.0, 0.0])
    assert overall(matches, thresholds=0.5)["la_ace0"] == pytest.approx((0.1 + 0.9) / 2)
    assert overall(matches, thresholds={"cat": 0.9}) == overall(matches, thresholds=[0.9])
    assert math.isnan(overall(matches, thresholds=[math.nan])["la_ece0"])
    assert (
        overall(matches, thresholds=optimal_lrp(matches).score)["la_ace0"] < overall(matches)["la_ace0"] + 1
    )


def test_ignored_detections_do_not_count() -> None:
    matches = shapes([0.2, 0.9], [1.0, 1.0])
    matches.truth.ignored[0] = True
    again = match(matches.truth, matches.detections)
    assert overall(again)["d_ece"] == pytest.approx(0.1)
    assert reliability(again).count.sum() == 1


def test_binning_by_position_and_size_is_finer() -> None:
    matches = shapes([0.5] * 4, [1.0, 0.0, 1.0, 0.0])
    assert detection_calibration_error(matches) == 0
    assert detection_calibration_error(matches, ["score", "cx"]) == 0.5  # the wrong ones lie to the right
    assert detection_calibration_error(matches, ["score", "w"]) == 0


@given(scenes())
def test_binning_by_score_alone_gives_d_ece(scene: Scene) -> None:
    matches = match(scene.truth, scene.detections)
    assert_allclose(detection_calibration_error(matches), overall(matches)["d_ece"], atol=1e-12)


def test_each_box_goes_to_the_bins_of_its_centre_width_and_height() -> None:
    scene = random_scene(6, images=5, objects=40, detections=200, side=200.0)
    scene.truth.catalog.sizes[:] = (180, 250)
    matches = match(scene.truth, scene.detections, MatchRule(max_dets=(1000,)))
    outcome = matches.at(0.5)
    bins: dict[tuple[int, ...], list[tuple[bool, float]]] = {}
    kept = np.flatnonzero(~outcome.ignored)
    for i in kept:
        x, y, w, h = scene.detections.xywh[outcome.row[i]]
        coordinates = (outcome.score[i], (x + w / 2) / 250, (y + h / 2) / 180, w / 250, h / 180)
        key = tuple(min(max(math.ceil(4 * c) - 1, 0), 3) for c in coordinates)
        bins.setdefault(key, []).append((bool(outcome.tp[i]), float(outcome.score[i])))
    expected = sum(abs(sum(t - s for t, s in inside)) for inside in bins.values()) / len(kept)
    ours = detection_calibration_error(matches, ("score", "cx", "cy", "w", "h"), bins=4)
    assert ours == pytest.approx(expected, abs=1e-12)


def test_the_target_at_iou_0_is_the_iou_with_the_matched_object() -> None:
    """At IoU 0 every overlap is a true positive: the target is the IoU with the matched object."""
    scene = random_scene(9, images=1, classes=1, objects=1, detections=1, side=10.0, crowds=0.0)
    iou = float(box_iou(scene.detections.boxes, scene.truth.boxes)[0, 0])
    value = overall(match(scene.truth, scene.detections))["la_ace0"]
    assert value == pytest.approx(abs(float(scene.detections.score[0]) - iou))


def test_scores_that_are_not_probabilities_are_rejected() -> None:
    matches = shapes([0.5, 1.5], [1.0, 1.0])
    with pytest.warns(InputWarning, match=r"1 of 2 scores is not in \[0, 1\], the first is 1.5"):
        assert all(math.isnan(value) for value in overall(matches).values())
    with pytest.raises(InputError, match="scores that are probabilities"):
        reliability(matches)


def test_without_detections_values_are_nan() -> None:
    scene = random_scene(1, detections=0)
    matches = match(scene.truth, scene.detections)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(math.isnan(value) for value in overall(matches).values())
    table = reliability(matches)
    assert len(table.count) == 0
    assert math.isnan(table.error)
    assert math.isnan(reliability(matches, binning="equal_width").error)
    assert math.isnan(detection_calibration_error(matches))


def test_rows_have_the_threshold_they_use() -> None:
    scene = random_scene(1)
    evaluation = evaluate(scene.truth, scene.detections, ["calibration"])
    assert {row.name: row.iou for row in evaluation.rows} == {
        "d_ece": "0.50",
        "la_ece": "0.50",
        "la_ece0": "0.00",
        "la_ace0": "0.00",
    }
    assert not any(row.higher_is_better for row in evaluation.rows)
    each = [evaluation.value("la_ece", name) for name in evaluation.matches.classes]
    assert evaluation.value("la_ece") == pytest.approx(np.mean(each))
    frame = reliability(evaluation.matches).to_frame()
    assert frame["count"].sum() == (~evaluation.matches.at(0.5).ignored).sum()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thresholds": {"cat": 0.5, "dgo": 0.5}}, "no class 'dgo'"),
        ({"thresholds": {}}, "class 'cat' has none"),
        ({"thresholds": [0.1, 0.2, 0.3]}, "expected a number or 1"),
        ({"bins": 0}, "at least 1"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        overall(shapes([0.5], [1.0]), **settings)


def test_invalid_reliability_settings_are_rejected() -> None:
    matches = shapes([0.5], [1.0])
    with pytest.raises(InputError, match="did you mean 'quantile'"):
        reliability(matches, binning="quantiles")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"\(0, 1\)"):
        reliability(matches, confidence=95)
    with pytest.raises(InputError, match=r"\[0, 1\), got 3"):
        reliability(matches, label=3)
    with pytest.raises(InputError, match="unknown 'x'"):
        detection_calibration_error(matches, ["x"])  # type: ignore[list-item]
    unknown = random_scene(1)
    with pytest.raises(InputError, match="size"):
        detection_calibration_error(match(unknown.truth, unknown.detections), ["cx"])
