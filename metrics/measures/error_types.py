"""What kinds of error a detector makes, and what each kind costs in average precision (TIDE).

Each false positive is of one kind, by what would have made it right; each object that was not found is missed unless
some detection only had its class or its place wrong. The cost of a kind is how much average precision would rise if
all errors of that kind were mended and nothing else were.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from metrics import outcomes
from metrics.engine.neighbours import Neighbours, neighbours
from metrics.errors import InputError
from metrics.matching import Matches, MatchOutcome
from metrics.measures import Value, iou_text, measure

SOURCE = "Bolya et al. 2020, TIDE: A general toolbox for identifying object detection errors, section 2"

Kind = Literal["classification", "localization", "both", "duplicate", "background", "missed"]
"""The kinds of error; all but the last are kinds of false positives."""

KINDS: tuple[Kind, ...] = get_args(Kind)

Fixable = Kind | Literal["false_positives", "false_negatives"]
"""What can be mended: all errors of a kind, all false positives, or all objects that were not found."""

FIXABLE: tuple[Fixable, ...] = (*KINDS, "false_positives", "false_negatives")


@dataclass(frozen=True, eq=False)
class ErrorTypes:
    """The kind of each error.

    Attributes:
        outcome: what the detections are, in the order of the walk.
        object_label: (G,) class of each object.
        kind: (D,) int8 index into `KINDS` of each false positive; -1 for what is none.
        object: (D,) int32 the object that a false positive is about: for classification the one of another class that
            it overlaps most, for localization and duplicates the one of its own class; -1 for the other kinds.
        overlap: (D,) float64 IoU with that object; NaN for none.
        fixes: (D,) whether the detection would find its object if its class or place were right: nothing else finds
            that object, and of such detections of classification and localization this one is the surest.
        missed: (G,) objects asked for that are not found, and that no detection would find so.
        iou: the threshold.
        background: IoU up to which a detection is on nothing.
    """

    outcome: MatchOutcome
    object_label: NDArray[np.int32]
    kind: NDArray[np.int8]
    object: NDArray[np.int32]
    overlap: NDArray[np.float64]
    fixes: NDArray[np.bool_]
    missed: NDArray[np.bool_]
    iou: float
    background: float

    def counts(self) -> NDArray[np.int64]:
        """(K, 6) how many errors of each class and kind: a detection counts for its own class, a miss for the object's."""
        classes = len(self.outcome.positives)
        table = np.zeros((classes, len(KINDS)), np.int64)
        errors = self.kind >= 0
        np.add.at(table, (self.outcome.label[errors], self.kind[errors]), 1)
        table[:, KINDS.index("missed")] = np.bincount(self.object_label[self.missed], minlength=classes)
        return table

    def fixed(self, kind: Fixable) -> MatchOutcome:
        """The outcome if all errors of a kind were mended, and nothing else changed.

        - ``classification``: a detection that mends takes its object's class and finds it; the others go.
        - ``localization``: likewise, in its own class; its box becomes the object's.
        - ``both``, ``duplicate``, ``background``, ``false_positives``: they go.
        - ``missed``, ``false_negatives``: the objects that were missed, or not found at all, are not asked for.

        Raises:
            InputError: no such kind.
        """
        outcome = self.outcome
        if kind not in FIXABLE:
            raise InputError(f"kind: unknown {kind!r}; known: {', '.join(FIXABLE)}")
        if kind in ("missed", "false_negatives"):
            gone = self.missed if kind == "missed" else outcome.matched_by < 0
            asked = outcome.valid & ~gone
            positives = np.bincount(self.object_label[asked], minlength=len(outcome.positives))
            return replace(outcome, valid=asked, positives=positives)
        if kind == "false_positives":
            return self._walk(~(self.kind >= 0))
        of_kind = self.kind == KINDS.index(kind)
        if kind not in ("classification", "localization"):
            return self._walk(~of_kind)
        return self._walk(~of_kind | self.fixes, of_kind & self.fixes, box=kind == "localization")

    def average_precision(self, kind: Fixable | None = None) -> NDArray[np.float64]:
        """(K,) average precision at the threshold, of the detections as they are or with a kind of error mended.

        NaN for a class of which nothing was asked for to begin with. One that has nothing left to ask for because all
        of its objects were missed keeps its 0.
        """
        values = outcomes.average_precision(self.outcome if kind is None else self.fixed(kind))
        return np.where(self.outcome.positives > 0, np.nan_to_num(values), np.nan)

    def cost(self, kind: Fixable) -> NDArray[np.float64]:
        """(K,) how much average precision would rise; but for rounding it cannot fall. NaN as `average_precision`."""
        return self.average_precision(kind) - self.average_precision()

    def _walk(
        self, kept: NDArray[np.bool_], right: NDArray[np.bool_] | None = None, box: bool = False
    ) -> MatchOutcome:
        """The walk of the detections that are kept, those of `right` having found their object."""
        outcome = self.outcome
        right = np.zeros(len(kept), np.bool_) if right is None else right
        label = np.where(right, np.append(self.object_label, -1)[self.object], outcome.label).astype(np.int32)
        matched_by = outcome.matched_by.copy()
        matched_by[self.object[right]] = outcome.row[right]
        order = np.flatnonzero(kept)
        if (label != outcome.label).any():
            order = order[
                np.lexsort((outcome.row[order], outcome.image[order], -outcome.score[order], label[order]))
            ]
        return replace(
            outcome,
            start=np.searchsorted(label[order], np.arange(len(outcome.start))),
            row=outcome.row[order],
            image=outcome.image[order],
            label=label[order],
            score=outcome.score[order],
            tp=(outcome.tp | right)[order],
            ignored=outcome.ignored[order],
            object=np.where(right, self.object, outcome.object)[order],
            iou=np.where(right, 1.0 if box else self.overlap, outcome.iou)[order],
            matched_by=matched_by,
        )


@measure("error_types", better="lower", source=SOURCE)
def error_types(
    matches: Matches,
    iou: float | Literal["all"] | None = None,
    background: float = 0.1,
    area: str | None = None,
    max_dets: int | None = None,
) -> list[Value]:
    """What each kind of error costs in average precision, and how many errors there are of each kind.

    ``cost_<kind>`` is the average precision that there would be more if all errors of the kind were mended, mean over
    the classes that have an object asked for; ``errors_<kind>`` is how many there are. The kinds are classification,
    localization, both, duplicate, background and missed, and for costs also false_positives and false_negatives, all
    of either. Costs do not add up to what average precision lacks, for errors stand in each other's way; and the authors'
    program takes the mean over all classes that occur, where here, as in COCO, it is over those that have objects.

    Args:
        matches: detections and what they found.
        iou: one of the rule's thresholds, the first where None. ``all``: costs are means over the rule's thresholds,
            counts are left out.
        background: see `classify_errors`.
        area: one of the rule's area ranges, the first where None.
        max_dets: any number up to the rule's largest, which is the default.

    Returns:
        NaN for costs where no object is asked for.
    """
    rule = matches.rule
    thresholds = rule.iou_thresholds if iou == "all" else (rule.iou_thresholds[0] if iou is None else iou,)
    where, most = area or rule.areas[0], rule.max_dets_or_largest(max_dets)
    found = [classify_errors(matches, threshold, background, where, most) for threshold in thresholds]
    base = [errors.average_precision() for errors in found]
    place = (where, iou_text(thresholds), most)
    columns: dict[str, NDArray[np.float64]] = {}
    for kind in FIXABLE:
        costs = [errors.average_precision(kind) - ap for errors, ap in zip(found, base, strict=True)]
        columns[f"cost_{kind}"] = np.mean(costs, axis=0)
    values = [Value(name, _mean(costs), "", *place) for name, costs in columns.items()]
    counts = found[0].counts()
    if len(found) == 1:
        values += [
            Value(f"errors_{kind}", float(count), "", *place)
            for kind, count in zip(KINDS, counts.sum(0), strict=True)
        ]
    for label, class_name in enumerate(matches.classes):
        values += [Value(name, float(costs[label]), class_name, *place) for name, costs in columns.items()]
        if len(found) == 1:
            values += [
                Value(f"errors_{kind}", float(count), class_name, *place)
                for kind, count in zip(KINDS, counts[label], strict=True)
            ]
    return values


def classify_errors(
    matches: Matches,
    iou: float = 0.5,
    background: float = 0.1,
    area: str | None = None,
    max_dets: int | None = None,
) -> ErrorTypes:
    """Say of each false positive and of each object that was not found what kind of error it is.

    With overlap meaning IoU with objects that are asked for, a false positive is, in this order,

    1. ``localization`` if its highest overlap with its own class is at least `background` and below `iou`;
    2. ``classification`` if its highest overlap with another class is at least `iou`;
    3. ``duplicate`` if it overlaps its own class by at least `iou`: that object was found already;
    4. ``background`` if it overlaps nothing by more than `background`;
    5. ``both`` (place and class are wrong) otherwise.

    This is the order of the authors' program (tidecv 1.0.1). Where we differ from it: matches are COCO's; a detection
    that overlaps its own class by exactly `iou` is never a localization error, for so much is enough to find; and
    detections that are ignored are no errors and mend none.

    Args:
        matches: detections and what they found.
        iou: one of the rule's thresholds.
        background: in (0, iou]: up to this IoU a detection is on nothing.
        area: one of the rule's area ranges, the first where None.
        max_dets: any number up to the rule's largest, which is the default.

    Raises:
        InputError: the rule does not have the threshold or range, or `background` is not in (0, iou].
    """
    if not 0 < background <= iou:
        raise InputError(f"background: expected a number in (0, {iou:g}], up to the IoU, got {background}")
    outcome = matches.at(iou, area or matches.rule.areas[0], max_dets)
    enough = min(iou, 1 - 1e-10)
    false = np.flatnonzero(~outcome.tp & ~outcome.ignored)
    pairs = neighbours(
        matches.truth, matches.detections, outcome.valid, outcome.row[false], min(background, enough)
    )
    place = np.full(len(matches.detections), -1)
    place[outcome.row] = np.arange(len(outcome.row))
    own_class = matches.object_label[pairs.object] == outcome.label[place[pairs.row]]
    own, own_object = _best(pairs.select(own_class), place)
    other, other_object = _best(pairs.select(~own_class), place)

    kind = np.full(len(outcome.row), -1, np.int8)
    tests: tuple[tuple[Kind, NDArray[np.bool_]], ...] = (
        ("localization", (own >= background) & (own < enough)),
        ("classification", other >= enough),
        ("duplicate", own >= enough),
        ("background", np.maximum(own, other) <= background),
        ("both", np.ones(len(kind), np.bool_)),
    )
    about, overlap = np.full(len(kind), -1, np.int32), np.full(len(kind), np.nan)
    undecided = np.zeros(len(kind), np.bool_)
    undecided[false] = True
    for name, holds in tests:
        chosen = undecided & holds
        undecided &= ~holds
        kind[chosen] = KINDS.index(name)
        if name in ("localization", "classification", "duplicate"):
            objects, overlaps = (other_object, other) if name == "classification" else (own_object, own)
            about[chosen], overlap[chosen] = objects[chosen], overlaps[chosen]

    mendable = np.isin(kind, (KINDS.index("localization"), KINDS.index("classification")))
    candidates = np.flatnonzero(mendable & (np.append(outcome.matched_by, 0)[about] < 0))
    candidates = candidates[
        np.lexsort((outcome.row[candidates], -outcome.score[candidates], about[candidates]))
    ]
    within_reach, first = np.unique(about[candidates], return_index=True)
    mends = np.zeros(len(kind), np.bool_)
    mends[candidates[first]] = True
    missed = outcome.valid & (outcome.matched_by < 0)
    missed[within_reach] = False
    return ErrorTypes(outcome, matches.object_label, kind, about, overlap, mends, missed, iou, background)


def _best(pairs: Neighbours, place: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """For each place of the walk the highest IoU, and the object; 0 and -1 where there is no pair."""
    overlap, about = (
        np.zeros(int(place.max(initial=-1)) + 1),
        np.full(int(place.max(initial=-1)) + 1, -1, np.int32),
    )
    # A detection's best pair stands before its others: written last, it stays.
    overlap[place[pairs.row[::-1]]] = pairs.iou[::-1]
    about[place[pairs.row[::-1]]] = pairs.object[::-1]
    return overlap, about


def _mean(column: NDArray[np.float64]) -> float:
    defined = column[~np.isnan(column)]
    return float(defined.mean()) if len(defined) else math.nan
