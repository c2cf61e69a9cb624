"""Pascal VOC's average precision: at 11 recall levels (2007), and the area under the whole curve (from 2010)."""

from __future__ import annotations

import math

import numpy as np

from metrics.matching import Matches
from metrics.measures import ClassColumn, Value, class_values, iou_text, measure, overall_values

VOC07_LEVELS = np.linspace(0.0, 1.0, 11)
"""Recall levels of 2007."""


@measure(
    "voc_average_precision",
    better="higher",
    source="Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, section 4.2; VOC2010 development kit",
)
def voc_average_precision(matches: Matches, iou: float = 0.5, area: str | None = None) -> list[Value]:
    """Pascal VOC's average precision: at 11 recall levels (2007), and under the whole curve (from 2010).

    ``voc07_ap`` is the mean precision at recall 0, 0.1 ... 1, ``voc10_ap`` the area under the whole curve.
    ``difficult`` objects (`ignored`) are neither valid ground truth nor counted against a detection. All detections within
    the rule's max_dets count; VOC has no such limit. IoU is COCO's, without the extra pixel per side of VOC's development
    kit, and a detection whose best object is already matched may match another, where the kit counts a false positive. For
    boxes of 50 pixels the first changes an IoU of 0.5 by less than 0.01.

    Args:
        matches: the matched detections.
        iou: one of the rule's thresholds.
        area: one of the rule's area ranges, by default the first.
    """
    area = area or matches.rule.areas[0]
    threshold, index = matches.rule.threshold_index(iou), matches.rule.area_index(area)
    at_11_levels = matches.curves(levels=VOC07_LEVELS).precision[threshold, :, :, index].mean(axis=0)
    outcome = matches.at(iou, area)
    under_curve = np.full(len(matches.classes), math.nan)
    for label in range(len(matches.classes)):
        part = slice(outcome.start[label], outcome.start[label + 1])
        tp = outcome.tp[part][~outcome.ignored[part]]
        if outcome.positives[label]:
            precision = np.cumsum(tp) / np.arange(1, len(tp) + 1)
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            # Each true positive raises recall by 1 / positives.
            under_curve[label] = envelope[tp].sum() / outcome.positives[label]
    fields = (area, iou_text([iou]), matches.rule.max_dets[-1])
    columns = [ClassColumn("voc07_ap", at_11_levels, *fields), ClassColumn("voc10_ap", under_curve, *fields)]
    return overall_values(columns) + class_values(columns, matches.classes)
