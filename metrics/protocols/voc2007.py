"""Pascal VOC's protocol from 2006 to 2009: average precision at 11 recall levels."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from metrics.match_rule import UNLIMITED, MatchRule
from metrics.matching import Matches, match
from metrics.measures import ClassColumn, Value, class_values, iou_text, overall_values
from metrics.measures.voc_average_precision import area_under_envelope
from metrics.protocols import Thresholds, protocol
from metrics.tables import AnnotationTable, DetectionTable

DEVKIT_LEVELS = np.concatenate([0.1 * np.arange(6), 1 - 0.1 * np.arange(5)[::-1]])
"""MATLAB's 0:0.1:1, counted from both ends, in which 0.6 and 0.7 are the nearest numbers, unlike in ``np.arange(11) * 0.1``:
a recall of 7 / 10 reaches the level 0.7."""


def voc_values(matches: Matches, name: str, by_threshold: list[NDArray[np.float64]]) -> list[Value]:
    """Average precision of each threshold, and their mean where there are several.

    Args:
        matches: of `match_as_voc`.
        name: of the value.
        by_threshold: T columns of (K,) values.
    """
    thresholds = matches.rule.iou_thresholds
    fields = ("all", iou_text(thresholds))
    columns = [ClassColumn(name, np.mean(by_threshold, axis=0), *fields, 0)]
    if len(thresholds) > 1:
        for iou, column in zip(thresholds, by_threshold, strict=True):
            label = f"{name}{iou * 100:.6g}".replace(".", "_")
            columns.append(ClassColumn(label, column, "all", iou_text([iou]), 0))
    return overall_values(columns) + class_values(columns, matches.classes)


def voc07_values(matches: Matches) -> list[Value]:
    """Mean precision at recall 0, 0.1 ... 1, at each of the rule's thresholds."""
    precision = matches.curves(levels=DEVKIT_LEVELS).precision[..., 0].mean(axis=1)
    return voc_values(matches, "voc07_ap", list(precision))


def voc10_values(matches: Matches) -> list[Value]:
    """Area under the whole curve, at each of the rule's thresholds."""
    columns = [area_under_envelope(matches.at(iou)) for iou in matches.rule.iou_thresholds]
    return voc_values(matches, "voc10_ap", columns)


@protocol(
    "voc2007",
    voc07_values,
    (0.5,),
    "VOC2007 development kit, VOCevaldet.m; Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, section 4.2",
    any_iou=True,
    year="2007",
)
def match_as_voc(truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds) -> Matches:
    """Pascal VOC's AP at 11 recall levels, as its development kit computes it.

    A detection is compared with the object of its class that it overlaps most, difficult or not, of equal ones the first.
    At an IoU of at least the threshold it is ignored if that object is difficult, true if the object has not been found by
    a detection of higher score, and else false: it gets no second choice. Detections of equal score are ranked as given, and
    there is no limit on their number.

    The kit counts pixels inclusively, so that a box from xmin to xmax is xmax - xmin + 1 wide. The boxes of a table count
    from edge to edge and are so wide already, of ground truth and detections alike. Only an object whose corners coincide,
    which the reader of VOC files gives no width, is one pixel wide here, as in the kit.
    """
    xywh = truth.xywh.copy()
    xywh[:, 2:] += xywh[:, 2:] <= 0
    ignored = truth.ignored | truth.crowd
    plain = dataclasses.replace(truth, xywh=xywh, ignored=ignored, crowd=np.zeros_like(truth.crowd))
    rule = MatchRule(
        iou_thresholds=iou_thresholds,
        area_ranges={"all": (-1e10, 1e10)},
        max_dets=(UNLIMITED,),
        candidates="best",
        ties="given",
    )
    return match(plain, detections, rule)
