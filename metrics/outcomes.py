"""Average precision of an outcome, also of one that did not come about: with errors mended, or in a slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.matching import MatchOutcome

LEVELS = np.linspace(0.0, 1.0, 101)
"""COCO's recall levels."""

EPSILON = np.spacing(1.0)
"""What the reference adds to a count before it divides by it."""


def average_precision(outcome: MatchOutcome, objects: float | None = None) -> NDArray[np.float64]:
    """Average precision of each class at the outcome's one IoU threshold.

    Args:
        outcome: of `Matches.at`, or made from one.
        objects: of a class, as if all classes had so many: then precision is Hoiem's normalised one, R N / (R N + F)
            with recall R and F false positives (Hoiem et al. 2012, Diagnosing error in object detectors, section 2.2).
            By default as many as there are, which is COCO's.

    Returns:
        (K,) NaN where no object of the class is asked for, 0 where none is found.
    """
    values = np.full(len(outcome.positives), np.nan)
    counted = np.cumsum(~outcome.ignored)
    for label in np.flatnonzero(outcome.positives):
        first, last = outcome.start[label], outcome.start[label + 1]
        hits = first + np.flatnonzero(outcome.tp[first:last])
        if not len(hits):
            values[label] = 0.0
            continue
        before = counted[first - 1] if first else 0
        true = np.arange(1, len(hits) + 1)
        false = counted[hits] - before - true
        recall = true / outcome.positives[label]
        weighed = true if objects is None else recall * objects
        precision = np.maximum.accumulate((weighed / (weighed + false + EPSILON))[::-1])[::-1]
        reached = np.searchsorted(recall, LEVELS, side="left")
        values[label] = np.append(precision, 0.0)[reached].mean()
    return values
