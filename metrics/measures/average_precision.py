"""COCO's average precision by class, IoU threshold and area range, and precision-recall curves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.matching import Matches
from metrics.measures import ClassColumn, Value, class_values, iou_text, measure
from metrics.plurals import plural
from metrics.ratios import mean_defined


class PrecisionRecall(NamedTuple):
    """A precision-recall curve.

    Attributes:
        recall: (R,) recall levels, ascending.
        precision: (R,) highest precision at this recall or above; 0 where the recall is not reached.
        score: (R,) score threshold at which the recall is first reached; NaN where it is not.
    """

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    score: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"PrecisionRecall({plural(len(self.recall), 'level')}; mean precision {float(self.precision.mean()):.4f})"


@measure("average_precision", better="higher", source="pycocotools 2.0.11, COCOeval.accumulate and summarize")
def average_precision(matches: Matches, max_dets: int | None = None) -> list[Value]:
    """Mean precision over recall 0, 0.01 ... 1, classes and IoU thresholds (COCO's AP).

    ``ap`` is the mean over all thresholds in the rule's first area range, ``ap_<area>`` the mean in each other range, and
    ``ap50``, ``ap75`` ... the value at each single threshold. Classes without valid ground truth are left out; if there are
    no other classes, the value is NaN.

    Args:
        matches: the matched detections.
        max_dets: at most the rule's largest, which is the default.
    """
    rule = matches.rule
    most = rule.max_dets_or_largest(max_dets)
    precision = matches.curves(most).precision
    all_iou = iou_text(rule.iou_thresholds)
    first, *others = rule.areas
    values = [Value("ap", mean_defined(precision[..., 0]), "", first, all_iou, most)]
    for index, iou in enumerate(rule.iou_thresholds):
        name = f"ap{iou * 100:.6g}".replace(".", "_")
        values.append(Value(name, mean_defined(precision[index, :, :, 0]), "", first, iou_text([iou]), most))
    for index, area in enumerate(others, start=1):
        values.append(Value(f"ap_{area}", mean_defined(precision[..., index]), "", area, all_iou, most))
    per_class = precision.mean(axis=1)  # (T, K, A); NaN for a class without valid ground truth
    columns = [ClassColumn("ap", per_class[..., 0].mean(axis=0), first, all_iou, most)]
    for iou in (0.5, 0.75):
        if iou in rule.iou_thresholds:
            at_threshold = per_class[rule.threshold_index(iou), :, 0]
            columns.append(ClassColumn(f"ap{iou * 100:.6g}", at_threshold, first, iou_text([iou]), most))
    for index, area in enumerate(others, start=1):
        columns.append(ClassColumn(f"ap_{area}", per_class[..., index].mean(axis=0), area, all_iou, most))
    return values + class_values(columns, matches.classes)


def precision_recall(
    matches: Matches,
    iou: float = 0.5,
    label: int | None = None,
    area: str | None = None,
    max_dets: int | None = None,
) -> PrecisionRecall:
    """Return the precision-recall curve at one IoU threshold; its mean is average precision.

    Args:
        matches: the matched detections.
        iou: one of the rule's thresholds.
        label: class index; by default the mean curve of all classes with objects, without scores.
        area: one of the rule's area ranges, by default the first.
        max_dets: at most the rule's largest, which is the default.

    Returns:
        101 points. Precision is NaN where the class (or every class) has no valid ground truth.

    Raises:
        InputError: the rule does not have the threshold or area range, or there is no such class.
    """
    if label is not None and not 0 <= label < len(matches.classes):
        raise InputError(f"label: expected a class index in [0, {len(matches.classes)}), got {label}")
    curves = matches.curves(max_dets)
    threshold = matches.rule.threshold_index(iou)
    index = matches.rule.area_index(area or matches.rule.areas[0])
    precision = curves.precision[threshold, :, :, index]
    if label is None:
        defined = ~np.isnan(precision[0])
        mean = precision[:, defined].mean(axis=1) if defined.any() else np.full(len(precision), np.nan)
        return PrecisionRecall(curves.levels, mean, np.full(len(mean), np.nan))
    reached = curves.levels <= curves.recall[threshold, label, index]
    score = np.where(reached, curves.score[threshold, :, label, index], np.nan)
    return PrecisionRecall(curves.levels, precision[:, label].copy(), score)
