"""Average recall as an integral over IoU: how near the nearest detection comes to each object."""

from __future__ import annotations

import math

import numpy as np

from metrics.engine.neighbours import neighbours
from metrics.matching import Matches
from metrics.measures import Value, measure


@measure("integral_recall", better="higher", source="Hosang et al. 2016, arXiv:1502.05082")
def integral_recall(matches: Matches, area: str | None = None, max_dets: int | None = None) -> list[Value]:
    """Twice the integral of recall over IoU from 0.5 to 1 (the original average recall), mean over classes.

    An object's share of the integral is how far the IoU of its nearest detection exceeds 0.5, so that no thresholds
    are needed. A detection may be the nearest of several objects: this asks what was proposed, not what would be
    matched. COCO's average recall is the measure ``average_recall``.

    Args:
        matches: detections and what they found; only which detections and objects there are is used.
        area: one of the rule's area ranges, the first where None.
        max_dets: any number up to the rule's largest, which is the default.

    Returns:
        ``integral_recall`` of all classes, then of each; NaN where nothing is asked for.
    """
    most = matches.rule.max_dets_or_largest(max_dets)
    where = area or matches.rule.areas[0]
    index = matches.rule.area_index(where)
    asked = (matches.valid >> index) & 1 == 1
    kept = matches.row if most == matches.rule.max_dets[-1] else matches.row[matches.rank < most]
    pairs = neighbours(matches.truth, matches.detections, asked, kept, least=0.5)
    if matches.rule.by_class:
        same = matches.detections.label[pairs.row] == matches.truth.label[pairs.object]
        pairs = pairs.select(same)
    nearest = np.zeros(len(matches.truth))
    np.maximum.at(nearest, pairs.object, np.minimum(pairs.iou, 1.0))
    share = 2 * np.maximum(nearest - 0.5, 0)
    total = np.bincount(matches.object_label[asked], share[asked], minlength=len(matches.classes))
    with np.errstate(invalid="ignore"):
        of_classes = total / matches.positives[index]
    defined = of_classes[~np.isnan(of_classes)]
    place = (where, "0.50:1.00", most)
    values = [Value("integral_recall", float(defined.mean()) if len(defined) else math.nan, "", *place)]
    for class_name, value in zip(matches.classes, of_classes.tolist(), strict=True):
        values.append(Value("integral_recall", value, class_name, *place))
    return values
