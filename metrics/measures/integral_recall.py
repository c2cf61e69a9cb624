"""Average recall as an integral over IoU."""

from __future__ import annotations

import numpy as np

from metrics.engine.neighbours import neighbours
from metrics.matching import Matches
from metrics.measures import ClassColumn, Value, class_values, measure, overall_values
from metrics.ratios import ratio


@measure("integral_recall", better="higher", source="Hosang et al. 2016, arXiv:1502.05082")
def integral_recall(matches: Matches, area: str | None = None, max_dets: int | None = None) -> list[Value]:
    """Twice the integral of recall over IoU from 0.5 to 1 (the original average recall), mean over classes.

    An object contributes the amount by which its highest IoU with a detection exceeds 0.5, so no thresholds are needed. One
    detection may serve several objects: this evaluates proposals, not matches. The measure ``average_recall`` is COCO's.

    Args:
        matches: the matched detections; only the tables are used.
        area: one of the rule's area ranges, by default the first.
        max_dets: at most the rule's largest, which is the default.

    Returns:
        ``integral_recall`` over all classes, then of each; NaN without valid ground truth.
    """
    max_dets = matches.rule.max_dets_or_largest(max_dets)
    area = area or matches.rule.areas[0]
    index = matches.rule.area_index(area)
    valid = (matches.valid >> index) & 1 == 1
    rows = matches.row if max_dets == matches.rule.max_dets[-1] else matches.row[matches.rank < max_dets]
    pairs = neighbours(matches.truth, matches.detections, valid, rows, 0.5)
    if matches.rule.by_class:
        same = matches.detections.label[pairs.row] == matches.truth.label[pairs.object]
        pairs = pairs.select(same)
    highest_iou = np.zeros(len(matches.truth))
    np.maximum.at(highest_iou, pairs.object, np.minimum(pairs.iou, 1.0))
    integral = 2 * np.maximum(highest_iou - 0.5, 0)
    total = np.bincount(matches.object_label[valid], integral[valid], minlength=len(matches.classes))
    by_class = ratio(total, matches.positives[index])
    columns = [ClassColumn("integral_recall", by_class, area, "0.50:1.00", max_dets)]
    return overall_values(columns) + class_values(columns, matches.classes)
