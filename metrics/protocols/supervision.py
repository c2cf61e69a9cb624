"""Average precision as supervision 0.26 and later compute it."""

from __future__ import annotations

from functools import partial

from metrics.evaluator_rules import EvaluatorRules
from metrics.match_rule import COCO_THRESHOLDS
from metrics.matching import Matches
from metrics.protocols import Thresholds, protocol
from metrics.tables import AnnotationTable, DetectionTable

RULES = EvaluatorRules(areas="box")

NAMES = {
    "ap": "supervision_map50_95",
    "ap50": "supervision_map50",
    "ap75": "supervision_map75",
    "small": "supervision_map50_95_small",
    "medium": "supervision_map50_95_medium",
    "large": "supervision_map50_95_large",
}


@protocol(
    "supervision",
    partial(RULES.values, names=NAMES),
    COCO_THRESHOLDS,
    "supervision 0.31.2, metrics.MeanAveragePrecision",
    rules=RULES,
)
def match_as_supervision(
    truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds
) -> Matches:
    """Mean AP of supervision's MeanAveragePrecision from version 0.26 on.

    Its rules are COCO's. Objects get the area of their box, unless the data have ``area``: values by size differ from those
    of COCO's files, whose areas are those of masks. Precision is rounded to float32, which is not done here.
    """
    return RULES.match(truth, detections, iou_thresholds)
