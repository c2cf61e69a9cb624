"""Confusion matrix of detections, with a row and a column for background."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from metrics.engine.neighbours import Neighbours, neighbours, take_in_turn
from metrics.errors import InputError
from metrics.matching import Matches
from metrics.measures import Value, iou_text, measure
from metrics.registry import did_you_mean

if TYPE_CHECKING:
    import pandas

Convention = Literal["two_pass", "ultralytics", "supervision", "yolov5"]

BACKGROUND = "(background)"
"""Name of the row of detections without object and of the column of objects without detection."""

DEFAULTS: dict[Convention, tuple[float, float | None]] = {
    "two_pass": (0.5, None),
    "ultralytics": (0.25, 0.45),
    "supervision": (0.3, 0.5),
    "yolov5": (0.25, 0.45),
}
"""Default score and IoU threshold of each convention; None is the rule's first threshold."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """One cell of a confusion matrix.

    Attributes:
        true: class of the object, or `BACKGROUND`.
        predicted: class of the detection, or `BACKGROUND`.
        count: number of pairs.
        share: of the true class's objects (for background: of all detections without object).
    """

    true: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True, eq=False, repr=False)
class ConfusionMatrix:
    """Counts of objects and detections by true and predicted class, as the non-zero cells.

    Every valid object is in one cell of its class's row and every detection that counts in one cell of its class's column,
    so row sums are numbers of objects and column sums numbers of detections.

    Attributes:
        classes: K names. Label K is background: an object with predicted class K is missed, a detection with true class K
            has no object. No cell has both.
        true: (P,) labels in [0, K], ascending.
        predicted: (P,) labels in [0, K].
        count: (P,) positive.
        score: score threshold.
        iou: IoU threshold of pairs.
        convention: how pairs are formed.
    """

    classes: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    count: NDArray[np.int64]
    score: float
    iou: float
    convention: Convention

    def __repr__(self) -> str:
        return (
            f"ConfusionMatrix({len(self.classes)} classes, {int(self.objects[:-1].sum())} objects,"
            f" {int(self.detections[:-1].sum())} detections; {self.convention})"
        )

    def _repr_html_(self) -> str:
        """The most frequent confusions, for notebooks."""
        import pandas

        return pandas.DataFrame(self.top(background=True)).to_html(index=False)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(K + 1, K + 1) the dense matrix: rows true, columns predicted, background last."""
        matrix = np.zeros((len(self.classes) + 1,) * 2, np.int64)
        matrix[self.true, self.predicted] = self.count
        return matrix

    @cached_property
    def objects(self) -> NDArray[np.int64]:
        """(K + 1,) row sums: objects of each class, and last the detections without object."""
        return self._sum(self.true)

    @cached_property
    def detections(self) -> NDArray[np.int64]:
        """(K + 1,) column sums: detections of each class, and last the missed objects."""
        return self._sum(self.predicted)

    @property
    def correct(self) -> NDArray[np.int64]:
        """(K,) the diagonal: objects detected with the correct class."""
        correct = np.zeros(len(self.classes), np.int64)
        diagonal = self.true == self.predicted
        correct[self.true[diagonal]] = self.count[diagonal]
        return correct

    def top(self, most: int = 20, background: bool = False) -> list[Confusion]:
        """Return the most frequent confusions; equal counts in the order of the classes.

        Args:
            most: maximum number.
            background: whether to include missed objects and detections without object.
        """
        wrong = self.true != self.predicted
        if not background:
            wrong &= (self.true < len(self.classes)) & (self.predicted < len(self.classes))
        cells = np.flatnonzero(wrong)
        cells = cells[np.lexsort((self.predicted[cells], self.true[cells], -self.count[cells]))]
        return [self._confusion(cell) for cell in cells[:most]]

    def to_frame(self) -> pandas.DataFrame:
        """Return one row per non-zero cell, with columns true, predicted, count and share."""
        import pandas

        cells = [astuple(self._confusion(cell)) for cell in range(len(self.count))]
        return pandas.DataFrame(cells, columns=[field.name for field in fields(Confusion)])

    def _confusion(self, cell: int) -> Confusion:
        names = (*self.classes, BACKGROUND)
        true, predicted, count = (int(column[cell]) for column in (self.true, self.predicted, self.count))
        return Confusion(names[true], names[predicted], count, count / int(self.objects[true]))

    def _sum(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(labels, self.count, len(self.classes) + 1).astype(np.int64)


@measure("confusion", better="higher", source="two passes, defined by `confusion_matrix`")
def confusion(
    matches: Matches,
    score: float | None = None,
    iou: float | None = None,
    area: str | None = None,
    convention: Convention = "two_pass",
) -> list[Value]:
    """Share of paired objects with the correct class, of missed objects, and of detections without object.

    ``class_accuracy`` is the share of objects in a pair that have the detection's class, ``missed`` the share of objects
    without a detection, ``invented`` the share of detections without an object. Over all classes, objects and detections are
    pooled.

    Args:
        matches: the matched detections.
        score: see `confusion_matrix`, as for the other arguments.
        iou: IoU threshold.
        area: area range.
        convention: how pairs are formed.

    Returns:
        NaN where there are no such objects or detections.
    """
    matrix = confusion_matrix(matches, score, iou, area, convention)
    area = area or matches.rule.areas[0]
    objects, detections = matrix.objects[:-1], matrix.detections[:-1]
    missed, invented = np.zeros_like(objects), np.zeros_like(detections)
    no_detection, no_object = matrix.predicted == len(matrix.classes), matrix.true == len(matrix.classes)
    missed[matrix.true[no_detection]] = matrix.count[no_detection]
    invented[matrix.predicted[no_object]] = matrix.count[no_object]
    parts = [("", slice(None)), *((name, slice(k, k + 1)) for k, name in enumerate(matches.classes))]
    values = []
    for name, part in parts:
        object_count, detection_count = int(objects[part].sum()), int(detections[part].sum())
        misses, without_object = int(missed[part].sum()), int(invented[part].sum())
        fields = (name, area, iou_text([matrix.iou]))
        correct = int(matrix.correct[part].sum())
        values += [
            Value("class_accuracy", _share(correct, object_count - misses), *fields),
            Value("missed", _share(misses, object_count), *fields, better="lower"),
            Value("invented", _share(without_object, detection_count), *fields, better="lower"),
        ]
    return values


def confusion_matrix(
    matches: Matches,
    score: float | None = None,
    iou: float | None = None,
    area: str | None = None,
    convention: Convention = "two_pass",
) -> ConfusionMatrix:
    """Pair detections with objects of any class one to one, and count the classes of the pairs.

    The default, ``two_pass``, first takes COCO's matches within each class, then pairs the remaining detections and objects
    across classes by falling IoU (then by falling score, then input order). So a detection of a wrong class never takes an
    object from one of the correct class, and the diagonal divided by the row sums is recall at this score. Detections that
    COCO ignores (in a crowd, on an ignored object, or by their own area) and those beyond the rule's max_dets are left out.

    The other conventions reproduce other programs, using all detections of the table:

    - ``ultralytics`` (8.4.190): by falling score each detection takes the free object of any class with the highest IoU.
    - ``supervision`` (0.31.2): first pairs of one class, then others, each by falling IoU.
    - ``yolov5``, and earlier versions of both: each detection selects its best object of any class, then each object the best
      of the detections that selected it; the remaining detections are not considered again.

    These programs compute in single precision, so a pair within rounding of a threshold may differ. Ultralytics and yolov5
    print the transpose.

    Args:
        matches: the matched detections.
        score: score threshold (for ultralytics and yolov5 exclusive); by default that of `DEFAULTS`. Compare detectors each
            at its own operating point.
        iou: IoU threshold of pairs (exclusive except for ``two_pass``). For ``two_pass`` one of the rule's thresholds.
        area: one of the rule's area ranges, by default the first; rows have only its valid objects.
        convention: how pairs are formed.

    Raises:
        InputError: no such convention, threshold or area range, or an IoU outside [0, 1].
    """
    if convention not in get_args(Convention):
        known = get_args(Convention)
        raise InputError(
            f"convention: unknown {convention!r}{did_you_mean(convention, known) or '; known: ' + ', '.join(known)}"
        )
    default_score, default_iou = DEFAULTS[convention]
    score = default_score if score is None else score
    iou = default_iou if iou is None else iou
    iou = matches.rule.iou_thresholds[0] if iou is None else iou
    if not 0 <= iou <= 1:
        raise InputError(f"iou: expected a number in [0, 1], got {iou}")
    area = area or matches.rule.areas[0]
    if convention == "two_pass":
        pairing = _two_passes(matches, score, iou, area)
    else:
        pairing = _one_pass(matches, score, iou, area, convention)
    return ConfusionMatrix(matches.classes, *_count(matches, pairing), score, iou, convention)


class _Pairing(NamedTuple):
    """Valid objects (a mask), detections that count (rows), and their pairs."""

    objects: NDArray[np.bool_]
    rows: NDArray[np.integer]
    pairs: Neighbours


def _two_passes(matches: Matches, score: float, iou: float, area: str) -> _Pairing:
    """Pair within classes as COCO does, then across classes."""
    outcome = matches.at(iou, area)
    counts = ~outcome.ignored & (outcome.score >= score)
    row, tp = outcome.row[counts], outcome.tp[counts]
    within = Neighbours(row[tp], outcome.object[counts][tp], outcome.iou[counts][tp])
    free = outcome.valid.copy()
    free[within.object] = False
    near = neighbours(matches.truth, matches.detections, free, row[~tp], min(iou, 1 - 1e-10))
    order = np.lexsort((near.object, near.row, -matches.detections.score[near.row], -near.iou))
    across = _take_once(matches, near.select(order))
    return _Pairing(outcome.valid, row, within.and_also(across))


def _one_pass(matches: Matches, score: float, iou: float, area: str, convention: Convention) -> _Pairing:
    """Pair as another program does."""
    detections, truth = matches.detections, matches.truth
    objects = matches.valid >> matches.rule.area_index(area) & 1 == 1
    kept = detections.score >= score if convention == "supervision" else detections.score > score
    rows = np.flatnonzero(kept)
    near = neighbours(truth, detections, objects, rows, max(iou, np.finfo(np.float64).tiny))
    near = near.select(near.iou > iou)
    if convention == "yolov5":
        near = _select_best(near, near.row)
        return _Pairing(objects, rows, _select_best(near, near.object))
    if convention == "ultralytics":
        order = np.lexsort((near.object, -near.iou, near.row, -detections.score[near.row]))
    else:
        other = matches.object_label[near.object] != _labels(matches)[near.row]
        order = np.lexsort((near.row, near.object, -near.iou, other))
    return _Pairing(objects, rows, _take_once(matches, near.select(order)))


def _select_best(pairs: Neighbours, side: NDArray[np.int32]) -> Neighbours:
    """Select the pair with the highest IoU of each member of one side; ties in input order."""
    order = np.lexsort((pairs.object, pairs.row, -pairs.iou, side))
    return pairs.select(order[np.unique(side[order], return_index=True)[1]])


def _take_once(matches: Matches, pairs: Neighbours) -> Neighbours:
    """Take pairs in order, each detection and each object once."""
    return pairs.select(take_in_turn(pairs.row, pairs.object, len(matches.detections), len(matches.truth)))


def _labels(matches: Matches) -> NDArray[np.int32]:
    """(N,) class in [0, K) of each detection of the table."""
    return matches.detections.label if matches.rule.by_class else np.zeros_like(matches.detections.label)


def _count(
    matches: Matches, pairing: _Pairing
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """True and predicted labels of the non-zero cells, and their counts."""
    background = len(matches.classes)
    object_label, label = matches.object_label.astype(np.int64), _labels(matches).astype(np.int64)
    pairs = pairing.pairs
    missed = pairing.objects.copy()
    missed[pairs.object] = False
    unpaired = np.zeros(len(matches.detections), np.bool_)
    unpaired[pairing.rows] = True
    unpaired[pairs.row] = False
    missed_label, invented_label = object_label[missed], label[unpaired]
    true = np.concatenate(
        [object_label[pairs.object], missed_label, np.full(len(invented_label), background)]
    )
    predicted = np.concatenate([label[pairs.row], np.full(len(missed_label), background), invented_label])
    cells, count = np.unique(true * (background + 1) + predicted, return_counts=True)
    return cells // (background + 1), cells % (background + 1), count


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
