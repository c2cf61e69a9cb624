"""Average precision as torchmetrics computes it from boxes."""

from __future__ import annotations

from functools import partial

from metrics.evaluator_rules import EvaluatorRules
from metrics.match_rule import COCO_THRESHOLDS
from metrics.matching import Matches
from metrics.protocols import Thresholds, protocol
from metrics.tables import AnnotationTable, DetectionTable

RULES = EvaluatorRules(rounding="float32", areas="box")

NAMES = {
    "ap": "map",
    "ap50": "map_50",
    "ap75": "map_75",
    "small": "map_small",
    "medium": "map_medium",
    "large": "map_large",
}


@protocol(
    "torchmetrics",
    partial(RULES.values, names=NAMES),
    COCO_THRESHOLDS,
    "torchmetrics 1.9.0, detection.MeanAveragePrecision with its defaults",
    rules=RULES,
)
def match_as_torchmetrics(
    truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds
) -> Matches:
    """Mean AP of torchmetrics' MeanAveragePrecision.

    It runs pycocotools (or faster-coco-eval), so its rules are COCO's, but with IoU thresholds and recall levels in float32: a
    class of which 11 of 20 objects are found does not reach the recall level 0.55. Objects get the area of their box, unless
    the caller passes ``area``: values by size differ from those of COCO's files, whose areas are those of masks. ``iscrowd`` is
    taken as in the ground truth; a caller who does not pass it has no crowds.
    """
    return RULES.match(truth, detections, iou_thresholds)
