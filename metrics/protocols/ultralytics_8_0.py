"""Average precision as Ultralytics 8.0 to 8.4.36 compute it."""

from __future__ import annotations

import dataclasses
from functools import partial

from metrics.match_rule import COCO_THRESHOLDS
from metrics.matching import Matches
from metrics.protocols import Thresholds, protocol
from metrics.protocols.ultralytics import NAMES
from metrics.protocols.ultralytics_8_4_37 import RULES as LATER
from metrics.tables import AnnotationTable, DetectionTable

RULES = dataclasses.replace(LATER, curve="interpolated_to_end")


@protocol(
    "ultralytics_8_0",
    partial(RULES.values, names=NAMES),
    COCO_THRESHOLDS,
    "ultralytics 8.3.0, ap_per_class and match_predictions",
    rules=RULES,
)
def match_as_ultralytics(
    truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds
) -> Matches:
    """Mean AP of Ultralytics 8.0 to 8.4.36.

    As `ultralytics_8_4_37`, but the curve falls on a straight line from its last point to precision 0 at recall 1, which adds
    area that no detection accounts for.
    """
    return RULES.match(truth, detections, iou_thresholds)
