"""Confusion matrix of detections, with a row and a column for what has no partner, by type of false positive."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.class_pairing import OnePass, Pairing, detection_labels, pair_in_one_pass, pair_in_two_passes
from metrics.errors import InputError
from metrics.matching import Matches
from metrics.measures import Value, iou_text, measure
from metrics.measures.error_types import FALSE_POSITIVES, KINDS, Kind
from metrics.plurals import plural
from metrics.registry import did_you_mean

if TYPE_CHECKING:
    import pandas

Convention = Literal["two_pass"] | OnePass

UNPAIRED = "(none)"
"""Name of the row of detections without an object and of the column of objects without a detection."""

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
        true: class of the object, or `UNPAIRED`.
        predicted: class of the detection, or `UNPAIRED`.
        error_type: type of the false positives; empty for true positives, for objects without a detection, and where the
            convention has no types.
        count: number of pairs, of detections without an object, or of objects without a detection.
        share: of the true class's objects (for `UNPAIRED`: of all detections without an object).
    """

    true: str
    predicted: str
    error_type: Kind | Literal[""]
    count: int
    share: float


@dataclass(frozen=True, eq=False, repr=False)
class ConfusionMatrix:
    """Counts of objects and detections by true and predicted class, as the non-zero cells.

    Every valid object is in one cell of its class's row and every detection that counts in one cell of its class's column,
    so row sums are numbers of objects and column sums numbers of detections. The false positives are all detections that
    are not on the diagonal.

    Attributes:
        classes: K names. Label K stands for no partner: an object with predicted class K has no detection, a detection
            with true class K has no object, which does not mean that it is on background. No cell has both.
        true: (P,) labels in [0, K], ascending.
        predicted: (P,) labels in [0, K].
        kind: (P,) int8 index into `metrics.measures.error_types.KINDS` of false positives: one cell for each type of a true
            and predicted class. -1 for the diagonal, for objects without a detection, and where the convention has no types.
        count: (P,) positive.
        score: score threshold.
        iou: IoU threshold of pairs.
        convention: how pairs are formed.
    """

    classes: tuple[str, ...]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    kind: NDArray[np.int8]
    count: NDArray[np.int64]
    score: float
    iou: float
    convention: Convention

    def __repr__(self) -> str:
        return (
            f"ConfusionMatrix({plural(len(self.classes), 'class')}, {plural(int(self.objects[:-1].sum()), 'object')},"
            f" {plural(int(self.detections[:-1].sum()), 'detection')}; {self.convention})"
        )

    def _repr_html_(self) -> str:
        """The most frequent confusions, for notebooks."""
        import pandas

        return pandas.DataFrame(self.top(unpaired=True)).to_html(index=False)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(K + 1, K + 1) the dense matrix, all types of error together: rows true, columns predicted, no partner last."""
        matrix = np.zeros((len(self.classes) + 1,) * 2, np.int64)
        np.add.at(matrix, (self.true, self.predicted), self.count)
        return matrix

    @property
    def false_positives(self) -> NDArray[np.int64]:
        """(5,) false positives of each type, in the order of `FALSE_POSITIVES`; 0 where the convention has no types."""
        typed = self.kind >= 0
        return _sums(self.kind[typed].astype(np.int64), self.count[typed], len(FALSE_POSITIVES))

    @property
    def without_object(self) -> NDArray[np.int64]:
        """(5, K) the last row by type of false positive and predicted class; 0 where the convention has no types."""
        table = np.zeros((len(FALSE_POSITIVES), len(self.classes)), np.int64)
        cells = (self.true == len(self.classes)) & (self.kind >= 0)
        table[self.kind[cells], self.predicted[cells]] = self.count[cells]
        return table

    @cached_property
    def objects(self) -> NDArray[np.int64]:
        """(K + 1,) row sums: objects of each class, and last the detections without an object."""
        return _sums(self.true, self.count, len(self.classes) + 1)

    @cached_property
    def detections(self) -> NDArray[np.int64]:
        """(K + 1,) column sums: detections of each class, and last the objects without a detection."""
        return _sums(self.predicted, self.count, len(self.classes) + 1)

    @property
    def correct(self) -> NDArray[np.int64]:
        """(K,) the diagonal: objects detected with the correct class."""
        correct = np.zeros(len(self.classes), np.int64)
        diagonal = self.true == self.predicted
        correct[self.true[diagonal]] = self.count[diagonal]
        return correct

    def top(self, most: int = 20, unpaired: bool = False) -> list[Confusion]:
        """Return the most frequent confusions; equal counts in the order of the classes.

        Args:
            most: maximum number.
            unpaired: whether to include objects without a detection and detections without an object.
        """
        wrong = self.true != self.predicted
        if not unpaired:
            wrong &= (self.true < len(self.classes)) & (self.predicted < len(self.classes))
        cells = np.flatnonzero(wrong)
        keys = (self.kind[cells], self.predicted[cells], self.true[cells], -self.count[cells])
        cells = cells[np.lexsort(keys)]
        return [self._confusion(cell) for cell in cells[:most]]

    def to_frame(self) -> pandas.DataFrame:
        """Return one row per non-zero cell, with columns true, predicted, error_type, count and share."""
        import pandas

        cells = [astuple(self._confusion(cell)) for cell in range(len(self.count))]
        return pandas.DataFrame(cells, columns=[field.name for field in fields(Confusion)])

    def _confusion(self, cell: int) -> Confusion:
        names = (*self.classes, UNPAIRED)
        true, predicted, kind, count = (
            int(column[cell]) for column in (self.true, self.predicted, self.kind, self.count)
        )
        error_type: Kind | Literal[""] = KINDS[kind] if kind >= 0 else ""
        return Confusion(names[true], names[predicted], error_type, count, count / int(self.objects[true]))


@measure("confusion", better="higher", source="two passes, defined by `confusion_matrix`")
def confusion(
    matches: Matches,
    score: float | None = None,
    iou: float | None = None,
    area: str | None = None,
    convention: Convention = "two_pass",
) -> list[Value]:
    """Share of paired objects with the correct class, of objects without a detection, and of detections without an object.

    ``class_accuracy`` is the share of objects in a pair that have the detection's class, ``missed`` the share of objects
    without a detection, ``unpaired`` the share of detections without an object, for whatever reason: `error_types` has the
    number that are on background. Over all classes, objects and detections are pooled.

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
    missed, unpaired = np.zeros_like(objects), np.zeros_like(detections)
    no_detection, no_object = matrix.predicted == len(matrix.classes), matrix.true == len(matrix.classes)
    missed[matrix.true[no_detection]] = matrix.count[no_detection]
    np.add.at(unpaired, matrix.predicted[no_object], matrix.count[no_object])
    parts = [("", slice(None)), *((name, slice(k, k + 1)) for k, name in enumerate(matches.classes))]
    values = []
    for name, part in parts:
        object_count, detection_count = int(objects[part].sum()), int(detections[part].sum())
        misses, without_object = int(missed[part].sum()), int(unpaired[part].sum())
        fields = (name, area, iou_text([matrix.iou]))
        correct = int(matrix.correct[part].sum())
        values += [
            Value("class_accuracy", _share(correct, object_count - misses), *fields),
            Value("missed", _share(misses, object_count), *fields, better="lower"),
            Value("unpaired", _share(without_object, detection_count), *fields, better="lower"),
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

    The default, ``two_pass``, first takes COCO's matches within each class, then pairs the remaining objects with the
    false positives that are classification errors (see `classify_errors`), across classes by falling IoU (then by falling
    score, then input order). So a detection of a wrong class never takes an object from one of the correct class, the
    diagonal divided by the row sums is recall at this score, and all pairs of different classes are classification errors.
    Every other false positive is in the last row, by type: localization errors, errors in both class and localization,
    duplicates, detections on background, and classification errors whose objects are paired or ignored already. Detections
    that COCO ignores (in a crowd, on an ignored object, or by their own area) and those beyond the rule's max_dets are left
    out.

    The other conventions reproduce other programs, using all detections of the table, and have no types of error:

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
    if convention not in DEFAULTS:
        hint = did_you_mean(convention, DEFAULTS) or "; known: " + ", ".join(DEFAULTS)
        raise InputError(f"convention: unknown {convention!r}{hint}")
    default_score, default_iou = DEFAULTS[convention]
    score = default_score if score is None else score
    iou = default_iou if iou is None else iou
    iou = matches.rule.iou_thresholds[0] if iou is None else iou
    if not 0 <= iou <= 1:
        raise InputError(f"iou: expected a number in [0, 1], got {iou}")
    area = area or matches.rule.areas[0]
    if convention == "two_pass":
        pairing = pair_in_two_passes(matches, score, iou, area)
    else:
        pairing = pair_in_one_pass(matches, score, iou, area, convention)
    return ConfusionMatrix(matches.classes, *_count(matches, pairing), score, iou, convention)


def _count(
    matches: Matches, pairing: Pairing
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8], NDArray[np.int64]]:
    """True and predicted labels and types of the non-zero cells, and their counts."""
    none = len(matches.classes)
    object_label = matches.object_label.astype(np.int64)
    label = detection_labels(matches).astype(np.int64)
    pairs = pairing.pairs
    lone_object = pairing.objects.copy()
    lone_object[pairs.object] = False
    lone_detection = np.zeros(len(matches.detections), np.bool_)
    lone_detection[pairing.rows] = True
    lone_detection[pairs.row] = False
    lost = object_label[lone_object]
    rows = np.concatenate([pairs.row, np.flatnonzero(lone_detection)])
    true = np.concatenate([object_label[pairs.object], np.full(len(rows) - len(pairs.row), none), lost])
    predicted = np.concatenate([label[rows], np.full(len(lost), none)])
    kinds = np.concatenate([pairing.kind[rows].astype(np.int64), np.full(len(lost), -1)])
    size, types = none + 1, len(FALSE_POSITIVES) + 1
    cells, count = np.unique((true * size + predicted) * types + kinds + 1, return_counts=True)
    place = cells // types
    return place // size, place % size, (cells % types - 1).astype(np.int8), count


def _sums(index: NDArray[np.int64], count: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.bincount(index, count, size).astype(np.int64)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
