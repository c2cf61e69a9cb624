"""Average precision as Ultralytics 8.4.176 and later compute it."""

from __future__ import annotations

from functools import partial

from metrics.evaluator_rules import EvaluatorRules
from metrics.match_rule import COCO_THRESHOLDS
from metrics.matching import Matches
from metrics.protocols import Thresholds, protocol
from metrics.tables import AnnotationTable, DetectionTable

RULES = EvaluatorRules(
    score=0.001,
    per_image=300,
    per_class=None,
    regions="left_out",
    candidates="first_free",
    curve="interpolated",
)
"""Limits are those of validation (`conf`, `max_det`). Its converter of COCO files leaves crowds out."""

NAMES = {"ap": "ultralytics_map50_95", "ap50": "ultralytics_map50", "ap75": "ultralytics_map75"}


@protocol(
    "ultralytics",
    partial(RULES.values, names=NAMES),
    COCO_THRESHOLDS,
    "ultralytics 8.4.190, ap_per_class and match_predictions",
    rules=RULES,
)
def match_as_ultralytics(
    truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds
) -> Matches:
    """Mean AP of Ultralytics from version 8.4.176 on.

    By falling score, each detection takes the free object of its class with the highest IoU, of equal ones the first. Scores
    must exceed 0.001, and the 300 highest-scoring detections of an image count, as in validation. Crowds and ignored objects
    are not known: detections there are false positives. Average precision is the area, by the trapezoidal rule at 101 points,
    under straight lines between the points of the envelope of the precision-recall curve.

    IoU and thresholds are float64 here and float32 there, and equal scores are ranked as given here and in no defined order
    there: both matter only where two numbers are nearly equal.
    """
    return RULES.match(truth, detections, iou_thresholds)
