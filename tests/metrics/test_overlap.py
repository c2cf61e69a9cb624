"""The grid finds the same objects as comparing all of them, with the same IoU, in the same order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from metrics.engine.overlap import (
    FEW,
    build_grid,
    find_candidates,
    make_candidates,
    make_grid,
    make_objects,
)

Floats = NDArray[np.float64]


def candidates(
    box: Floats, objects: Floats, crowd: NDArray[np.bool_], least: float
) -> list[tuple[int, float]]:
    """The candidates that the kernels find among xywh objects, highest IoU first."""
    count = len(objects)
    grid, near = make_grid(count), make_candidates(count)
    made = make_objects(objects, crowd)
    build_grid(made, 0, count, grid)
    found = find_candidates(box, least, made, 0, count, grid, near)
    return list(zip(near.object[:found].tolist(), near.iou[:found].tolist(), strict=True))


def by_looking_at_all(
    box: Floats, objects: Floats, crowd: NDArray[np.bool_], least: float
) -> list[tuple[int, float]]:
    """The same by the definition."""
    found = []
    for index, (x, y, w, h) in enumerate(objects.tolist()):
        bx, by, bw, bh = box.tolist()
        width = min(bw + bx, w + x) - max(bx, x)
        height = min(bh + by, h + y) - max(by, y)
        if width > 0 and height > 0:
            inter = width * height
            union = bw * bh if crowd[index] else bw * bh + w * h - inter
            if union != 0 and inter / union >= least:
                found.append((index, inter / union))
    return sorted(found, key=lambda pair: (-pair[1], -pair[0]))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from((FEW, FEW + 1, 60, 300)),
    st.sampled_from((0.01, 0.1, 0.5, 0.75, 1 - 1e-10)),
    st.sampled_from((30.0, 300.0, 5000.0)),
    st.sampled_from((0.0, 1.0, 8.0)),
)
def test_the_grid_misses_nothing(seed: int, count: int, least: float, side: float, grain: float) -> None:
    rng = np.random.default_rng(seed)
    objects = np.c_[rng.random((count, 2)) * side - side / 2, rng.lognormal(3, 1, (count, 2))]
    box = objects[rng.integers(count)] + rng.normal(0, 3, 4)
    box[2:] = np.abs(box[2:])
    if grain:
        objects, box = np.round(objects / grain) * grain, np.round(box / grain) * grain
    crowd = rng.random(count) < 0.1
    assert candidates(box, objects, crowd, least) == by_looking_at_all(box, objects, crowd, least)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(("least", "longer"), [(0.5, 800.0), (0.25, 2400.0), (0.8, 200.0)])
def test_an_object_at_the_bound_of_the_search_is_found(
    axis: int, before: bool, least: float, longer: float
) -> None:
    """The detection is an end of the object, which is just so much longer that their IoU is the threshold.

    Small objects all around make the buckets smaller than the boxes.
    """
    spread = np.arange(900.0)
    far = np.c_[spread % 30 * 200 - 2000, spread // 30 * 200 - 2000, np.full((900, 2), 8.0)]
    box = np.array([1000.0, 1000.0, 800.0, 800.0])
    wide = box.copy()
    wide[axis + 2] += longer
    wide[axis] -= longer if before else 0
    objects = np.vstack([far, wide])
    crowd = np.zeros(len(objects), np.bool_)
    assert (900, least) in candidates(box, objects, crowd, least)
    # the reverse: the object is an end of the detection
    assert (900, least) in candidates(wide, np.vstack([far, box]), crowd, least)


def test_boxes_too_small_for_floating_point_equal_the_reference() -> None:
    rng = np.random.default_rng(0)
    objects = np.c_[1e6 + rng.random((60, 2)), rng.choice([1e-10, 3e-10, 0.0, -1.0, 5.0], (60, 2))]
    crowd = np.zeros(60, np.bool_)
    for box in objects:
        assert candidates(box, objects, crowd, 0.5) == by_looking_at_all(box, objects, crowd, 0.5)


def test_thousands_of_coinciding_boxes_are_sorted() -> None:
    rng = np.random.default_rng(0)
    objects = np.c_[rng.choice([0.0, 1.0, 2.0], (3000, 2)), np.full((3000, 2), 50.0)]
    box, crowd = np.array([0.0, 0.0, 50.0, 50.0]), np.zeros(3000, np.bool_)
    assert candidates(box, objects, crowd, 0.5) == by_looking_at_all(box, objects, crowd, 0.5)
