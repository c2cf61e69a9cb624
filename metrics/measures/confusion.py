"""Which class is taken for which: a confusion matrix of detections, with a row and a column for background."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

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
"""What stands for "nothing there" and "nothing said" among the names of classes."""

DEFAULTS: dict[Convention, tuple[float, float | None]] = {
    "two_pass": (0.5, None),
    "ultralytics": (0.25, 0.45),
    "supervision": (0.3, 0.5),
    "yolov5": (0.25, 0.45),
}
"""Score and IoU that each convention takes where none is given; None is the rule's first threshold."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often one class was taken for another.

    Attributes:
        true: class of the object, or `BACKGROUND`.
        predicted: class of the detection, or `BACKGROUND`.
        count: how often.
        share: of the true class's objects (for background: of all detections on nothing).
    """

    true: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """What became of each object and each detection, by class. Only cells that are not 0 are kept.

    Every object that is asked for stands in one cell of its class's row, and every detection that counts in one cell
    of its class's column: so the rows add up to objects, the columns to detections.

    Attributes:
        classes: K names. Label K is background: an object with predicted K was missed, a detection with true K lies
            on nothing. No cell has both, for nothing found where nothing is cannot be counted.
        true: (P,) rising labels in [0, K].
        predicted: (P,) labels in [0, K].
        count: (P,) above 0.
        score: below which detections were left out.
        iou: that a detection and an object must share.
        convention: by which they were paired.
    """

    classes: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    count: NDArray[np.int64]
    score: float
    iou: float
    convention: Convention

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(K + 1, K + 1) the whole matrix: rows true, columns predicted, background last."""
        matrix = np.zeros((len(self.classes) + 1,) * 2, np.int64)
        matrix[self.true, self.predicted] = self.count
        return matrix

    @cached_property
    def objects(self) -> NDArray[np.int64]:
        """(K + 1,) sums of the rows: objects of each class, and last the detections on nothing."""
        return self._sum(self.true)

    @cached_property
    def detections(self) -> NDArray[np.int64]:
        """(K + 1,) sums of the columns: detections of each class, and last the objects that were missed."""
        return self._sum(self.predicted)

    @property
    def correct(self) -> NDArray[np.int64]:
        """(K,) the diagonal: objects found as what they are."""
        right = np.zeros(len(self.classes), np.int64)
        diagonal = self.true == self.predicted
        right[self.true[diagonal]] = self.count[diagonal]
        return right

    def top(self, most: int = 20, background: bool = False) -> list[Confusion]:
        """The most frequent confusions, at equal counts in the order of the classes.

        Args:
            most: how many at most.
            background: whether misses, and detections on nothing, are listed too.
        """
        wrong = self.true != self.predicted
        if not background:
            wrong &= (self.true < len(self.classes)) & (self.predicted < len(self.classes))
        cells = np.flatnonzero(wrong)
        cells = cells[np.lexsort((self.predicted[cells], self.true[cells], -self.count[cells]))]
        return [self._confusion(cell) for cell in cells[:most]]

    def to_frame(self) -> pandas.DataFrame:
        """One row for each cell that is not 0, with columns true, predicted, count and share: the whole as a CSV."""
        import pandas

        cells = [astuple(self._confusion(cell)) for cell in range(len(self.count))]
        return pandas.DataFrame(cells, columns=[field.name for field in fields(Confusion)])

    def _confusion(self, cell: int) -> Confusion:
        names = (*self.classes, BACKGROUND)
        true, predicted, count = (int(column[cell]) for column in (self.true, self.predicted, self.count))
        return Confusion(names[true], names[predicted], count, count / int(self.objects[true]))

    def _sum(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(labels, self.count, len(self.classes) + 1).astype(np.int64)


@measure("confusion", better="higher", source="two passes, as `confusion_matrix` defines them")
def confusion(
    matches: Matches,
    score: float | None = None,
    iou: float | None = None,
    area: str | None = None,
    convention: Convention = "two_pass",
) -> list[Value]:
    """Of the objects that some detection lies on, the share whose class it names.

    ``class_accuracy`` is that; ``missed`` is the share of objects that no detection lies on, and ``invented`` the
    share of detections that lie on nothing. For all classes together objects and detections are pooled.

    Args:
        matches: detections and what they found.
        score: see `confusion_matrix`, as for the other arguments.
        iou: likewise.
        area: likewise.
        convention: likewise.

    Returns:
        NaN where there is no object, or no detection, to take a share of.
    """
    matrix = confusion_matrix(matches, score, iou, area, convention)
    where = area or matches.rule.areas[0]
    objects, detections = matrix.objects[:-1], matrix.detections[:-1]
    missed, invented = np.zeros_like(objects), np.zeros_like(detections)
    lost, made_up = matrix.predicted == len(matrix.classes), matrix.true == len(matrix.classes)
    missed[matrix.true[lost]] = matrix.count[lost]
    invented[matrix.predicted[made_up]] = matrix.count[made_up]
    parts = [("", slice(None)), *((name, slice(k, k + 1)) for k, name in enumerate(matches.classes))]
    values = []
    for name, part in parts:
        in_row, in_column = int(objects[part].sum()), int(detections[part].sum())
        misses, on_nothing = int(missed[part].sum()), int(invented[part].sum())
        place = (name, where, iou_text([matrix.iou]))
        right = int(matrix.correct[part].sum())
        values += [
            Value("class_accuracy", _share(right, in_row - misses), *place),
            Value("missed", _share(misses, in_row), *place, better="lower"),
            Value("invented", _share(on_nothing, in_column), *place, better="lower"),
        ]
    return values


def confusion_matrix(
    matches: Matches,
    score: float | None = None,
    iou: float | None = None,
    area: str | None = None,
    convention: Convention = "two_pass",
) -> ConfusionMatrix:
    """Pair detections with objects of any class, each with at most one, and count the classes of the pairs.

    Ours, ``two_pass``: first the matches within each class, which are COCO's; then what is left over on both sides is
    paired across classes, the highest IoU first (of equal ones the surer detection, then input order). So no
    detection of a wrong class takes an object from one that names it rightly, and the diagonal over the row sums is
    recall at this score. Detections that COCO ignores, because they lie in a crowd or on an ignored object or
    because of their own area, are left out, and so are those beyond the rule's max_dets.

    The others give the matrices of other programs, all detections of the table taking part:

    - ``ultralytics`` (8.4.190): by falling score each detection takes the free object of any class of the highest IoU.
    - ``supervision`` (0.31.2): pairs of one class first, then others, each time by falling IoU.
    - ``yolov5``, and both of these in earlier years: each detection chooses its best object of any class, then each
      object the best of those that chose it; who is left over is not asked again.

    These compute in single precision, so a pair within rounding of a threshold may differ. Where ultralytics and
    yolov5 print rows for predicted and columns for true classes, ours is the transpose.

    Args:
        matches: detections and what they found.
        score: detections below it are left out (for ultralytics and yolov5 also those at it). Where None, what
            `DEFAULTS` says: 0.5, and for others what they take. Compare detectors each at its own operating point.
        iou: that a pair must reach (for the others: exceed). For ``two_pass`` one of the rule's thresholds.
        area: one of the rule's area ranges, the first where None: only objects asked for there are rows.
        convention: how pairs are made.

    Raises:
        InputError: no such convention, threshold or range; an IoU that is not in [0, 1].
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
        objects, rows, pairs = _two_passes(matches, score, iou, area)
    else:
        objects, rows, pairs = _one_pass(matches, score, iou, area, convention)
    return _count(matches, objects, rows, pairs, (score, iou, convention))


_Paired = tuple[NDArray[np.bool_], NDArray[np.integer], Neighbours]


def _two_passes(matches: Matches, score: float, iou: float, area: str) -> _Paired:
    """Objects (a mask) and detections (rows) that count, and their pairs."""
    outcome = matches.at(iou, area)
    counts = ~outcome.ignored & (outcome.score >= score)
    row, true = outcome.row[counts], outcome.tp[counts]
    first = Neighbours(row[true], outcome.object[counts][true], outcome.iou[counts][true])
    free = outcome.valid.copy()
    free[first.object] = False
    left = neighbours(matches.truth, matches.detections, free, row[~true], min(iou, 1 - 1e-10))
    order = np.lexsort((left.object, left.row, -matches.detections.score[left.row], -left.iou))
    second = _each_once(matches, left.select(order))
    return outcome.valid, row, first.and_also(second)


def _one_pass(matches: Matches, score: float, iou: float, area: str, convention: Convention) -> _Paired:
    """Likewise, as another program pairs them."""
    found, truth = matches.detections, matches.truth
    index = matches.rule.area_index(area)
    objects = matches.valid >> index & 1 == 1
    kept = found.score >= score if convention == "supervision" else found.score > score
    rows = np.flatnonzero(kept)
    near = neighbours(truth, found, objects, rows, max(iou, np.finfo(np.float64).tiny))
    near = near.select(near.iou > iou)
    if convention == "yolov5":
        near = _best_of_each(near, near.row)
        return objects, rows, _best_of_each(near, near.object)
    if convention == "ultralytics":
        order = np.lexsort((near.object, -near.iou, near.row, -found.score[near.row]))
    else:
        other = matches.object_label[near.object] != _labels(matches)[near.row]
        order = np.lexsort((near.row, near.object, -near.iou, other))
    return objects, rows, _each_once(matches, near.select(order))


def _best_of_each(pairs: Neighbours, side: NDArray[np.int32]) -> Neighbours:
    """Of the pairs of each member of one side the one of the highest IoU; of equal ones the first in input order."""
    order = np.lexsort((pairs.object, pairs.row, -pairs.iou, side))
    return pairs.select(order[np.unique(side[order], return_index=True)[1]])


def _each_once(matches: Matches, pairs: Neighbours) -> Neighbours:
    return pairs.select(take_in_turn(pairs.row, pairs.object, len(matches.detections), len(matches.truth)))


def _labels(matches: Matches) -> NDArray[np.int32]:
    """(N,) class in [0, K) of each detection of the table."""
    return matches.detections.label if matches.rule.by_class else np.zeros_like(matches.detections.label)


def _count(
    matches: Matches,
    objects: NDArray[np.bool_],
    rows: NDArray[np.integer],
    pairs: Neighbours,
    settings: tuple[float, float, Convention],
) -> ConfusionMatrix:
    """Count pairs, objects in none, and detections in none, by class."""
    background = len(matches.classes)
    object_label, label = matches.object_label.astype(np.int64), _labels(matches).astype(np.int64)
    missed = objects.copy()
    missed[pairs.object] = False
    on_nothing = np.zeros(len(matches.detections), np.bool_)
    on_nothing[rows] = True
    on_nothing[pairs.row] = False
    lost, invented = object_label[missed], label[on_nothing]
    true = np.concatenate([object_label[pairs.object], lost, np.full(len(invented), background)])
    predicted = np.concatenate([label[pairs.row], np.full(len(lost), background), invented])
    cells, count = np.unique(true * (background + 1) + predicted, return_counts=True)
    return ConfusionMatrix(
        matches.classes, cells // (background + 1), cells % (background + 1), count, *settings
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
