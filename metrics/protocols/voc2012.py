"""Pascal VOC's protocol from 2010 to 2012: area under the whole precision-recall curve."""

from __future__ import annotations

from metrics.matching import Matches
from metrics.protocols import Thresholds, protocol
from metrics.protocols.voc2007 import match_as_voc, voc10_values
from metrics.tables import AnnotationTable, DetectionTable


@protocol(
    "voc2012",
    voc10_values,
    (0.5,),
    "VOC2012 development kit, VOCevaldet.m and VOCap.m",
    any_iou=True,
    year="2012",
)
def match_as_voc2012(
    truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds
) -> Matches:
    """Pascal VOC's AP under the whole curve, as its development kit computes it from 2010 on, with the matching of 2007."""
    return match_as_voc(truth, detections, iou_thresholds)
