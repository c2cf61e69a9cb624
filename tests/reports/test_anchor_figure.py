"""Recall by size, and the picture of priors over boxes."""

from __future__ import annotations

import numpy as np
import pytest

from reports.figures.anchor_fit import anchor_figure, recall_by_size


def test_recall_by_size_is_counted_in_bins_of_equal_ratio():
    sides = np.array([1.0, 1.5, 3.0, 3.9, 4096.0])
    sizes, share = recall_by_size(sides**2, np.array([1, 0, 1, 1, 0], bool), 1, 4096)
    np.testing.assert_allclose(sizes, np.sqrt(2) * 2.0 ** np.arange(12))
    np.testing.assert_allclose(share, [0.5, 1, *[np.nan] * 9, 0])


def test_a_bin_with_too_few_boxes_is_nan():
    sides = np.array([1.0] + [100.0] * 200)
    _, share = recall_by_size(sides**2, sides > 1, 1, 4096)
    assert np.isnan(share[0])
    _, share = recall_by_size(sides[:-1] ** 2, sides[:-1] > 1, 1, 4096)
    assert share[0] == 0


@pytest.mark.parametrize("spread", [1.0, 1000.0])
def test_the_picture_shows_boxes_and_priors_whatever_their_sizes(spread):
    boxes = np.geomspace(5, 5 * spread, 20)[:, None] * [[1.0, 2.0]]
    curve = recall_by_size(boxes.prod(axis=1), np.ones(20, bool), 4, 20 * spread)
    drawn = anchor_figure(
        "a <b> on $x$", "found", boxes, [boxes[:2]], [boxes[2:4]], {"train": (curve, curve)}, 0.5
    )
    assert drawn.png().startswith(b"\x89PNG")
    assert "fitted priors" in drawn.svg
    assert "Objects reached at IoU 0.5" in drawn.svg
