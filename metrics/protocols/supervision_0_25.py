"""Average precision as supervision 0.25 computes it."""

from __future__ import annotations

from functools import partial

from metrics.evaluator_rules import EvaluatorRules
from metrics.match_rule import COCO_THRESHOLDS
from metrics.matching import Matches
from metrics.protocols import Thresholds, protocol
from metrics.tables import AnnotationTable, DetectionTable

RULES = EvaluatorRules(
    per_class=None, empty_images=False, regions="left_out", candidates="best", curve="own_precision"
)

NAMES = {"ap": "supervision_map50_95", "ap50": "supervision_map50", "ap75": "supervision_map75"}


@protocol(
    "supervision_0_25",
    partial(RULES.values, names=NAMES),
    COCO_THRESHOLDS,
    "supervision 0.25.1, metrics.MeanAveragePrecision",
    rules=RULES,
)
def match_as_supervision(
    truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds
) -> Matches:
    """Mean AP of supervision 0.25, before it followed COCO.

    Detections in images without an object do not count. A detection is compared with the object of its class with the highest
    IoU alone. Precision at a recall level is that of the first detection that reaches it, not the highest beyond. The detections
    of an image are expected by falling score, as models give them.
    """
    return RULES.match(truth, detections, iou_thresholds)
