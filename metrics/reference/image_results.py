"""`evalImgs` of pycocotools, from matches of a whole data set."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metrics.match_rule import MatchRule
from metrics.matching import Matches, match
from metrics.reference.annotations import AnnotationSource, Tables
from metrics.reference.image_matching import ImageResult, recorded_ids
from metrics.reference.params import Params, category_axis


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Annotations that were matched, and under which settings.

    Attributes:
        params: settings; not modified afterwards.
        matches: of all images, classes, thresholds and area ranges.
        detection_ids: (N,) int64 by row of `matches.detections`.
    """

    params: Params
    matches: Matches
    detection_ids: NDArray[np.int64]


def match_all(source: AnnotationSource, params: Params) -> Evaluated:
    """Match all detections of a source with its objects.

    Raises:
        InputError: invalid annotations or settings.
    """
    tables = source.tables()
    rule = MatchRule(
        iou_thresholds=tuple(np.unique(np.asarray(params.iouThrs, np.float64)).tolist()),
        area_ranges={str(index): (low, high) for index, (low, high) in enumerate(params.areaRng)},
        max_dets=tuple(sorted(set(params.maxDets))),
        by_class=bool(params.useCats),
    )
    matches = _with_areas(match(tables.truth, tables.detections, rule), tables)
    return Evaluated(params, matches, tables.detection_ids)


def list_results(evaluated: Evaluated) -> list[ImageResult | None]:
    """One result for each class, area range and image, in this order; None without objects and detections."""
    matches, params = evaluated.matches, evaluated.params
    truth, rule = matches.truth, matches.rule
    classes, images = len(matches.classes), len(params.imgIds)
    cells = np.arange(classes * images + 1)
    det_cell = matches.label.astype(np.int64) * images + matches.image
    det_order = np.argsort(det_cell, kind="stable")
    det_start = np.searchsorted(det_cell[det_order], cells).tolist()
    det_ids = evaluated.detection_ids[matches.row[det_order]]
    det_scores = matches.score[det_order].tolist()
    obj_cell = matches.object_label.astype(np.int64) * images + truth.image
    obj_start = np.searchsorted(np.sort(obj_cell), cells).tolist()
    occupied = np.unique(np.concatenate([det_cell, obj_cell])).tolist()
    thresholds = [
        rule.iou_thresholds.index(value) for value in np.asarray(params.iouThrs, np.float64).tolist()
    ]
    object_ids = np.append(recorded_ids(truth.object_id), 0.0)
    recorded, listed_ids = recorded_ids(evaluated.detection_ids), det_ids.tolist()
    categories = category_axis(params)
    results: list[ImageResult | None] = [None] * (classes * len(rule.areas) * images)
    for area_index, area in enumerate(rule.areas):
        outcomes = [matches.at(rule.iou_thresholds[index], area) for index in thresholds]
        matched = np.stack([object_ids[outcome.object[det_order]] for outcome in outcomes])
        det_ignored = np.stack([outcome.ignored[det_order] for outcome in outcomes])
        obj_ignored = ~outcomes[0].valid
        # valid objects before ignored ones; then as pycocotools concatenates them: without classes, by class
        obj_order = np.lexsort((truth.label, obj_ignored, obj_cell))
        matched_by = np.zeros((len(thresholds), len(truth)))
        for by, outcome in zip(matched_by, outcomes, strict=True):
            hits = outcome.object >= 0  # of the detections on a crowd the last remains
            by[outcome.object[hits]] = recorded[outcome.row[hits]]
        matched_by, obj_ignored = matched_by[:, obj_order], obj_ignored[obj_order].astype(np.int64)
        obj_ids = truth.object_id[obj_order].tolist()
        for cell in occupied:
            label, image = divmod(cell, images)
            found = slice(det_start[cell], det_start[cell + 1])
            there = slice(obj_start[cell], obj_start[cell + 1])
            results[(label * len(rule.areas) + area_index) * images + image] = {
                "image_id": params.imgIds[image],
                "category_id": categories[label],
                "aRng": params.areaRng[area_index],
                "maxDet": rule.max_dets[-1],
                "dtIds": listed_ids[found],
                "gtIds": obj_ids[there],
                "dtMatches": matched[:, found],
                "gtMatches": matched_by[:, there],
                "dtScores": det_scores[found],
                "gtIgnore": obj_ignored[there],
                "dtIgnore": det_ignored[:, found],
            }
    return results


def _with_areas(matches: Matches, tables: Tables) -> Matches:
    """The same matches, with the detections in the area ranges of their given areas, where these are not w * h."""
    xywh, area = tables.detections.xywh, tables.detection_areas
    if np.array_equal(area, xywh[:, 2] * xywh[:, 3]):
        return matches
    inside = np.zeros(len(area), np.uint16)
    for index, (smallest, largest) in enumerate(matches.rule.area_ranges.values()):
        inside |= ((area >= smallest) & (area <= largest)).astype(np.uint16) << np.uint16(index)
    return replace(matches, inside=inside)
