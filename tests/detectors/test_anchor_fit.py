"""Fit of priors to boxes, and search for better priors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou

from detectors.anchor_fit import ShapeFit, detector_priors, feature_grids, measure_fit, prior_sizes
from detectors.prior_search import cluster, refine, search_rule, shape_iou, split_by_level
from detectors.priors import GridPriors
from detectors.registry import VARIANTS
from detectors.search_range import Choice, Range
from metrics.errors import InputError


def some_shapes(seed: int, n: int = 60) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(3.0, 0.6, (n, 2)))


def test_the_fit_is_the_best_overlap_of_each_object():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 80, (25, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 50, (25, 2))], axis=1)
    detector = VARIANTS["ssd"].build(VARIANTS["ssd"].config(), 2)
    priors, levels = detector_priors(detector, (128, 128))
    fit = measure_fit(boxes, priors, levels, threshold=0.5)
    iou = box_iou(torch.from_numpy(boxes), priors.double())
    np.testing.assert_allclose(fit.best_iou, iou.max(dim=1).values, atol=1e-5)
    assert fit.mean == pytest.approx(iou.max(dim=1).values.mean().item(), abs=1e-5)
    assert fit.recall == pytest.approx((iou.max(dim=1).values >= 0.5).double().mean().item())
    assert detector.training


@given(
    seed=st.integers(0, 10_000),
    size=st.tuples(st.integers(9, 200), st.integers(9, 200)),
    spacing=st.sampled_from(["stride", "fit", "floor"]),
    offset=st.sampled_from([0.0, 0.5]),
)
def test_shape_fit_equals_the_fit_of_all_priors(seed, size, spacing, offset):
    """The oracle looks at every prior."""
    draw = np.random.default_rng(seed)
    strides = (8, 16, 64)
    grids = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in strides]
    shapes = [np.exp(draw.normal(2.5, 0.8, (count, 2))) for count in (3, 1, 2)]
    priors = GridPriors(shapes, strides, "pixel", spacing, offset)
    low = draw.uniform(-20, 1, (30, 2)) + draw.random((30, 2)) * [size[1], size[0]]
    boxes = np.concatenate([low, low + np.exp(draw.normal(2.5, 1.0, (30, 2)))], axis=1)
    counts = [rows * columns * len(level) for (rows, columns), level in zip(grids, shapes, strict=True)]
    whole = measure_fit(boxes, priors(grids, size), counts, threshold=0.3)
    quick = ShapeFit(boxes, priors, grids, size, threshold=0.3)(prior_sizes(priors, grids, size))
    np.testing.assert_allclose(quick.best_iou, whole.best_iou, atol=1e-5)
    assert quick.levels == whole.levels
    np.testing.assert_allclose(quick.area, whole.area)
    # Of a tie, or of what rounding makes one, either level is right.
    other = quick.level != whole.level
    again = [
        measure_fit(boxes, priors(grids, size)[start : start + count], [count]).best_iou
        for start, count in zip(np.cumsum([0, *counts[:-1]]), counts, strict=True)
    ]
    np.testing.assert_allclose(
        np.stack(again)[quick.level, np.arange(30)][other], whole.best_iou[other], atol=1e-5
    )


@pytest.mark.parametrize("name", ["ssd", "retinanet", "atss"])
def test_grids_are_those_of_the_detector(name):
    detector = VARIANTS[name].build(VARIANTS[name].config(), 2)
    size = (72, 136)
    grids = feature_grids(detector, size)
    priors, levels = detector_priors(detector, size)
    assert detector.training
    assert tuple(r * c * n for (r, c), n in zip(grids, detector.priors.per_cell, strict=True)) == levels
    sides = priors[:, 2:] - priors[:, :2]
    np.testing.assert_allclose(
        prior_sizes(detector.priors, grids, size)[0], sides[: detector.priors.per_cell[0]]
    )


def test_other_modules_than_dense_detectors_have_no_grids():
    with pytest.raises(InputError, match="Linear: not a dense or two-stage detector, so it has no priors"):
        feature_grids(torch.nn.Linear(1, 1), (64, 64))


def test_rows_add_up_over_sizes_and_over_levels():
    boxes = np.array([[0, 0, 10.0, 10], [0, 0, 32, 32], [0, 0, 100, 120]])
    priors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 30, 30], [0, 0, 100, 100]])
    fit = measure_fit(boxes, priors, (2, 1), threshold=0.9)
    rows = {row.group: row for row in fit.rows()}
    assert [rows[name].objects for name in ("all", "small", "medium", "large")] == [3, 1, 1, 1]
    assert [rows[name].objects for name in ("level 0", "level 1")] == [2, 1]
    assert rows["small"].mean_iou == 1
    assert rows["all"].recall == pytest.approx(1 / 3)
    assert fit.unreached.tolist() == [2, 1]  # 100/120 is below 900/1024


def test_no_objects_have_no_fit():
    fit = measure_fit(np.zeros((0, 4)), torch.tensor([[0.0, 0, 1, 1]]), (1,))
    assert math.isnan(fit.mean)
    assert math.isnan(fit.recall)
    assert len(fit.unreached) == 0


@pytest.mark.parametrize(
    ("boxes", "levels", "text"),
    [
        (np.zeros((2, 5)), (1,), r"expected shape \(G, 4\), got \(2, 5\)"),
        (np.zeros((1, 4)), (2,), "sum to 2"),
    ],
)
def test_a_fit_with_wrong_shapes_is_an_error(boxes, levels, text):
    with pytest.raises(InputError, match=text):
        measure_fit(boxes, torch.tensor([[0.0, 0, 1, 1]]), levels)


def test_shape_iou_is_the_iou_of_boxes_with_one_centre():
    a, b = some_shapes(1, 9), some_shapes(2, 7)
    boxes = [torch.from_numpy(np.concatenate([-s / 2, s / 2], axis=1)) for s in (a, b)]
    np.testing.assert_allclose(shape_iou(a, b), box_iou(*boxes), atol=1e-12)


def test_clusters_of_two_heaps_are_their_middles():
    rng = np.random.default_rng(4)
    small, wide = np.array([10.0, 20.0]), np.array([80.0, 30.0])
    heaps = np.concatenate(
        [small * np.exp(rng.normal(0, 0.05, (40, 2))), wide * np.exp(rng.normal(0, 0.05, (30, 2)))]
    )
    np.testing.assert_allclose(cluster(heaps, 2), [small, wide], rtol=0.05)


@given(seed=st.integers(0, 1000), k=st.integers(1, 8))
def test_clusters_are_reproducible_sorted_and_within_the_data(seed, k):
    shapes = some_shapes(seed)
    found = cluster(shapes, k, seed)
    np.testing.assert_array_equal(found, cluster(shapes, k, seed))
    assert found.shape == (k, 2)
    assert (np.diff(found.prod(axis=1)) >= 0).all()
    assert (found >= shapes.min(axis=0) - 1e-9).all()
    assert (found <= shapes.max(axis=0) + 1e-9).all()


def test_as_many_clusters_as_shapes_fit_perfectly():
    shapes = some_shapes(3, 6)
    assert shape_iou(shapes, cluster(shapes, 6)).max(axis=1) == pytest.approx(np.ones(6))


@given(seed=st.integers(0, 1000))
def test_refined_shapes_fit_no_worse_than_those_they_began_with(seed):
    shapes = some_shapes(seed, 30)
    start = cluster(shapes, 3, seed)

    def worth(priors):
        best = shape_iou(shapes, priors).max(axis=1)
        return best.mean() + (best >= 0.5).mean()

    assert worth(refine(worth, start, shapes, seed, steps=50)) >= worth(start) - 1e-12


def test_a_prior_that_no_object_needs_is_brought_back():
    shapes = np.array([[10.0, 10.0]] * 5 + [[80.0, 20.0]] * 5)
    start = np.array([[10.0, 10.0], [1000.0, 3.0]])

    def worth(priors):
        return shape_iou(shapes, priors).max(axis=1).mean()

    np.testing.assert_allclose(refine(worth, start, shapes, steps=100), [[10, 10], [80, 20]])


def test_too_many_clusters_and_flat_shapes_are_errors():
    with pytest.raises(InputError, match="3 clusters of 2 different shapes; use at most 2"):
        cluster(np.array([[1.0, 2], [1, 2], [2, 3]]), 3)
    with pytest.raises(InputError, match="must be above 0"):
        cluster(np.array([[1.0, 0]]), 1)


def test_shapes_are_shared_out_small_ones_to_fine_levels_and_no_larger_than_the_image():
    shapes = np.array([[4.0, 4], [8.04, 6], [40, 30], [300, 90]])
    assert split_by_level(shapes, [8, 16], (100, 200)) == [[(4, 4), (8, 6)], [(40, 30), (200, 90)]]
    assert split_by_level(shapes, [8, 16], (100, 200), counts=[3, 1]) == [
        [(4, 4), (8, 6), (40, 30)],
        [(200, 90)],
    ]
    assert split_by_level(np.array([[0.01, 3.0]]), [8], (100, 200)) == [[(0.1, 3)]]
    with pytest.raises(InputError, match="4 shapes for 3 levels; use a multiple, such as 3"):
        split_by_level(shapes, [8, 16, 32], (100, 200))


@pytest.mark.parametrize("name", ["ssd", "retinanet"])
def test_found_shapes_become_the_detectors_priors(name):
    variant = VARIANTS[name]
    levels = 4
    shapes = split_by_level(cluster(some_shapes(0), 2 * levels), [8, 16, 32, 64], (128, 128))
    config = variant.config.model_validate({"levels": levels, "shapes": shapes})
    detector = variant.build(config, 2)
    priors, counts = detector_priors(detector, (128, 128))
    sides = priors[:, 2:] - priors[:, :2]
    assert counts[0] == 2 * 16 * 16
    np.testing.assert_allclose(sides[:2], shapes[0], rtol=1e-4)
    np.testing.assert_allclose(sides[-2:], shapes[-1], rtol=1e-4)


def test_search_of_a_rule_never_lowers_the_objective():
    variant = VARIANTS["retinanet"]
    small = np.array([[20.0, 20, 30, 30], [50, 60, 61, 69], [5, 5, 14, 16]])
    grids, strides = [(16, 16), (8, 8)], (8, 16)

    def worth(settings):
        priors = variant.priors(variant.config.model_validate({"levels": 2, **settings}), strides)
        return measure_fit(
            small, priors(grids, (128, 128)), [r * c * priors.per_cell[0] for r, c in grids]
        ).mean

    start = {"anchor_scale": 4.0, "octaves": 3}
    space = {"anchor_scale": Range(1, 8, log=True), "octaves": Choice(1, 2, 3)}
    best, value = search_rule(worth, space, start, trials=40)
    assert value > worth(start) + 0.1
    assert value == worth(best)
    assert 1 <= best["anchor_scale"] < 4
    assert search_rule(worth, space, start, trials=40) == (best, value)
    assert search_rule(worth, space, start, trials=1) == (start, worth(start))
