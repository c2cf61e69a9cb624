"""Average recall: COCO's, over IoU thresholds and classes, and Hosang's, as an integral over IoU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.matching import Matches
from metrics.measures import Value, iou_text, measure


@measure("average_recall", better="higher", source="pycocotools 2.0.11, COCOeval.accumulate and summarize")
def average_recall(matches: Matches) -> list[Value]:
    """Recall of all that is found, mean over classes and IoU thresholds (COCO's AR).

    ``ar_<n>`` counts the n surest detections of each image and class, for each of the rule's max_dets;
    ``ar_<area>`` all of them, in each area range but the first. Classes without an object that is asked for do not
    count; where there is no other, the value is NaN.

    Args:
        matches: detections and what they found.
    """
    rule, recall = matches.rule, recalls(matches)
    iou = iou_text(rule.iou_thresholds)
    first, *others = rule.areas
    most = rule.max_dets[-1]
    values = [
        Value(f"ar_{cut}", _mean(recall[index, 0]), "", first, iou, cut)
        for index, cut in enumerate(rule.max_dets)
    ]
    for index, area in enumerate(others, start=1):
        values.append(Value(f"ar_{area}", _mean(recall[-1, index]), "", area, iou, most))
    per_class = recall.mean(axis=2)  # (M, A, K)
    columns = [(f"ar_{cut}", per_class[index, 0], first, cut) for index, cut in enumerate(rule.max_dets)]
    columns += [
        (f"ar_{area}", per_class[-1, index], area, most) for index, area in enumerate(others, start=1)
    ]
    for name, numbers, area, cut in columns:
        for class_name, value in zip(matches.classes, numbers.tolist(), strict=True):
            values.append(Value(name, value, class_name, area, iou, cut))
    return values


def recalls(matches: Matches) -> NDArray[np.float64]:
    """(M, A, T, K) recall for each of the rule's max_dets, area ranges, thresholds and classes.

    NaN for a class that has no object asked for in the range.

    Args:
        matches: detections and what they found.
    """
    positives = matches.positives[:, None].astype(np.float64)
    positives[positives == 0] = np.nan
    return np.asarray(matches.tp_count / positives)


def _mean(recall: NDArray[np.float64]) -> float:
    """Mean over what is defined, summed in the reference's order, which settles the last bit."""
    defined = recall[~np.isnan(recall)]
    return float(np.mean(defined)) if len(defined) else float("nan")
