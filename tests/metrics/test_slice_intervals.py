"""Intervals of slices: replicates equal physically resampled data, and noise is rarely called a difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from resampled_scenes import drawn_counts, physically_resampled
from strategies import Scene, random_scene, scenes, with_detections

from metrics.errors import InputError
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.slices import Axis, compare_slices, measure_slices
from metrics.slices.intervals import normalized_replicates
from metrics.tables import AnnotationTable


def by_area(truth: AnnotationTable, limit: float = 1000.0) -> Axis:
    return Axis.from_bins("area", "object", truth.area, [limit], ["small", "large"])


def random_halves(truth: AnnotationTable, seed: int) -> Axis:
    index = np.random.default_rng(seed).integers(0, 2, len(truth))
    return Axis("half", "object", ("one", "other"), index)


@settings(max_examples=60)
@given(scenes(ignored=True), st.data())
def test_a_replicate_equals_the_slice_of_a_physically_resampled_data_set(
    scene: Scene, data: st.DataObject
) -> None:
    counts = drawn_counts(scene, data)
    rule = MatchRule(max_dets=(1, 10, 100))
    chosen = by_area(scene.truth).index == 1
    (value,), (by_class,) = normalized_replicates(
        match(scene.truth, scene.detections, rule), chosen, counts[None]
    )
    copied = physically_resampled(scene, counts)
    table = measure_slices(
        match(copied.truth, copied.detections, rule), [by_area(copied.truth)], measures=(), classes=True
    )
    for name, of_class in zip(scene.truth.catalog.classes, by_class, strict=True):
        assert of_class == pytest.approx(table.value("ap_n", "area", "large", name), nan_ok=True, abs=1e-12)
    assert value == pytest.approx(table.value("ap_n", "area", "large"), nan_ok=True, abs=1e-12)


def dense(seed: int, images: int = 60) -> Scene:
    return random_scene(
        seed, images=images, classes=2, objects=6 * images, detections=14 * images, crowds=0.0
    )


def kept(scene: Scene, rows: NDArray[np.bool_]) -> Scene:
    return with_detections(scene, np.flatnonzero(rows))


def test_values_are_those_of_the_slices_and_lie_in_their_intervals() -> None:
    runs = [dense(3), kept(dense(3), np.random.default_rng(0).random(840) < 0.7)]
    axis = by_area(runs[0].truth)
    found = compare_slices(
        {"a": [(one.truth, one.detections) for one in runs]}, [axis], resamples=200, seed=1
    )
    for row in found.intervals:
        values = [
            measure_slices(match(one.truth, one.detections), [axis], measures=()).value(
                "ap_n", "area", row.value
            )
            for one in runs
        ]
        assert row.ap_n == pytest.approx(np.mean(values))
        assert 0 <= row.ci_low < row.ap_n < row.ci_high <= 1
        assert row.objects == (axis.index == axis.values.index(row.value)).sum()
    (difference,) = found.differences
    assert difference.delta == pytest.approx(
        found.interval("a", "area", difference.high).ap_n - found.interval("a", "area", difference.low).ap_n
    )


def test_a_model_that_misses_all_small_objects_is_decisively_worse_on_them() -> None:
    scene = dense(5)
    area = scene.detections.xywh[:, 2] * scene.detections.xywh[:, 3]
    large = kept(scene, area > 1000)
    found = compare_slices({"a": (large.truth, large.detections)}, [by_area(scene.truth)], resamples=200)
    row = found.largest("a", "area")
    assert row is not None
    assert (row.high, row.low) == ("large", "small")
    assert 0 < row.sim_low < row.delta < row.sim_high


def test_random_halves_of_the_objects_rarely_differ_decisively() -> None:
    decisive = 0
    for seed in range(40):
        scene = dense(100 + seed)
        found = compare_slices(
            {"a": (scene.truth, scene.detections)}, [random_halves(scene.truth, seed)], resamples=200
        )
        decisive += found.differences[0].decisive
    assert decisive <= 7  # 2 expected; 8 or more of 40 at 5% have a probability of 1 in 1000


def test_few_objects_or_images_are_marked_and_never_compared() -> None:
    scene = dense(7)
    few = np.zeros(len(scene.truth), np.int64)
    few[:19] = 1
    found = compare_slices(
        {"a": (scene.truth, scene.detections)},
        [Axis("part", "object", ("rest", "few", "none"), few)],
        resamples=100,
    )
    assert [(row.value, row.objects, row.too_few) for row in found.intervals] == [
        ("rest", 341, False),
        ("few", 19, True),
    ]
    assert found.differences == ()
    assert found.largest("a", "part") is None
    crowded = np.isin(scene.truth.image, np.arange(9)).astype(np.int64)
    assert crowded.sum() >= 20
    found = compare_slices(
        {"a": (scene.truth, scene.detections)},
        [Axis("part", "object", ("rest", "few images"), crowded)],
        resamples=100,
    )
    assert [row.too_few for row in found.intervals] == [False, True]
    small = dense(8, images=20)  # fewer than 50 images: nothing is decisive
    nothing = kept(small, small.detections.xywh[:, 2] * small.detections.xywh[:, 3] > 1000)
    found = compare_slices({"a": (nothing.truth, nothing.detections)}, [by_area(small.truth)], resamples=100)
    assert found.differences
    assert not any(row.decisive for row in found.differences)


def test_an_axis_of_images_is_refused() -> None:
    scene = dense(1, images=5)
    with pytest.raises(InputError, match="expected an axis of the 30 objects"):
        compare_slices({"a": (scene.truth, scene.detections)}, [Axis("x", "image", ("a",), np.zeros(5, int))])
