"""The twelve numbers of `COCOeval.summarize`, and their lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.reference.params import Params


def summarize_boxes(evaluation: Mapping[str, Any], params: Params) -> NDArray[np.float64]:
    """Print the summary of pycocotools.

    Args:
        evaluation: `COCOeval.eval`.
        params: settings. With fewer than three limits on detections, the last serves for those that are missing.

    Returns:
        (12,) the numbers; -1 where a number is undefined, or no setting has its name.
    """
    cuts = list(params.maxDets)
    first, second, last = cuts[0], cuts[min(1, len(cuts) - 1)], cuts[min(2, len(cuts) - 1)]

    def number(
        kind: Literal["precision", "recall"], most: int, iou: float | None = None, area: str = "all"
    ) -> float:
        return _number(evaluation[kind], params, most, iou, area)

    return np.array(
        [
            number("precision", 100 if len(cuts) > 2 else last),
            number("precision", last, iou=0.5),
            number("precision", last, iou=0.75),
            *(number("precision", last, area=area) for area in ("small", "medium", "large")),
            *(number("recall", most) for most in (first, second, last)),
            *(number("recall", last, area=area) for area in ("small", "medium", "large")),
        ]
    )


def _number(
    table: NDArray[np.float64],
    params: Params,
    most: int,
    iou: float | None,
    area: str,
) -> float:
    """Print one line and return its number; -1 where it is undefined or no setting has that name.

    Args:
        table: precision (T, R, K, A, M) or recall (T, K, A, M).
        params: settings.
        most: limit on detections.
        iou: threshold; by default the mean over all.
        area: name of the area range.
    """
    precision = table.ndim == 5
    if iou is not None:
        table = table[np.flatnonzero(np.asarray(params.iouThrs) == iou)]
    areas = [index for index, name in enumerate(params.areaRngLbl) if name == area]
    cuts = [index for index, cut in enumerate(params.maxDets) if cut == most]
    table = table[..., areas, :][..., cuts]
    defined = table[table > -1]
    number = float(np.mean(defined)) if defined.size else -1.0
    title = "Average Precision  (AP)" if precision else "Average Recall     (AR)"
    span = f"{params.iouThrs[0]:0.2f}:{params.iouThrs[-1]:0.2f}" if iou is None else f"{iou:0.2f}"
    print(f" {title} @[ IoU={span:<9} | area={area:>6s} | maxDets={most:>3d} ] = {number:0.3f}")
    return number
