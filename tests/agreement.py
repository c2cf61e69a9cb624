"""Compare detections of the same computation that were rounded differently.

Processors, batch sizes, thread counts and memory layouts change the order of floating-point sums, and so the order of
nearly equal scores. Detections are therefore compared as sets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from detectors.types import Detections
from metrics.iou import box_iou
from metrics.tables import DetectionTable

MIN_IOU = 0.99
"""Rounding moves a corner by about 1e-4 pixels; boxes of one label that survive suppression have a much lower IoU."""
MAX_SHIFT = 0.01
"""In pixels, for boxes that are clipped to a line or a point: they have no area, so their IoU is 0."""
SCORE_RTOL, SCORE_ATOL = 1e-4, 1e-5
"""Rounding in tens of float32 layers changes scores by about 1e-6 of their value."""


class _Rows(NamedTuple):
    """Detections of one image: (N, 4) xyxy, (N,) and (N,)."""

    boxes: NDArray[Any]
    scores: NDArray[Any]
    labels: NDArray[Any]


def assert_same_detections(actual: Detections, expected: Detections) -> None:
    """Pair each detection of an image with one of the same label, and of the same box and score up to rounding.

    Raises:
        AssertionError: a detection has no partner; the message lists the first ten.
    """
    _assert_paired(_rows_of(actual), _rows_of(expected), "detections")


def assert_same_tables(actual: DetectionTable, expected: DetectionTable) -> None:
    """Pair the detections of two tables image by image; see `assert_same_detections`."""
    assert actual.catalog == expected.catalog
    for index, image_id in enumerate(actual.catalog.image_ids):
        actual_rows, expected_rows = (
            _Rows(table.boxes[rows], table.score[rows], table.label[rows])
            for table, rows in ((actual, actual.image == index), (expected, expected.image == index))
        )
        _assert_paired(actual_rows, expected_rows, f"image {image_id}")


def _rows_of(detections: Detections) -> _Rows:
    columns = (detections.boxes, detections.scores, detections.labels)
    return _Rows(*(column.numpy(force=True) for column in columns))


def _assert_paired(actual: _Rows, expected: _Rows, where: str) -> None:
    agrees = _agreement(actual, expected)
    row, column = linear_sum_assignment(agrees, maximize=True)
    paired = agrees[row, column]
    unpaired = [
        f"{name}: label {rows.labels[k]}, score {rows.scores[k]:.7f}, box {rows.boxes[k].tolist()}"
        for name, rows, pairs in (("actual", actual, row[paired]), ("expected", expected, column[paired]))
        for k in np.setdiff1d(np.arange(len(rows.scores)), pairs)
    ]
    assert not unpaired, "\n".join([f"{where}: {len(unpaired)} without a partner", *unpaired[:10]])


def _agreement(actual: _Rows, expected: _Rows) -> NDArray[np.bool_]:
    """(N, M): whether labels are equal, and boxes and scores are equal up to rounding."""
    same_label = actual.labels[:, None] == expected.labels[None]
    same_score = np.isclose(actual.scores[:, None], expected.scores[None], rtol=SCORE_RTOL, atol=SCORE_ATOL)
    iou = np.asarray(box_iou(actual.boxes.astype(np.float64), expected.boxes.astype(np.float64)))
    shift = np.abs(actual.boxes[:, None] - expected.boxes[None]).max(axis=2, initial=0)
    return same_label & same_score & ((iou >= MIN_IOU) | (shift <= MAX_SHIFT))
