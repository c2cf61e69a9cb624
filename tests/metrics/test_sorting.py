"""Sorting equals the stable sort of NumPy: by key, and by falling score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from metrics.kernels.sorting import SMALL, count_sort, make_scratch, sort_falling

SCORES = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from((0.0, -0.0, 1.0, 0.5, -0.5, 5e-324, -5e-324, 1.7976931348623157e308)),
)


def check(score: NDArray[np.float64], rows: NDArray[np.int32], first: int = 0) -> None:
    """Sort ``rows[first:]``; the rows before must not change."""
    expected = rows.copy()
    expected[first:] = rows[first:][np.argsort(-score[rows[first:]], kind="stable")]
    size = len(rows) - first
    sort_falling(score.view(np.uint64), rows, first, len(rows), make_scratch(size))
    assert_array_equal(rows, expected)


@given(st.lists(SCORES, max_size=2 * SMALL), st.integers(0, 3))
def test_scores_fall_and_ties_keep_their_order(values: list[float], first: int) -> None:
    rows = np.random.default_rng(len(values)).permutation(len(values)).astype(np.int32)
    check(np.array(values, np.float64), rows, min(first, len(values)))


@pytest.mark.parametrize("size", [SMALL + 1, 5000])
@pytest.mark.parametrize(
    "kind", ["uniform", "rounded", "single", "signed", "sorted", "crowded", "outlier", "zeros"]
)
def test_many_scores_of_every_kind(kind: str, size: int) -> None:
    rng = np.random.default_rng(size)
    uniform = rng.random(size)
    score = {
        "uniform": uniform,
        "rounded": np.round(uniform, 2),
        "single": uniform.astype(np.float32).astype(np.float64),
        "signed": rng.normal(size=size),
        "sorted": np.sort(uniform)[::-1].copy(),
        "crowded": 1 - uniform * 1e-9,
        "outlier": np.append(
            1 - uniform[1:] * 1e-9, 1e-300
        ),  # two digits separate no keys, so that all digits are sorted
        "zeros": rng.choice([0.0, -0.0, 1.0], size),
    }[kind]
    check(score, rng.permutation(size).astype(np.int32))


@given(st.lists(st.integers(-1, 5), max_size=40))
def test_rows_are_grouped_by_key_and_a_negative_key_leaves_them_out(values: list[int]) -> None:
    keys = np.array(values, np.int32)
    rows = np.arange(len(keys), dtype=np.int32)[::-1].copy()
    start, order = np.empty(7, np.int64), np.empty(len(keys), np.int32)
    kept = count_sort(keys, rows, start, order)
    expected = rows[keys[rows] >= 0]
    expected = expected[np.argsort(keys[expected], kind="stable")]
    assert_array_equal(order[:kept], expected)
    assert_array_equal(start, np.searchsorted(keys[expected], np.arange(7)))
