"""Matching of detections with objects: done once, and read by every measure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape

import numpy as np
from numpy.typing import NDArray

from metrics.engine.curves import (
    RECALL_LEVELS,
    CurveSteps,
    RankedDetections,
    average_precisions,
    collect_scores,
    collect_steps,
    compute_curves,
    count_tp,
)
from metrics.engine.greedy import GreedySettings, MatchArrays, match_columns
from metrics.errors import InputError
from metrics.match_rule import MatchRule
from metrics.plurals import plural
from metrics.tables import AnnotationTable, DetectionTable


@dataclass(frozen=True, eq=False)
class MatchOutcome:
    """Matches at one IoU threshold, in one area range, up to one max_dets.

    Detections are in ranked order: by class, falling score, image, and the order in which they were given. A detection
    that is neither `tp` nor `ignored` is a false positive; a valid object that is not matched is a false negative.

    Attributes:
        start: (K + 1,) int64: the detections of class k are ``start[k]:start[k + 1]``.
        row: (D,) int32 index of each detection in `Matches.detections`.
        image: (D,) int32 image index.
        label: (D,) int32 class in [0, K).
        score: (D,) float64.
        tp: (D,) bool: matches a valid object.
        ignored: (D,) bool: neither a true nor a false positive: matches an ignored object, or is unmatched with its own
            area out of range.
        object: (D,) int32 row in `Matches.truth` of the matched object, valid or ignored; -1 for none.
        iou: (D,) float64 IoU with that object (for a crowd, the covered part of the detection); NaN for none.
        valid: (G,) bool, by row of `Matches.truth`: not a crowd, not ignored, its area in range.
        matched_by: (G,) int32 row in `Matches.detections` of the detection that matches each object; -1 for none. Of
            several on a crowd, the highest-scoring.
        positives: (K,) int64 number of valid objects of each class.
    """

    start: NDArray[np.int64]
    row: NDArray[np.int32]
    image: NDArray[np.int32]
    label: NDArray[np.int32]
    score: NDArray[np.float64]
    tp: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    object: NDArray[np.int32]
    iou: NDArray[np.float64]
    valid: NDArray[np.bool_]
    matched_by: NDArray[np.int32]
    positives: NDArray[np.int64]

    def average_precision(self, objects: float | None = None) -> NDArray[np.float64]:
        """(K,) average precision of each class; NaN where no object is valid, 0 where none is found.

        Args:
            objects: number of objects per class, for Hoiem's normalized average precision; by default `positives`.
        """
        return average_precisions(self.start, self.tp, self.ignored, self.positives, objects)


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision-recall curves of every class, threshold and area range, at one max_dets; NaN where no object is valid.

    Attributes:
        matches: from which they are computed.
        max_dets: limit on the detections of each image and class.
        levels: (R,) recall levels.
        precision: (T, R, K, A) best precision at each recall level or beyond; 0 where the level is not reached.
        recall: (T, K, A) recall of all detections.
    """

    matches: Matches
    max_dets: int
    levels: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def __repr__(self) -> str:
        thresholds, levels, classes, areas = self.precision.shape
        return (
            f"Curves({plural(classes, 'class')}, {plural(thresholds, 'IoU threshold')}, {plural(levels, 'recall level')}, {plural(areas, 'area range')}, "
            f"max_dets={self.max_dets})"
        )

    @cached_property
    def score(self) -> NDArray[np.float64]:
        """(T, R, K, A) score at which each recall level is first reached; 0 where it is not."""
        scores = collect_scores(*self.matches._curve_inputs(self.max_dets, self.levels))
        return scores.transpose(2, 3, 1, 0)


@dataclass(frozen=True, eq=False)
class Matches:
    """Matches of detections with objects, at every threshold and in every area range of a rule.

    A *pair* is a detection and an object that it matches at one threshold and range or more. Nearly all detections
    are in no pair, and nearly all others in one, so a list of pairs is much smaller than tables of thresholds x
    detections. `at` expands one threshold and range.

    The *ranked order* of detections is by class, falling score, image, and the order in which they were given;
    detections beyond the largest max_dets are left out.

    Attributes:
        rule: under which they were matched.
        truth, detections: the tables. *Rows* of detections and objects are indices into these.
        start: (K + 1,) int64: the detections of class k are ``row[start[k]:start[k + 1]]``.
        row: (D,) int32 rows of detections in ranked order.
        valid: (G,) uint16 words, by row of `truth`: bit a tells whether the object is valid in area range a.
        inside: (N,) uint16 words, by row of `detections`: bit a tells whether the detection's own area is in range a.
        pair_row: (P,) int32 row of the detection; the pairs of a detection are contiguous.
        pair_object: (P,) int32 row of the object.
        pair_rank: (P,) int32 rank of the detection by score in its image and class, from 0.
        pair_iou: (P,) float64 IoU (for a crowd, the covered part of the detection).
        pair_bits: (P, A) uint64 words: bit t tells whether they match at threshold t in range a.
    """

    rule: MatchRule
    truth: AnnotationTable
    detections: DetectionTable
    start: NDArray[np.int64]
    row: NDArray[np.int32]
    valid: NDArray[np.uint16]
    inside: NDArray[np.uint16]
    pair_row: NDArray[np.int32]
    pair_object: NDArray[np.int32]
    pair_rank: NDArray[np.int32]
    pair_iou: NDArray[np.float64]
    pair_bits: NDArray[np.uint64]

    def __repr__(self) -> str:
        return (
            f"Matches({len(self.row)} of {plural(len(self.detections), 'detection')}, {plural(len(self.truth), 'object')}, "
            f"{plural(len(self.classes), 'class')}, {plural(len(self.pair_row), 'pair')})"
        )

    def _repr_html_(self) -> str:
        """Counts at each IoU threshold in the first area range, for notebooks."""
        lines = []
        for iou in self.rule.iou_thresholds:
            outcome = self.at(iou)
            tp = int(outcome.tp.sum())
            fp, fn = int((~outcome.tp & ~outcome.ignored).sum()), int(outcome.positives.sum()) - tp
            lines.append(f"<tr><td>{iou:g}</td><td>{tp}</td><td>{fp}</td><td>{fn}</td></tr>")
        heads = "<tr><th>IoU</th><th>tp</th><th>fp</th><th>fn</th></tr>"
        return f"<p>{escape(repr(self))}</p><table>{heads}{''.join(lines)}</table>"

    @property
    def classes(self) -> tuple[str, ...]:
        """K names: those of the catalog, or ``all`` for a rule without classes."""
        return self.truth.catalog.classes if self.rule.by_class else ("all",)

    @cached_property
    def image(self) -> NDArray[np.int32]:
        """(D,) image index of each ranked detection."""
        return self.detections.image[self.row]

    @cached_property
    def score(self) -> NDArray[np.float64]:
        """(D,) score of each ranked detection."""
        return self.detections.score[self.row]

    @cached_property
    def label(self) -> NDArray[np.int32]:
        """(D,) class in [0, K) of each ranked detection."""
        return np.repeat(np.arange(len(self.classes), dtype=np.int32), np.diff(self.start))

    @cached_property
    def rank(self) -> NDArray[np.int32]:
        """(D,) rank of each ranked detection by score in its image and class, from 0."""
        group = self.label.astype(np.int64) * len(self.truth.catalog.image_ids) + self.image
        order = np.argsort(group, kind="stable")
        ordered = group[order]
        first = (
            np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
            if len(ordered)
            else np.zeros(0, np.int64)
        )
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order)) - np.repeat(first, np.diff(np.r_[first, len(order)]))
        return rank

    @cached_property
    def object_label(self) -> NDArray[np.int32]:
        """(G,) class in [0, K) of each object."""
        return self.truth.label if self.rule.by_class else np.zeros_like(self.truth.label)

    @cached_property
    def positives(self) -> NDArray[np.int64]:
        """(A, K) number of valid objects of each class in each area range."""
        count = len(self.classes)
        return np.stack(
            [
                np.bincount(self.object_label[(self.valid >> area) & 1 == 1], minlength=count)
                for area in range(len(self.rule.areas))
            ]
        )

    @cached_property
    def tp_count(self) -> NDArray[np.int64]:
        """(M, A, T, K) number of true positives up to each of the rule's max_dets."""
        rule = self.rule
        return count_tp(self._arrays, self._pair_label, np.array(rule.max_dets), len(rule.iou_thresholds))

    def at(self, iou: float, area: str | None = None, max_dets: int | None = None) -> MatchOutcome:
        """The matches at one of the rule's IoU thresholds.

        Args:
            iou: one of ``rule.iou_thresholds``.
            area: one of ``rule.areas``; by default the first.
            max_dets: any number up to the rule's largest, which is the default.

        Raises:
            InputError: the rule has no such threshold or range, or its largest max_dets is smaller.
        """
        bit = np.uint64(self.rule.threshold_index(iou))
        index = self.rule.area_index(area or self.rule.areas[0])
        most = self.rule.max_dets_or_largest(max_dets)
        object_of = np.full(len(self.detections), -1, np.int32)
        iou_of = np.full(len(self.detections), np.nan)
        pairs = np.flatnonzero((self.pair_bits[:, index] >> bit) & np.uint64(1))
        object_of[self.pair_row[pairs]] = self.pair_object[pairs]
        iou_of[self.pair_row[pairs]] = self.pair_iou[pairs]

        kept = slice(None) if most == self.rule.max_dets[-1] else self.rank < most
        row, label = self.row[kept], self.label[kept]
        objects = object_of[row]
        valid = (self.valid >> index) & 1 == 1
        inside = (self.inside[row] >> index) & 1 == 1
        tp = (objects >= 0) & np.append(valid, False)[objects]
        matched_by = np.full(len(self.truth), -1, np.int32)
        matched = row[::-1][objects[::-1] >= 0]  # reversed: of several on a crowd the highest-scoring remains
        matched_by[object_of[matched]] = matched
        return MatchOutcome(
            start=np.searchsorted(label, np.arange(len(self.classes) + 1)),
            row=row,
            image=self.image[kept],
            label=label,
            score=self.score[kept],
            tp=tp,
            ignored=np.where(objects >= 0, ~tp, ~inside),
            object=objects,
            iou=iou_of[row],
            valid=valid,
            matched_by=matched_by,
            positives=self.positives[index],
        )

    def curves(self, max_dets: int | None = None, levels: NDArray[np.float64] | None = None) -> Curves:
        """Precision-recall curves, as pycocotools computes them.

        Args:
            max_dets: any number up to the rule's largest, which is the default.
            levels: (R,) rising recall levels in [0, 1]; by default 0, 0.01 ... 1.

        Raises:
            InputError: the rule's largest max_dets is smaller.
        """
        most = self.rule.max_dets_or_largest(max_dets)
        if levels is not None:
            return self._compute_curves(most, np.ascontiguousarray(levels, np.float64))
        if most not in self._curves:
            self._curves[most] = self._compute_curves(most, RECALL_LEVELS)
        return self._curves[most]

    def steps(self, max_dets: int) -> CurveSteps:
        """The pairs of the `max_dets` highest-scoring detections of each image and class in ranked order, for kernels.

        Args:
            max_dets: any number up to the rule's largest.
        """
        if max_dets not in self._steps:
            rank = np.empty(0, np.int32) if max_dets == self.rule.max_dets[-1] else self.rank
            self._steps[max_dets] = collect_steps(self._arrays, self._pair_label, rank, max_dets)
        return self._steps[max_dets]

    def _curve_inputs(
        self, max_dets: int, levels: NDArray[np.float64]
    ) -> tuple[CurveSteps, RankedDetections, NDArray[np.int64], NDArray[np.float64], int]:
        ranked = RankedDetections(self.start, self.row, self.detections.score)
        return self.steps(max_dets), ranked, self.positives, levels, len(self.rule.iou_thresholds)

    def _compute_curves(self, max_dets: int, levels: NDArray[np.float64]) -> Curves:
        precision, _, recall = compute_curves(*self._curve_inputs(max_dets, levels), with_scores=False)
        return Curves(self, max_dets, levels, precision.transpose(2, 3, 1, 0), recall.transpose(2, 1, 0))

    @property
    def _arrays(self) -> MatchArrays:
        return MatchArrays(*(getattr(self, name) for name in MatchArrays._fields))

    @cached_property
    def _pair_label(self) -> NDArray[np.int32]:
        return self.object_label[self.pair_object]

    @cached_property
    def _curves(self) -> dict[int, Curves]:
        return {}

    @cached_property
    def _steps(self) -> dict[int, CurveSteps]:
        return {}


def match(truth: AnnotationTable, detections: DetectionTable, rule: MatchRule | None = None) -> Matches:
    """Match detections with objects, image by image and class by class, by the greedy rule of pycocotools.

    In order of falling score, each detection takes the unmatched object of the highest IoU that reaches the threshold,
    of equal ones the last; valid objects before ignored ones. A crowd can be matched any number of times, and its IoU
    with a detection is the covered part of the detection; an object that is ignored for another reason (VOC's
    ``difficult``, or an area out of range) can be matched once.

    Args:
        truth: ground truth. Any image or class may have no objects.
        detections: on the same catalog; may be empty.
        rule: COCO's by default.

    Raises:
        InputError: the tables have different catalogs.

    Source: pycocotools 2.0.11, `COCOeval.evaluateImg`.
    """
    if truth.catalog != detections.catalog:
        raise InputError(
            "match: truth and detections have different images or classes; build the detections on truth.catalog"
        )
    rule = rule or MatchRule()
    settings = GreedySettings(
        len(truth.catalog.image_ids),
        len(truth.catalog.classes),
        rule.by_class,
        rule.candidates == "best",
        rule.ties == "image",
        rule.max_dets[-1],
        np.array(rule.iou_thresholds),
        np.array(list(rule.area_ranges.values()), np.float64),
    )
    return Matches(rule, truth, detections, *match_columns(truth, detections, settings))
