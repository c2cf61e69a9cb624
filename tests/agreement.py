"""Agreement of detections that come from the same computation but were rounded differently.

Processors, batch sizes, thread counts and memory layouts add the same numbers in different orders, so scores that are
nearly equal may change places. Detections are therefore compared as sets, without their order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from detectors.types import Detections
from metrics.iou import box_iou
from metrics.tables import DetectionTable

LEAST_IOU = 0.99
"""Rounding moves a corner by about 1e-4 pixels; two boxes that both survive suppression overlap far less than this."""
MOST_MOVED = 0.01
"""In pixels, for boxes that are clipped to a line or a point: their area is 0, and so is their IoU."""
SCORE_RTOL, SCORE_ATOL = 1e-4, 1e-5
"""A network of some tens of float32 layers rounds scores to about 1e-6 of their value."""


class _Rows(NamedTuple):
    """Detections of one image: (N, 4) xyxy, (N,) and (N,)."""

    boxes: NDArray[Any]
    scores: NDArray[Any]
    labels: NDArray[Any]


def assert_same_detections(found: Detections, expected: Detections) -> None:
    """Pair each detection of an image with one of the same label, box and score, up to rounding.

    Raises:
        AssertionError: a detection has no partner; the message lists the first of them.
    """
    ours, theirs = (
        _Rows(*(column.numpy(force=True) for column in (given.boxes, given.scores, given.labels)))
        for given in (found, expected)
    )
    _assert_paired(ours, theirs, "detections")


def assert_same_tables(found: DetectionTable, expected: DetectionTable) -> None:
    """Pair the detections of two tables image by image; see `assert_same_detections`."""
    assert found.catalog == expected.catalog
    for number, name in enumerate(found.catalog.image_ids):
        ours, theirs = (
            _Rows(given.boxes[rows], given.score[rows], given.label[rows])
            for given, rows in ((found, found.image == number), (expected, expected.image == number))
        )
        _assert_paired(ours, theirs, f"image {name}")


def _assert_paired(found: _Rows, expected: _Rows, where: str) -> None:
    alike = _alike(found, expected)
    row, column = linear_sum_assignment(alike, maximize=True)
    paired = alike[row, column]
    alone = [
        f"{name}: label {rows.labels[k]}, score {rows.scores[k]:.7f}, box {rows.boxes[k].tolist()}"
        for name, rows, taken in (("found", found, row[paired]), ("expected", expected, column[paired]))
        for k in np.setdiff1d(np.arange(len(rows.scores)), taken)
    ]
    assert not alone, "\n".join([f"{where}: {len(alone)} without a partner", *alone[:10]])


def _alike(found: _Rows, expected: _Rows) -> NDArray[np.bool_]:
    """(N, M): whether labels are equal, and boxes and scores are equal up to rounding."""
    near = np.isclose(found.scores[:, None], expected.scores[None], rtol=SCORE_RTOL, atol=SCORE_ATOL)
    overlap = np.asarray(box_iou(found.boxes.astype(np.float64), expected.boxes.astype(np.float64)))
    moved = np.abs(found.boxes[:, None] - expected.boxes[None]).max(axis=2, initial=0)
    placed = (overlap >= LEAST_IOU) | (moved <= MOST_MOVED)
    return near & placed & (found.labels[:, None] == expected.labels[None])
