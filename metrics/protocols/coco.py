"""COCO's protocol: what `metrics.evaluate` does by default, under a name."""

from __future__ import annotations

from metrics.match_rule import COCO_THRESHOLDS, MatchRule
from metrics.matching import Matches, match
from metrics.measures import Value
from metrics.measures.average_precision import average_precision
from metrics.measures.average_recall import average_recall
from metrics.protocols import Thresholds, protocol
from metrics.tables import AnnotationTable, DetectionTable


def coco_values(matches: Matches) -> list[Value]:
    """COCO's average precision and recall."""
    return [*average_precision(matches), *average_recall(matches)]


@protocol("coco", coco_values, COCO_THRESHOLDS, "pycocotools 2.0.11, COCOeval", any_iou=True)
def match_as_coco(truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds) -> Matches:
    """COCO's AP and AR, without rules for federated annotations, groups and difficulties."""
    return match(truth, detections, MatchRule(iou_thresholds=iou_thresholds))
