"""Measures of label maps and masks as functions of areas in pixels, of one data set or of many resamples of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.ratios import ratio

Values = NDArray[np.float64]


class PixelAreas(NamedTuple):
    """Areas in pixels of K classes; the leading axes are those of resamples, if there are any.

    Attributes:
        intersection: (..., K) pixels of the class in truth and prediction.
        truth: (..., K) pixels of the class in the truth.
        predicted: (..., K) pixels of the class in the prediction.
        pixels: (..., 1) compared pixels.
    """

    intersection: NDArray[np.number]
    truth: NDArray[np.number]
    predicted: NDArray[np.number]
    pixels: NDArray[np.number]


def iou(areas: PixelAreas) -> Values:
    """(..., K) intersection over union (Jaccard); NaN where neither truth nor prediction has the class."""
    return ratio(areas.intersection, areas.truth + areas.predicted - areas.intersection)


def dice(areas: PixelAreas) -> Values:
    """(..., K) twice the intersection over the sum of both areas, the F1 of pixels; NaN where neither has the class."""
    return ratio(2 * areas.intersection, areas.truth + areas.predicted)


def precision(areas: PixelAreas) -> Values:
    """(..., K) share of predicted pixels that are correct; NaN without predicted pixels."""
    return ratio(areas.intersection, areas.predicted)


def recall(areas: PixelAreas) -> Values:
    """(..., K) share of the class's pixels that are predicted; NaN without such pixels."""
    return ratio(areas.intersection, areas.truth)


def specificity(areas: PixelAreas) -> Values:
    """(..., K) share of the other pixels that are not predicted to have the class; NaN where all pixels have it."""
    others = areas.pixels - areas.truth
    return ratio(others - (areas.predicted - areas.intersection), others)


def accuracy(areas: PixelAreas) -> Values:
    """(..., K) share of pixels for which the presence of the class is predicted correctly; NaN without pixels."""
    wrong = areas.truth + areas.predicted - 2 * areas.intersection
    return ratio(areas.pixels - wrong, np.broadcast_to(areas.pixels, wrong.shape))


def pixel_accuracy(areas: PixelAreas) -> Values:
    """(...) share of pixels with the correct class, where each pixel has one class; NaN without pixels."""
    return ratio(areas.intersection.sum(axis=-1), areas.pixels[..., 0])


CLASS_MEASURES: Mapping[str, Callable[[PixelAreas], Values]] = {
    "miou": iou,
    "mdice": dice,
    "pixel_precision": precision,
    "pixel_recall": recall,
    "pixel_specificity": specificity,
    "pixel_accuracy": accuracy,
}
"""Measures of single classes by short name. Over all classes the value is their mean, but for ``pixel_accuracy``."""
