"""Average precision: COCO's, of each class and size of object, and the two of Pascal VOC."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.matching import Matches
from metrics.measures import Value, iou_text, measure

VOC07_LEVELS = np.linspace(0.0, 1.0, 11)


class PrecisionRecall(NamedTuple):
    """A precision-recall curve, one point for each level of recall.

    Attributes:
        recall: (R,) rising.
        precision: (R,) the best precision at that recall or beyond; 0 where the recall is not reached.
        score: (R,) the score at which the recall is first reached; NaN where it is not.
    """

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    score: NDArray[np.float64]


@measure("average_precision", better="higher", source="pycocotools 2.0.11, COCOeval.accumulate and summarize")
def average_precision(matches: Matches, max_dets: int | None = None) -> list[Value]:
    """Mean precision over recall 0, 0.01 ... 1, classes and IoU thresholds (COCO's AP).

    ``ap`` is the mean over all thresholds in the rule's first area range, ``ap_<area>`` that in each other range, and
    ``ap50``, ``ap75`` ... that at each single threshold. Classes without an object that is asked for do not count;
    where there is no other, the value is NaN.

    Args:
        matches: detections and what they found.
        max_dets: any number up to the rule's largest, which is the default.
    """
    rule = matches.rule
    most = rule.max_dets_or_largest(max_dets)
    precision = matches.curves(most).precision
    all_iou = iou_text(rule.iou_thresholds)
    first, *others = rule.areas
    values = [Value("ap", _mean(precision[..., 0]), "", first, all_iou, most)]
    for index, iou in enumerate(rule.iou_thresholds):
        name = f"ap{iou * 100:.6g}".replace(".", "_")
        values.append(Value(name, _mean(precision[index, :, :, 0]), "", first, iou_text([iou]), most))
    for index, area in enumerate(others, start=1):
        values.append(Value(f"ap_{area}", _mean(precision[..., index]), "", area, all_iou, most))
    per_class = precision.mean(axis=1)  # (T, K, A); NaN for a class that has nothing asked for
    columns = [("ap", per_class[..., 0].mean(axis=0), first, all_iou)]
    for iou in (0.5, 0.75):
        if iou in rule.iou_thresholds:
            at_one = per_class[rule.threshold_index(iou), :, 0]
            columns.append((f"ap{iou * 100:.6g}", at_one, first, iou_text([iou])))
    for index, area in enumerate(others, start=1):
        columns.append((f"ap_{area}", per_class[..., index].mean(axis=0), area, all_iou))
    for name, numbers, area, iou_span in columns:
        for class_name, value in zip(matches.classes, numbers.tolist(), strict=True):
            values.append(Value(name, value, class_name, area, iou_span, most))
    return values


def precision_recall(
    matches: Matches,
    iou: float = 0.5,
    label: int | None = None,
    area: str | None = None,
    max_dets: int | None = None,
) -> PrecisionRecall:
    """The curve whose mean is average precision, at one IoU threshold: for figures.

    Args:
        matches: detections and what they found.
        iou: one of the rule's thresholds.
        label: class index; by default the mean of the curves of all classes that have objects, and no scores.
        area: one of the rule's area ranges, the first where None.
        max_dets: any number up to the rule's largest, which is the default.

    Returns:
        101 points. Precision is NaN where the class (or every class) has no object that is asked for.

    Raises:
        InputError: the rule does not have the threshold or range, or the label is no class.
    """
    if label is not None and not 0 <= label < len(matches.classes):
        raise InputError(f"label: expected a class index in [0, {len(matches.classes)}), got {label}")
    curves = matches.curves(max_dets)
    threshold, index = (
        matches.rule.threshold_index(iou),
        matches.rule.area_index(area or matches.rule.areas[0]),
    )
    precision = curves.precision[threshold, :, :, index]
    if label is None:
        defined = ~np.isnan(precision[0])
        mean = precision[:, defined].mean(axis=1) if defined.any() else np.full(len(precision), np.nan)
        return PrecisionRecall(curves.levels, mean, np.full(len(mean), np.nan))
    reached = curves.levels <= curves.recall[threshold, label, index]
    score = np.where(reached, curves.score[threshold, :, label, index], np.nan)
    return PrecisionRecall(curves.levels, precision[:, label].copy(), score)


def _mean(precision: NDArray[np.float64]) -> float:
    """Mean over what is defined, summed in the reference's order, which settles the last bit."""
    defined = precision[~np.isnan(precision)]
    return float(np.mean(defined)) if len(defined) else float("nan")
