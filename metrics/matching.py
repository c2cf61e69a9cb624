"""Detections are matched with objects once; every measure reads the matches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from metrics.engine.curves import (
    CurveSteps,
    RankedDetections,
    collect_scores,
    collect_steps,
    compute_curves,
    count_tp,
)
from metrics.engine.greedy import GreedySettings, MatchArrays, match_columns
from metrics.errors import InputError
from metrics.registry import did_you_mean
from metrics.tables import AnnotationTable, DetectionTable

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""0.5, 0.55 ... 0.95, to the bit those of the reference."""

COCO_AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 1024.0),
    "medium": (1024.0, 9216.0),
    "large": (9216.0, 1e10),
}
"""Square pixels, both ends included: an area of exactly 1024 is small and medium."""


@dataclass(frozen=True)
class MatchRule:
    """When a detection has found an object. The defaults are COCO's.

    Attributes:
        iou_thresholds: T rising numbers in (0, 1], at most 64. A threshold of 1 asks for 1 - 1e-10, as in the reference.
        area_ranges: A names and (least, most) square pixels, both ends included, at most 16. In a range only objects
            of such an area are asked for; the others, and detections that find them, are ignored, and so are
            detections of another area that find nothing.
        max_dets: rising numbers. Of each image and class only so many detections count, by score. Matching goes up to
            the largest, and that is what average precision reads, whatever it is (the reference's own summary looks
            for 100, and prints -1 where it is not among them); recall is given for each.
        by_class: whether a detection must have the object's class. If not, there is one class, of all.
    """

    iou_thresholds: tuple[float, ...] = COCO_THRESHOLDS
    area_ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(COCO_AREAS))
    max_dets: tuple[int, ...] = (1, 10, 100)
    by_class: bool = True

    def __post_init__(self) -> None:
        thresholds, cuts = self.iou_thresholds, self.max_dets
        if not 1 <= len(thresholds) <= 64:
            raise InputError(f"MatchRule.iou_thresholds: expected 1 to 64 numbers, got {len(thresholds)}")
        if not (thresholds[0] > 0 and thresholds[-1] <= 1 and _rising(thresholds)):
            raise InputError(f"MatchRule.iou_thresholds: expected rising numbers in (0, 1], got {thresholds}")
        if not 1 <= len(self.area_ranges) <= 16:
            raise InputError(f"MatchRule.area_ranges: expected 1 to 16 ranges, got {len(self.area_ranges)}")
        for name, (least, most) in self.area_ranges.items():
            if not least <= most:
                raise InputError(
                    f"MatchRule.area_ranges: {name!r} goes from {least} down to {most}; swap them"
                )
        if not (cuts and cuts[0] >= 1 and _rising(cuts)):
            raise InputError(f"MatchRule.max_dets: expected rising numbers of at least 1, got {cuts}")

    @property
    def areas(self) -> tuple[str, ...]:
        """Names of the area ranges."""
        return tuple(self.area_ranges)

    def threshold_index(self, iou: float) -> int:
        """Which of the thresholds is `iou`, to nine decimals.

        Raises:
            InputError: none is; the message names those that are.
        """
        near = [index for index, known in enumerate(self.iou_thresholds) if abs(known - iou) < 1e-9]
        if not near:
            known = ", ".join(f"{value:g}" for value in self.iou_thresholds)
            raise InputError(
                f"iou: {iou:g} is not among the rule's thresholds ({known}); add it to iou_thresholds"
            )
        return near[0]

    def area_index(self, area: str) -> int:
        """Which of the area ranges has this name.

        Raises:
            InputError: none has.
        """
        if area not in self.area_ranges:
            raise InputError(f"area: no range is called {area!r}{did_you_mean(area, self.areas)}")
        return self.areas.index(area)

    def max_dets_or_largest(self, max_dets: int | None) -> int:
        """`max_dets`, or the rule's largest where it is None.

        Raises:
            InputError: it is below 1, or above the largest: what was not matched cannot be counted.
        """
        if max_dets is None:
            return self.max_dets[-1]
        if not 1 <= max_dets <= self.max_dets[-1]:
            raise InputError(
                f"max_dets: expected 1 to {self.max_dets[-1]}, the rule's largest, got {max_dets}"
            )
        return max_dets


@dataclass(frozen=True, eq=False)
class MatchOutcome:
    """What became of each detection and each object at one IoU threshold, in one area range, up to one max_dets.

    Detections stand in the order of the walk: class by class, in a class by falling score, at equal score by image
    and then in the order in which they were given. A detection that is neither `tp` nor ignored is a false positive;
    an object that is asked for and not found is a miss.

    Attributes:
        start: (K + 1,) int64: class k's detections are ``start[k]:start[k + 1]``.
        row: (D,) int32 index of each detection in `Matches.detections`.
        image: (D,) int32 image index.
        label: (D,) int32 class in [0, K).
        score: (D,) float64.
        tp: (D,) bool: found an object that is asked for.
        ignored: (D,) bool: counts neither for nor against: it found an object that is ignored, or it found nothing and
            its own area is out of range.
        object: (D,) int32 index in `Matches.truth` of the object that it found, asked for or ignored; -1 for none.
        iou: (D,) float64 IoU with that object (the covered part of the detection, for a crowd); NaN for none.
        valid: (G,) bool, by row of `Matches.truth`: not a crowd, not ignored, its area in range.
        matched_by: (G,) int32 row in `Matches.detections` of the detection that found each object; -1 for none. Of a
            crowd's many the surest.
        positives: (K,) int64 how many objects of each class are asked for.
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


@dataclass(frozen=True, eq=False)
class Curves:
    """Precision over recall of every class, threshold and area range, at one max_dets. NaN where nothing is asked for.

    Attributes:
        matches: what they are drawn from.
        max_dets: so many detections of an image and class count.
        levels: (R,) recall levels.
        precision: (T, R, K, A) the best precision at that recall or beyond; 0 where the recall is not reached.
        recall: (T, K, A) recall over all detections.
    """

    matches: Matches
    max_dets: int
    levels: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @cached_property
    def score(self) -> NDArray[np.float64]:
        """(T, R, K, A) score at which the recall is first reached; 0 where it is not."""
        scores = collect_scores(*self.matches._curve_inputs(self.max_dets, self.levels))
        return scores.transpose(2, 3, 1, 0)


@dataclass(frozen=True, eq=False)
class Matches:
    """Which detections found which objects, at every threshold and in every area range of a rule.

    A *pair* is a detection and an object that it found under at least one threshold and range: its word for a range
    says under which. Nearly all detections are in no pair, and nearly all others in one, so a list of pairs is small
    where tables of thresholds x detections are not. `at` unfolds one threshold and range.

    The *walk* is the order in which measures meet detections: class by class, in a class by falling score, at equal
    score by image and then in the order in which they were given. Those beyond the largest max_dets are not in it.

    Attributes:
        rule: under which they were matched.
        truth, detections: the tables. A detection's *row* is its index in `detections`, an object's its index in `truth`.
        start: (K + 1,) int64: class k's detections are ``row[start[k]:start[k + 1]]``.
        row: (D,) int32 the walk.
        valid: (G,) uint16 words, by row of `truth`: bit a says that the object is asked for in area range a.
        inside: (N,) uint16 words, by row of `detections`: bit a says that the detection's own area is in range a.
        pair_row: (P,) int32 row of the detection; the pairs of a detection lie side by side.
        pair_object: (P,) int32 row of the object.
        pair_rank: (P,) int32 the detection's place, from 0, among those of its image and class by score.
        pair_iou: (P,) float64 IoU (for a crowd the covered part of the detection).
        pair_bits: (P, A) uint64 words: bit t says that at threshold t, in range a, the detection found the object.
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
            f"Matches({len(self.row)} detections of {len(self.detections)}, {len(self.truth)} objects,"
            f" {len(self.classes)} classes, {len(self.pair_row)} pairs)"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """K names: the catalog's, or ``all`` where the rule does not go by class."""
        return self.truth.catalog.classes if self.rule.by_class else ("all",)

    @cached_property
    def image(self) -> NDArray[np.int32]:
        """(D,) image index of each detection of the walk."""
        return self.detections.image[self.row]

    @cached_property
    def score(self) -> NDArray[np.float64]:
        """(D,) score of each detection of the walk."""
        return self.detections.score[self.row]

    @cached_property
    def label(self) -> NDArray[np.int32]:
        """(D,) class in [0, K) of each detection of the walk."""
        return np.repeat(np.arange(len(self.classes), dtype=np.int32), np.diff(self.start))

    @cached_property
    def rank(self) -> NDArray[np.int32]:
        """(D,) place of each detection of the walk, from 0, among those of its image and class by score."""
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
        """(A, K) how many objects of each class are asked for in each area range."""
        count = len(self.classes)
        return np.stack(
            [
                np.bincount(self.object_label[(self.valid >> area) & 1 == 1], minlength=count)
                for area in range(len(self.rule.areas))
            ]
        )

    @cached_property
    def tp_count(self) -> NDArray[np.int64]:
        """(M, A, T, K) true positives up to each of the rule's max_dets: objects asked for that were found."""
        rule = self.rule
        return count_tp(self._arrays, self._pair_label, np.array(rule.max_dets), len(rule.iou_thresholds))

    def at(self, iou: float, area: str | None = None, max_dets: int | None = None) -> MatchOutcome:
        """What became of each detection and object at one of the rule's IoU thresholds.

        Args:
            iou: one of ``rule.iou_thresholds``.
            area: one of ``rule.areas``, the first where None.
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
        walked = row[::-1][objects[::-1] >= 0]  # from behind, so that of a crowd's many the surest stays
        matched_by[object_of[walked]] = walked
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
        """Precision over recall, as the reference computes it.

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
            self._curves[most] = self._compute_curves(most, np.linspace(0.0, 1.0, 101))
        return self._curves[most]

    def steps(self, max_dets: int) -> CurveSteps:
        """The pairs in the order of the walk, of so many detections of each image and class: for kernels.

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
    """Match detections with objects, image by image and class by class, by the reference's greedy rule.

    Detections go by falling score; each takes, of the objects that no other has taken and whose IoU reaches the
    threshold, the one of the highest IoU, and of equal ones the last; objects that are asked for before those that are
    ignored. A crowd is never taken up, and its IoU with a detection is the part of the detection that it covers; an
    object that is `ignored` for another reason (VOC's ``difficult``, or an area out of range) can be taken once.

    Args:
        truth: the objects. Any image or class may have none.
        detections: on the same catalog; may be empty.
        rule: COCO's by default.

    Raises:
        InputError: the tables do not have the same catalog.

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
        rule.max_dets[-1],
        np.array(rule.iou_thresholds),
        np.array(list(rule.area_ranges.values()), np.float64),
    )
    return Matches(rule, truth, detections, *match_columns(truth, detections, settings))


def _rising(values: tuple[float, ...]) -> bool:
    return all(a < b for a, b in pairwise(values))
