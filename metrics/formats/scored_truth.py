"""Scores in ground truth: they are not used, but reported, because a file in which objects have scores may be of detections."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from metrics.formats.plausibility import warn_rows

KEYS = ("score", "confidence")
"""Keys under which programs write the score of an object, the clearest first."""


def score_in(row: Mapping[str, object]) -> float:
    """The score of an object of JSON; NaN without one that is a number."""
    values = [value for key in KEYS if isinstance(value := row.get(key), int | float)]
    return next((float(value) for value in values if not isinstance(value, bool)), np.nan)


def warn_scores(scores: NDArray[np.float64], where: str) -> None:
    """Warn where objects of ground truth have scores; a file in which all are whole numbers has marks of another kind.

    Args:
        scores: (N,) of the objects; NaN where one has none.
        where: file, for the message.
    """
    scored = np.isfinite(scores)
    if (scores[scored] % 1 != 0).any():
        warn_rows(
            where,
            scored,
            "objects have a score, which is not used: they are read as ground truth; if they are detections, give the file as such "
            "(DETECTIONS of python -m metrics, metrics.read_detections)",
            "scored_truth",
        )
