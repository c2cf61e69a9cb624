"""Average precision of Pascal VOC: at 11 recalls (2007), and the area under the whole curve (2010 and after)."""

from __future__ import annotations

import math

import numpy as np

from metrics.matching import Matches
from metrics.measures import Value, iou_text, measure

ELEVEN = np.linspace(0.0, 1.0, 11)
"""Recall levels of 2007."""


@measure(
    "voc_average_precision",
    better="higher",
    source="Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, section 4.2; VOC2010 development kit",
)
def voc_average_precision(matches: Matches, iou: float = 0.5, area: str | None = None) -> list[Value]:
    """Pascal VOC's average precision: ``voc07_ap`` at recall 0, 0.1 ... 1 and ``voc10_ap`` under the whole curve.

    Objects that are ``difficult`` (`ignored`) are neither asked for nor held against a detection. All detections of
    the rule count: VOC has no limit, COCO's 100 of an image and class is one. IoU is that of COCO, without the pixel
    that VOC's development kit adds to every side; and a detection whose best object is taken may take another, where
    the kit calls it false. For sides of 50 pixels the first changes an IoU of 0.5 by less than 0.01.

    Args:
        matches: detections and what they found.
        iou: one of the rule's thresholds.
        area: one of the rule's area ranges, the first where None.
    """
    where = area or matches.rule.areas[0]
    threshold, index = matches.rule.threshold_index(iou), matches.rule.area_index(where)
    most = matches.rule.max_dets[-1]
    at_eleven = matches.curves(levels=ELEVEN).precision[threshold, :, :, index].mean(axis=0)
    outcome = matches.at(iou, where)
    under_all = np.full(len(matches.classes), math.nan)
    for label in range(len(matches.classes)):
        part = slice(outcome.start[label], outcome.start[label + 1])
        true = outcome.tp[part][~outcome.ignored[part]]
        if outcome.positives[label]:
            precision = np.cumsum(true) / np.arange(1, len(true) + 1)
            envelope = np.maximum.accumulate(precision[::-1])[::-1]
            # Each true positive is a step to the right by one of all objects.
            under_all[label] = envelope[true].sum() / outcome.positives[label]
    place = (where, iou_text([iou]), most)
    values = []
    for name, of_classes in (("voc07_ap", at_eleven), ("voc10_ap", under_all)):
        defined = of_classes[~np.isnan(of_classes)]
        values.append(Value(name, float(defined.mean()) if len(defined) else math.nan, "", *place))
    for name, of_classes in (("voc07_ap", at_eleven), ("voc10_ap", under_all)):
        for class_name, value in zip(matches.classes, of_classes.tolist(), strict=True):
            values.append(Value(name, value, class_name, *place))
    return values
