"""Average precision as Ultralytics 8.4.37 to 8.4.175 compute it."""

from __future__ import annotations

import dataclasses
from functools import partial

from metrics.match_rule import COCO_THRESHOLDS
from metrics.matching import Matches
from metrics.protocols import Thresholds, protocol
from metrics.protocols.ultralytics import NAMES
from metrics.protocols.ultralytics import RULES as LATER
from metrics.tables import AnnotationTable, DetectionTable

RULES = dataclasses.replace(LATER, candidates="best")


@protocol(
    "ultralytics_8_4_37",
    partial(RULES.values, names=NAMES),
    COCO_THRESHOLDS,
    "ultralytics 8.4.120, ap_per_class and match_predictions",
    rules=RULES,
)
def match_as_ultralytics(
    truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds
) -> Matches:
    """Mean AP of Ultralytics 8.4.37 to 8.4.175.

    As `ultralytics`, but a detection is compared with the object of its class with the highest IoU alone: if a higher-scoring
    detection has it, the detection is a false positive, even if it overlaps another object.
    """
    return RULES.match(truth, detections, iou_thresholds)
