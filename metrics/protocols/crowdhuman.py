"""CrowdHuman's protocol: log-average miss rate, average precision and Jaccard index of persons in crowds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from metrics.engine.neighbours import Neighbours, neighbours
from metrics.match_rule import UNLIMITED, MatchRule
from metrics.matching import Matches, MatchOutcome, match
from metrics.measures import Better, ClassColumn, Value, class_values, iou_text, overall_values
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.protocols import Thresholds, protocol
from metrics.tables import AnnotationTable, Catalog, DetectionTable

FALSE_POSITIVES_PER_IMAGE = np.array([0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.1778, 0.3162, 0.5623, 1.0])
"""Nine numbers evenly spaced in the logarithm from 0.01 to 1, as CrowdHuman's program rounds them."""

EVENLY_SPACED = 10.0 ** np.linspace(-2, 0, 9)
"""The same numbers as Dollar's toolbox has them."""

LOWEST_MISS_RATE = 1e-10
"""Of Dollar's toolbox, which takes the logarithm."""

T = TypeVar("T", AnnotationTable, DetectionTable)

JI_SCORES = 0.1 * np.arange(10)
"""Score thresholds that the Jaccard index is the best of; scores must exceed them."""


def crowdhuman_values(matches: Matches) -> list[Value]:
    """Miss rates, average precision and Jaccard index, by class and their mean."""
    (iou,) = matches.rule.iou_thresholds
    outcome = matches.at(iou)
    images = len(matches.truth.catalog.image_ids)
    computed: list[tuple[str, Callable[[int], float], bool]] = [
        ("mr2", lambda label: _miss_rate(*_curve(outcome, label, images)), False),
        ("mr2_caltech", lambda label: _caltech_miss_rate(*_curve(outcome, label, images)), False),
        ("ap_crowdhuman", lambda label: _area_under_curve(outcome, label), True),
        ("ji", lambda label: _jaccard_index(matches, label, iou), True),
    ]
    columns = []
    for name, compute, higher in computed:
        by_class = np.full(len(matches.classes), math.nan)
        for label in np.flatnonzero(outcome.positives).tolist():
            by_class[label] = compute(label)
        better: Better = "higher" if higher else "lower"
        columns.append(ClassColumn(name, by_class, "all", iou_text([iou]), 0, better))
    return overall_values(columns) + class_values(columns, matches.classes)


@protocol(
    "crowdhuman",
    crowdhuman_values,
    (0.5,),
    "Shao et al. 2018, arXiv:1805.00123, section 4.1; Dollar et al. 2012, doi:10.1109/TPAMI.2011.155, section 3; Chu et al. 2020, "
    "arXiv:2003.09163, section 4.1",
)
def match_as_crowdhuman(
    truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds
) -> Matches:
    """CrowdHuman's log-average miss rate (MR-2), average precision and Jaccard index.

    Boxes are clipped at the border of their image, where its size is known. By falling score each detection takes the free
    person of the highest IoU above 0.5; without one it is ignored if more than half of it lies in an ignored person or a mask.

    ``mr2`` is the geometric mean of the miss rate at nine numbers of false positives per image from 0.01 to 1, read at the first
    detection that reaches the number (else at the last), as CrowdHuman's program does. ``mr2_caltech`` reads it at the last
    detection that does not exceed the number (before the first: 1), as Dollar's toolbox does. ``ap_crowdhuman`` is the area
    under the precision-recall curve by the trapezoidal rule, without an envelope.

    ``ji`` is the Jaccard index J = k / (n + m - k) of each image, mean over the images with n + m > 0, at the best of the score
    thresholds 0, 0.1 ... 0.9: k is the number of pairs of the one-to-one matching of persons and detections, of an IoU above 0.5,
    that has the highest sum of IoU; n and m count detections and persons, without those that are unmatched and of which more
    than half lies in an ignored region.
    """
    truth, detections = _clipped(truth), _clipped(detections)
    regions = dataclasses.replace(truth, crowd=truth.crowd | truth.ignored)
    (iou,) = iou_thresholds
    rule = MatchRule(
        iou_thresholds=(float(np.nextafter(iou, 1)),),
        area_ranges={"all": (-1e10, 1e10)},
        max_dets=(UNLIMITED,),
        ties="given",
    )
    return match(regions, detections, rule)


def _clipped(table: T) -> T:
    """The table with boxes clipped as CrowdHuman's program does: the first corner to at most size - 1, the other to size."""
    size = table.catalog.sizes[table.image][:, ::-1].astype(np.float64)
    known = np.asarray((size > 0).all(axis=1))
    if not known.all() and isinstance(table, AnnotationTable):
        count = int((table.catalog.sizes == 0).any(axis=1).sum())
        text = f"{plural(count, 'image has', 'images have')} no size: the boxes there are not clipped at the border, as CrowdHuman's program does"
        report(Note("unknown_sizes", text, values={"images": count}))
    corners = table.boxes
    first = np.clip(corners[:, :2], 0, size - 1)
    last = np.clip(corners[:, 2:], 0, size)
    xywh = np.where(known[:, None], np.concatenate([first, last - first], axis=1), table.xywh)
    return dataclasses.replace(table, xywh=xywh)


def _curve(outcome: MatchOutcome, label: int, images: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False positives per image and miss rate after each detection of a class that is not ignored."""
    part = slice(outcome.start[label], outcome.start[label + 1])
    tp = outcome.tp[part][~outcome.ignored[part]]
    return np.cumsum(~tp) / images, 1 - np.cumsum(tp) / outcome.positives[label]


def _miss_rate(per_image: NDArray[np.float64], missed: NDArray[np.float64]) -> float:
    """CrowdHuman's log-average miss rate; 1 without detections."""
    if not len(missed):
        return 1.0
    at = np.minimum(np.searchsorted(per_image, FALSE_POSITIVES_PER_IMAGE, side="left"), len(missed) - 1)
    return _geometric_mean(missed[at])


def _caltech_miss_rate(per_image: NDArray[np.float64], missed: NDArray[np.float64]) -> float:
    """The log-average miss rate of Dollar's toolbox."""
    at = np.searchsorted(per_image, EVENLY_SPACED, side="right")
    return _geometric_mean(np.maximum(np.r_[1.0, missed][at], LOWEST_MISS_RATE))


def _geometric_mean(values: NDArray[np.float64]) -> float:
    return 0.0 if (values <= 0).any() else float(np.exp(np.log(values).mean()))


def _area_under_curve(outcome: MatchOutcome, label: int) -> float:
    part = slice(outcome.start[label], outcome.start[label + 1])
    tp = outcome.tp[part][~outcome.ignored[part]]
    precision = np.cumsum(tp) / np.arange(1, len(tp) + 1)
    recall = np.cumsum(tp) / outcome.positives[label]
    return float(np.sum(np.diff(recall) * (precision[1:] + precision[:-1]) / 2))


def _jaccard_index(matches: Matches, label: int, iou: float) -> float:
    """The best mean Jaccard index of images over the score thresholds."""
    truth, detections = matches.truth, matches.detections
    persons = (truth.label == label) & ~truth.crowd
    regions = (truth.label == label) & truth.crowd
    rows = np.flatnonzero(detections.label == label)
    pairs = neighbours(truth, detections, persons, rows, iou)
    in_region = np.zeros(len(detections), np.bool_)
    in_region[neighbours(truth, detections, regions, rows, iou, crowd=truth.crowd).row] = True
    hidden = np.zeros(len(truth), np.bool_)  # persons in an ignored region, as if they were detections
    hidden[neighbours(truth, truth, regions, np.flatnonzero(persons), iou, crowd=truth.crowd).row] = True
    count = _CountInImages(truth.catalog)
    best = 0.0
    for score in JI_SCORES:
        kept = detections.score > score
        matched = _best_matching(pairs.select(kept[pairs.row]), truth.image)
        free_rows = kept & in_region
        free_rows[matched.row] = False
        free_persons = hidden.copy()
        free_persons[matched.object] = False
        k = count(truth.image[matched.object])
        n = count(detections.image[rows[kept[rows]]]) - count(
            detections.image[free_rows & (detections.label == label)]
        )
        m = count(truth.image[persons]) - count(truth.image[free_persons & persons])
        counted = n + m > 0
        if counted.any():
            best = max(best, float((k[counted] / (n + m - k)[counted]).mean()))
    return best


class _CountInImages:
    """Counts how often each image occurs."""

    def __init__(self, catalog: Catalog) -> None:
        self._images = len(catalog.image_ids)

    def __call__(self, image: NDArray[np.int32]) -> NDArray[np.int64]:
        return np.bincount(image, minlength=self._images)


def _best_matching(pairs: Neighbours, image_of: NDArray[np.int32]) -> Neighbours:
    """Of these pairs those with the highest sum of IoU, each detection and each object at most once."""
    image = image_of[pairs.object]
    order = np.argsort(image, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(image[order]) != 0]) if len(order) else np.zeros(0, np.int64)
    chosen: list[NDArray[np.intp]] = []
    for part in np.split(order, starts[1:]) if len(order) else []:
        chosen.append(part[_assign(pairs.row[part], pairs.object[part], pairs.iou[part])])
    return pairs.select(np.concatenate([np.zeros(0, np.intp), *chosen]))


def _assign(
    rows: NDArray[np.int32], objects: NDArray[np.int32], iou: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Positions of the chosen pairs of one image."""
    row, row_at = np.unique(rows, return_inverse=True)
    index, index_at = np.unique(objects, return_inverse=True)
    gain = np.zeros((len(row), len(index)))
    position = np.full(gain.shape, -1, np.intp)
    gain[row_at, index_at] = iou
    position[row_at, index_at] = np.arange(len(rows))
    first, second = linear_sum_assignment(gain, maximize=True)
    found = position[first, second]
    return np.asarray(found[found >= 0], np.intp)
