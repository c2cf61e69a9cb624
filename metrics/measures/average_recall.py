"""COCO's average recall over IoU thresholds and classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.matching import Matches
from metrics.measures import ClassColumn, Value, class_values, iou_text, measure
from metrics.ratios import mean_defined


@measure("average_recall", better="higher", source="pycocotools 2.0.11, COCOeval.accumulate and summarize")
def average_recall(matches: Matches) -> list[Value]:
    """Mean recall over classes and IoU thresholds (COCO's AR).

    ``ar_<n>`` counts the n highest-scoring detections of each image and class, for each of the rule's max_dets;
    ``ar_<area>`` counts all of them in each area range except the first. Classes without valid ground truth are left out;
    if there are no other classes, the value is NaN.

    Args:
        matches: the matched detections.
    """
    rule, recall = matches.rule, recalls(matches)
    iou = iou_text(rule.iou_thresholds)
    first, *others = rule.areas
    most = rule.max_dets[-1]
    values = [
        Value(f"ar_{cut}", mean_defined(recall[index, 0]), "", first, iou, cut)
        for index, cut in enumerate(rule.max_dets)
    ]
    for index, area in enumerate(others, start=1):
        values.append(Value(f"ar_{area}", mean_defined(recall[-1, index]), "", area, iou, most))
    per_class = recall.mean(axis=2)  # (M, A, K)
    columns = [
        ClassColumn(f"ar_{cut}", per_class[index, 0], first, iou, cut)
        for index, cut in enumerate(rule.max_dets)
    ]
    columns += [
        ClassColumn(f"ar_{area}", per_class[-1, index], area, iou, most)
        for index, area in enumerate(others, start=1)
    ]
    return values + class_values(columns, matches.classes)


def recalls(matches: Matches) -> NDArray[np.float64]:
    """Return recall for each of the rule's max_dets, area ranges, thresholds and classes.

    Args:
        matches: the matched detections.

    Returns:
        (M, A, T, K); NaN for a class without valid ground truth in the area range.
    """
    positives = matches.positives[:, None].astype(np.float64)
    positives[positives == 0] = np.nan
    return np.asarray(matches.tp_count / positives)
