"""Types of detection errors and their cost in average precision (TIDE).

Each false positive has one error type, depending on what would have made it a true positive; each undetected object is
missed unless a detection has only a wrong class or box. The cost of a type is the gain in average precision if all errors
of that type, and no others, were fixed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from metrics.engine.neighbours import neighbours
from metrics.errors import InputError
from metrics.matching import Matches, MatchOutcome
from metrics.measures import ClassColumn, Value, class_values, iou_text, measure, overall_values

SOURCE = "Bolya et al. 2020, TIDE: A general toolbox for identifying object detection errors, section 2"

Kind = Literal["classification", "localization", "both", "duplicate", "background", "missed"]
"""Error types; all but the last are types of false positives."""

KINDS: tuple[Kind, ...] = get_args(Kind)

FALSE_POSITIVES = KINDS[:-1]
"""Types of false positives."""

BACKGROUND = 0.1
"""IoU with every object below which a false positive is on background, unless another is given."""

Fixable = Kind | Literal["false_positives", "false_negatives"]
"""Errors that can be fixed together: those of one type, all false positives, or all false negatives."""

FIXABLE: tuple[Fixable, ...] = (*KINDS, "false_positives", "false_negatives")


@dataclass(frozen=True, eq=False, repr=False)
class ErrorTypes:
    """The type of each error.

    Attributes:
        outcome: outcome of the detections, in ranked order.
        object_label: (G,) class of each object.
        kind: (D,) int8 index into `KINDS` of each false positive; -1 for other detections.
        object: (D,) int32 object concerned: for classification the object of another class with the highest overlap, for
            localization and duplicate the one of the same class; otherwise -1.
        overlap: (D,) float64 overlap with that object, as in `classify_errors`; NaN without one.
        fixes: (D,) whether the detection becomes a true positive when its type is fixed: its object is valid and undetected,
            and it is the highest-scoring detection with a classification or localization error on it.
        missed: (G,) valid objects that are undetected and that no detection fixes.
        iou: IoU threshold.
        background: overlap below which a detection is on background.
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

    def __repr__(self) -> str:
        counts = dict(zip(KINDS, self.counts().sum(0).tolist(), strict=True))
        return f"ErrorTypes({', '.join(f'{kind}: {count}' for kind, count in counts.items())})"

    def counts(self) -> NDArray[np.int64]:
        """Return (K, 6) numbers of errors by class and type: of the detection's class, for misses of the object's."""
        classes = len(self.outcome.positives)
        table = np.zeros((classes, len(KINDS)), np.int64)
        errors = self.kind >= 0
        np.add.at(table, (self.outcome.label[errors], self.kind[errors]), 1)
        table[:, KINDS.index("missed")] = np.bincount(self.object_label[self.missed], minlength=classes)
        return table

    def fixed(self, kind: Fixable) -> MatchOutcome:
        """Return the outcome with all errors of a type, and no others, fixed.

        - ``classification``: detections of `fixes` get their object's class and become true positives; the others are removed.
        - ``localization``: the same in their own class, with the object's box.
        - ``both``, ``duplicate``, ``background``, ``false_positives``: the detections are removed.
        - ``missed``, ``false_negatives``: the missed, or all undetected, objects are removed from the ground truth.

        Raises:
            InputError: no such type.
        """
        outcome = self.outcome
        if kind not in FIXABLE:
            raise InputError(f"kind: unknown {kind!r}; known: {', '.join(FIXABLE)}")
        if kind in ("missed", "false_negatives"):
            removed = self.missed if kind == "missed" else outcome.matched_by < 0
            valid = outcome.valid & ~removed
            positives = np.bincount(self.object_label[valid], minlength=len(outcome.positives))
            return replace(outcome, valid=valid, positives=positives)
        if kind == "false_positives":
            return self._with(~(self.kind >= 0))
        of_kind = self.kind == KINDS.index(kind)
        if kind not in ("classification", "localization"):
            return self._with(~of_kind)
        return self._with(~of_kind | self.fixes, of_kind & self.fixes, box=kind == "localization")

    def average_precision(self, kind: Fixable | None = None) -> NDArray[np.float64]:
        """Return (K,) average precision at the threshold, as is or with a type of error fixed.

        NaN for a class without valid ground truth. A class whose objects were all missed keeps its 0 when misses are fixed.
        """
        values = (self.outcome if kind is None else self.fixed(kind)).average_precision()
        return np.where(self.outcome.positives > 0, np.nan_to_num(values), np.nan)

    def cost(self, kind: Fixable) -> NDArray[np.float64]:
        """Return (K,) the gain in average precision; not negative except for rounding. NaN as in `average_precision`."""
        return self.average_precision(kind) - self.average_precision()

    def _with(
        self, kept: NDArray[np.bool_], fixed: NDArray[np.bool_] | None = None, box: bool = False
    ) -> MatchOutcome:
        """Outcome of the detections that are kept, with those of `fixed` as true positives."""
        outcome = self.outcome
        fixed = np.zeros(len(kept), np.bool_) if fixed is None else fixed
        label = np.where(fixed, np.append(self.object_label, -1)[self.object], outcome.label).astype(np.int32)
        matched_by = outcome.matched_by.copy()
        matched_by[self.object[fixed]] = outcome.row[fixed]
        order = np.flatnonzero(kept)
        if (label != outcome.label).any():
            keys = (outcome.row[order], outcome.image[order], -outcome.score[order], label[order])
            order = order[np.lexsort(keys)]
        return replace(
            outcome,
            start=np.searchsorted(label[order], np.arange(len(outcome.start))),
            row=outcome.row[order],
            image=outcome.image[order],
            label=label[order],
            score=outcome.score[order],
            tp=(outcome.tp | fixed)[order],
            ignored=outcome.ignored[order],
            object=np.where(fixed, self.object, outcome.object)[order],
            iou=np.where(fixed, 1.0 if box else self.overlap, outcome.iou)[order],
            matched_by=matched_by,
        )


@measure("error_types", better="lower", source=SOURCE)
def error_types(
    matches: Matches,
    iou: float | Literal["all"] | None = None,
    background: float = BACKGROUND,
    area: str | None = None,
    max_dets: int | None = None,
) -> list[Value]:
    """Number of errors of each type and their cost in average precision.

    ``cost_<kind>`` is the gain in average precision if all errors of the type were fixed, mean over the classes with valid
    ground truth; ``errors_<kind>`` is their number. The types are classification, localization, both, duplicate, background
    and missed; costs also include false_positives and false_negatives, all of either. Costs do not add up to 1 - AP, because
    errors interact. The authors' program averages over all classes that occur; here, as in COCO, the mean is over classes
    with objects.

    Args:
        matches: the matched detections.
        iou: one of the rule's thresholds, by default the first. ``all``: costs are means over the rule's thresholds, and
            there are no counts.
        background: see `classify_errors`.
        area: one of the rule's area ranges, by default the first.
        max_dets: at most the rule's largest, which is the default.

    Returns:
        NaN for costs without valid ground truth.
    """
    rule = matches.rule
    thresholds = rule.iou_thresholds if iou == "all" else (rule.iou_thresholds[0] if iou is None else iou,)
    area, max_dets = area or rule.areas[0], rule.max_dets_or_largest(max_dets)
    by_threshold = [
        classify_errors(matches, threshold, background, area, max_dets) for threshold in thresholds
    ]
    base = [errors.average_precision() for errors in by_threshold]
    fields = (area, iou_text(thresholds), max_dets)
    columns = []
    for kind in FIXABLE:
        costs = [errors.average_precision(kind) - ap for errors, ap in zip(by_threshold, base, strict=True)]
        columns.append(ClassColumn(f"cost_{kind}", np.mean(costs, axis=0), *fields))
    if len(by_threshold) == 1:
        for kind, counts in zip(KINDS, by_threshold[0].counts().T, strict=True):
            columns.append(ClassColumn(f"errors_{kind}", counts, *fields, overall=float(counts.sum())))
    return overall_values(columns) + class_values(columns, matches.classes, class_by_class=True)


def classify_errors(
    matches: Matches,
    iou: float = 0.5,
    background: float = BACKGROUND,
    area: str | None = None,
    max_dets: int | None = None,
) -> ErrorTypes:
    """Determine the error type of each false positive, and which undetected objects are missed.

    Overlap is IoU, and for a crowd the part of the detection that it covers. A false positive has the first type that
    applies:

    1. ``localization``: its highest overlap with its own class is at least `background` and below `iou`;
    2. ``classification``: its highest overlap with another class is at least `iou`;
    3. ``duplicate``: it overlaps its own class by at least `iou`, with an object that is detected already;
    4. ``background``: its overlap with every object is below `background`;
    5. ``both`` (box and class are wrong) otherwise.

    Valid objects decide; ignored objects and crowds decide the type of a detection that overlaps no valid object by
    `background`. They are annotated, so such a detection is not on background; fixing its type removes it.

    The type depends on detections with higher scores only, so it is the same at every score threshold that keeps the
    detection. `ErrorTypes.fixes` and `missed` are those at all scores.

    This is the order of the authors' program (tidecv 1.0.1). Differences from it: matches are COCO's; a detection that
    overlaps its own class by exactly `iou` is never a localization error, because this IoU suffices for a match; one that
    overlaps another class by exactly `background` is not on background; ignored objects have a say, as above; and ignored
    detections are neither errors nor fixes.

    Args:
        matches: the matched detections.
        iou: one of the rule's thresholds.
        background: in (0, iou]: overlap below which a detection is on background.
        area: one of the rule's area ranges, by default the first.
        max_dets: at most the rule's largest, which is the default.

    Raises:
        InputError: the rule does not have the threshold or area range, or `background` is not in (0, iou].
    """
    if not 0 < background <= iou:
        raise InputError(f"background: expected a number in (0, {iou:g}], at most the IoU, got {background}")
    outcome = matches.at(iou, area or matches.rule.areas[0], max_dets)
    enough = min(iou, 1 - 1e-10)
    fp = np.flatnonzero(~outcome.tp & ~outcome.ignored)
    own, other = _best(matches, outcome, outcome.valid, fp, min(background, enough))
    clear = fp[(own.overlap[fp] == 0) & (other.overlap[fp] == 0)]
    for best, ignored in zip(
        (own, other), _best(matches, outcome, ~outcome.valid, clear, min(background, enough)), strict=True
    ):
        best.overlap[clear], best.object[clear] = ignored.overlap[clear], ignored.object[clear]

    kind = np.full(len(outcome.row), -1, np.int8)
    tests: tuple[tuple[Kind, NDArray[np.bool_]], ...] = (
        ("localization", (own.overlap > 0) & (own.overlap < enough)),
        ("classification", other.overlap >= enough),
        ("duplicate", own.overlap >= enough),
        ("background", np.maximum(own.overlap, other.overlap) == 0),
        ("both", np.ones(len(kind), np.bool_)),
    )
    about, overlap = np.full(len(kind), -1, np.int32), np.full(len(kind), np.nan)
    undecided = np.zeros(len(kind), np.bool_)
    undecided[fp] = True
    for name, holds in tests:
        chosen = undecided & holds
        undecided &= ~holds
        kind[chosen] = KINDS.index(name)
        if name in ("localization", "classification", "duplicate"):
            best = other if name == "classification" else own
            about[chosen], overlap[chosen] = best.object[chosen], best.overlap[chosen]

    fixable = np.isin(kind, (KINDS.index("localization"), KINDS.index("classification")))
    undetected = outcome.valid & (outcome.matched_by < 0)
    candidates = np.flatnonzero(fixable & np.append(undetected, False)[about])
    keys = (outcome.row[candidates], -outcome.score[candidates], about[candidates])
    candidates = candidates[np.lexsort(keys)]
    fixed_objects, first = np.unique(about[candidates], return_index=True)
    fixes = np.zeros(len(kind), np.bool_)
    fixes[candidates[first]] = True
    missed = undetected
    missed[fixed_objects] = False
    return ErrorTypes(outcome, matches.object_label, kind, about, overlap, fixes, missed, iou, background)


class _Best(NamedTuple):
    """Highest overlap and its object for each detection of the ranked order; 0 and -1 without one."""

    overlap: NDArray[np.float64]
    object: NDArray[np.int32]


def _best(
    matches: Matches, outcome: MatchOutcome, objects: NDArray[np.bool_], fp: NDArray[np.intp], least: float
) -> tuple[_Best, _Best]:
    """Best of these objects of the same class, and of another class, for some detections, where it overlaps by `least`."""
    size, truth = len(outcome.row), matches.truth
    found = (
        _Best(np.zeros(size), np.full(size, -1, np.int32)),
        _Best(np.zeros(size), np.full(size, -1, np.int32)),
    )
    if not (objects.any() and len(fp)):
        return found
    pairs = neighbours(truth, matches.detections, objects, outcome.row[fp], least, truth.crowd)
    position = np.full(len(matches.detections), -1)
    position[outcome.row] = np.arange(size)
    same_class = matches.object_label[pairs.object] == outcome.label[position[pairs.row]]
    for best, of_class in zip(found, (same_class, ~same_class), strict=True):
        # The best pair of a detection comes first: assigning in reverse order keeps it.
        row, near, overlap = (column[::-1] for column in pairs.select(of_class))
        best.overlap[position[row]], best.object[position[row]] = overlap, near
    return found
