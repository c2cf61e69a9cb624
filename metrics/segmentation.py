"""Segmentation measures: IoU, Dice and pixel accuracy of label maps and masks, accumulated image by image.

These read arrays of pixels, not `Matches`. Areas are summed over all images before dividing, because the mean of per-image
ratios depends on how a scene is divided into images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics import pixel_measures
from metrics.errors import InputError
from metrics.evaluation import COLUMNS, Row
from metrics.pixel_labels import IGNORED
from metrics.pixel_measures import CLASS_MEASURES, PixelAreas
from metrics.plurals import agree, plural
from metrics.ratios import mean_defined

if TYPE_CHECKING:
    import pandas

__all__ = ["LabelMaps", "Masks", "Overlap", "mask_dice", "mask_iou"]


@dataclass(frozen=True, eq=False, repr=False)
class Overlap:
    """Areas of each class over a data set, in pixels, and the measures computed from them.

    Attributes:
        classes: K names.
        intersection: (K,) int64 pixels of the class in truth and prediction.
        truth: (K,) int64 pixels of the class in the truth.
        predicted: (K,) int64 pixels of the class in the prediction.
        pixels: number of compared pixels.
        exclusive: whether a pixel has one class, as in label maps; masks may overlap.
    """

    classes: tuple[str, ...]
    intersection: NDArray[np.int64]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    pixels: int
    exclusive: bool

    def __repr__(self) -> str:
        return f"Overlap({plural(len(self.classes), 'class')}, {plural(self.pixels, 'pixel')}; mean IoU {self.mean_iou:.4f})"

    def _repr_html_(self) -> str:
        """The table of `to_frame`, for notebooks."""
        return self.to_frame()[["name", "class", "value"]].round(4).to_html(index=False)

    @property
    def areas(self) -> PixelAreas:
        """The areas as `metrics.pixel_measures` takes them."""
        return PixelAreas(self.intersection, self.truth, self.predicted, np.array([self.pixels]))

    @property
    def iou(self) -> NDArray[np.float64]:
        """(K,) intersection over union (Jaccard); NaN where neither truth nor prediction has the class."""
        return pixel_measures.iou(self.areas)

    @property
    def dice(self) -> NDArray[np.float64]:
        """(K,) twice the intersection over the sum of both areas, the F1 of pixels; NaN where neither has the class."""
        return pixel_measures.dice(self.areas)

    @property
    def precision(self) -> NDArray[np.float64]:
        """(K,) share of predicted pixels that are correct; NaN without predicted pixels."""
        return pixel_measures.precision(self.areas)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(K,) share of the class's pixels that are predicted; NaN without such pixels."""
        return pixel_measures.recall(self.areas)

    @property
    def specificity(self) -> NDArray[np.float64]:
        """(K,) share of the other pixels that are not predicted to have the class; NaN where all pixels have it."""
        return pixel_measures.specificity(self.areas)

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """(K,) share of pixels for which the presence of the class is predicted correctly; NaN without pixels."""
        return pixel_measures.accuracy(self.areas)

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over the classes for which it is defined (mIoU)."""
        return mean_defined(self.iou)

    @property
    def mean_dice(self) -> float:
        """Mean of `dice` over the classes for which it is defined."""
        return mean_defined(self.dice)

    @property
    def pixel_accuracy(self) -> float:
        """Share of pixels with the correct class; NaN without pixels, and for masks, whose pixels may have several."""
        return int(self.intersection.sum()) / self.pixels if self.pixels and self.exclusive else math.nan

    def rows(self) -> list[Row]:
        """Return the values as rows of an `Evaluation`, of a measure called ``overlap``.

        ``miou``, ``mdice``, ``pixel_precision``, ``pixel_recall`` and ``pixel_specificity``, first over all classes (mean), then
        per class; and ``pixel_accuracy``: of label maps the share of pixels with the correct class, of a class that of pixels
        for which its presence is predicted correctly.
        """
        columns = {name: measure(self.areas) for name, measure in CLASS_MEASURES.items()}
        accuracy = columns.pop("pixel_accuracy")
        rows = [_row(name, "", mean_defined(column)) for name, column in columns.items()]
        if self.exclusive:
            rows.append(_row("pixel_accuracy", "", self.pixel_accuracy))
        for label, class_name in enumerate(self.classes):
            rows += [_row(name, class_name, float(column[label])) for name, column in columns.items()]
            rows.append(_row("pixel_accuracy", class_name, float(accuracy[label])))
        return rows

    def to_frame(self) -> pandas.DataFrame:
        """Return `rows` as a table with the columns `metrics.evaluation.COLUMNS`."""
        import pandas

        return pandas.DataFrame([row.record() for row in self.rows()], columns=list(COLUMNS))


class LabelMaps:
    """Accumulates the overlap of label maps, in which each pixel has one class.

    Args:
        classes: names, or their number.
        ignore: label of pixels in the truth to leave out, 255 in many data sets; None for none. A *predicted* pixel with this
            label counts as a prediction of no class.

    ::

        overlap = LabelMaps(["road", "car"])
        for truth, predicted in pairs:
            overlap.update(truth, predicted)
        print(overlap.compute().mean_iou)
    """

    def __init__(self, classes: Sequence[str] | int, ignore: int | None = IGNORED) -> None:
        self.classes = _names(classes)
        self.ignore = ignore
        if ignore is not None and 0 <= ignore < len(self.classes):
            raise InputError(
                f"ignore: {ignore} is the label of class {self.classes[ignore]!r}; use another number"
            )
        self.counts = np.zeros((len(self.classes), len(self.classes) + 1), np.int64)
        """(K, K + 1) pixels by true and predicted class; the last column is no class."""

    def update(self, truth: ArrayLike, predicted: ArrayLike) -> Self:
        """Add one image or several.

        Args:
            truth: integers of any shape; labels in [0, K), or `ignore`.
            predicted: of the same shape.

        Raises:
            InputError: different shapes, labels that are not integers, or a label that is neither a class nor `ignore`.
        """
        true, other = np.asarray(truth), np.asarray(predicted)
        if true.shape != other.shape:
            raise InputError(
                f"LabelMaps.update: truth has shape {true.shape}, predicted {other.shape}; resize one"
            )
        for name, labels in (("truth", true), ("predicted", other)):
            if not np.issubdtype(labels.dtype, np.integer):
                raise InputError(f"LabelMaps.update: {name} has {labels.dtype}; expected integer labels")
        true, other = true.ravel(), other.ravel()
        unlabelled = np.zeros(other.shape, np.bool_)
        if self.ignore is not None:
            compared = true != self.ignore
            true, other = true[compared], other[compared]
            unlabelled = other == self.ignore
        classes = len(self.classes)
        true, other = true.astype(np.int64), np.where(unlabelled, classes, other.astype(np.int64))
        for name, labels, exempt in (
            ("truth", true, np.zeros_like(unlabelled)),
            ("predicted", other, unlabelled),
        ):
            invalid = ((labels < 0) | (labels >= classes)) & ~exempt
            if invalid.any():
                ignored = "" if self.ignore is None else f", and {self.ignore} is ignored"
                raise InputError(
                    f"LabelMaps.update: {name} has label {int(labels[invalid][0])} in {plural(int(invalid.sum()), 'pixel')}; there "
                    f"{agree(classes, 'is', 'are')} {plural(classes, 'class')}{ignored}"
                )
        cells = np.bincount(true * (classes + 1) + other, minlength=self.counts.size)
        self.counts += cells.reshape(self.counts.shape)
        return self

    def merge(self, other: LabelMaps) -> Self:
        """Add the counts of another accumulator, over other images.

        Raises:
            InputError: different classes or ignored labels.
        """
        if (self.classes, self.ignore) != (other.classes, other.ignore):
            raise InputError("LabelMaps.merge: the two have different classes or ignored labels")
        self.counts += other.counts
        return self

    def compute(self) -> Overlap:
        """Return the overlap over all images so far."""
        square = self.counts[:, :-1]
        return Overlap(
            self.classes,
            np.diagonal(square).copy(),
            self.counts.sum(1),
            square.sum(0),
            int(self.counts.sum()),
            exclusive=True,
        )


class Masks:
    """Accumulates the overlap of masks, one mask per class; masks may overlap.

    Args:
        classes: names, or their number.
    """

    def __init__(self, classes: Sequence[str] | int = 1) -> None:
        self.classes = _names(classes)
        self.areas = np.zeros((3, len(self.classes)), np.int64)
        """(3, K) pixels of the intersection, the truth and the prediction."""
        self.pixels = 0

    def update(self, truth: ArrayLike, predicted: ArrayLike, compared: ArrayLike | None = None) -> Self:
        """Add one image.

        Args:
            truth: (K, H, W) bool, or integers 0 and 1; (H, W) for one class.
            predicted: of the same shape.
            compared: (H, W) bool mask of the pixels to compare; by default all.

        Raises:
            InputError: different shapes, shapes that do not fit the classes, or values other than 0 and 1.
        """
        true, other = self._masks("truth", truth), self._masks("predicted", predicted)
        if true.shape != other.shape:
            raise InputError(
                f"Masks.update: truth has shape {true.shape}, predicted {other.shape}; resize one"
            )
        if compared is None:
            pixels = true[0].size if len(true) else 0
        else:
            where = np.asarray(compared)
            if where.dtype != np.bool_ or where.shape != true.shape[1:]:
                raise InputError(
                    f"Masks.update: compared is {where.dtype} {where.shape}; expected bool {true.shape[1:]}"
                )
            true, other, pixels = true & where, other & where, int(where.sum())
        for index, mask in enumerate((true & other, true, other)):
            self.areas[index] += mask.reshape(len(mask), -1).sum(1)
        self.pixels += pixels
        return self

    def merge(self, other: Masks) -> Self:
        """Add the counts of another accumulator, over other images.

        Raises:
            InputError: different classes.
        """
        if self.classes != other.classes:
            raise InputError("Masks.merge: the two have different classes")
        self.areas += other.areas
        self.pixels += other.pixels
        return self

    def compute(self) -> Overlap:
        """Return the overlap over all images so far."""
        intersection, truth, predicted = self.areas.copy()
        return Overlap(self.classes, intersection, truth, predicted, self.pixels, exclusive=False)

    def _masks(self, name: str, given: ArrayLike) -> NDArray[np.bool_]:
        masks = np.asarray(given)
        if masks.ndim == 2 and len(self.classes) == 1:
            masks = masks[None]
        if masks.ndim != 3 or len(masks) != len(self.classes):
            raise InputError(
                f"Masks.update: {name} has shape {masks.shape}; expected ({len(self.classes)}, H, W), one per class"
            )
        if masks.dtype != np.bool_:
            if not np.isin(masks, (0, 1)).all():
                raise InputError(f"Masks.update: {name} has values other than 0 and 1; threshold it first")
            masks = masks.astype(np.bool_)
        return masks


def mask_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of every mask in `a` with every mask in `b`.

    Args:
        a: (N, H, W) bool.
        b: (M, H, W) bool.

    Returns:
        (N, M) in [0, 1]. IoU is 0, not NaN, where the union is empty.

    Raises:
        InputError: masks of different sizes, or not (N, H, W).
    """
    intersection, a_area, b_area = _mask_areas(a, b)
    union = a_area[:, None] + b_area - intersection
    return np.divide(intersection, union, out=np.zeros(intersection.shape), where=union > 0)


def mask_dice(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Twice the intersection over the sum of areas of every mask in `a` with every mask in `b` (Dice 1945).

    Args:
        a: (N, H, W) bool.
        b: (M, H, W) bool.

    Returns:
        (N, M) in [0, 1]; 0, not NaN, for two empty masks.

    Raises:
        InputError: masks of different sizes, or not (N, H, W).
    """
    intersection, a_area, b_area = _mask_areas(a, b)
    total = a_area[:, None] + b_area
    return np.divide(2 * intersection, total, out=np.zeros(intersection.shape), where=total > 0)


def _mask_areas(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """(N, M) intersections and the areas (N,) and (M,); floats, exact below 2**53 pixels."""
    one, other = (np.asarray(masks) for masks in (a, b))
    for name, masks in (("a", one), ("b", other)):
        if masks.ndim != 3 or masks.dtype != np.bool_:
            raise InputError(f"masks {name}: expected bool (N, H, W), got {masks.dtype} {masks.shape}")
    if one.shape[1:] != other.shape[1:]:
        raise InputError(f"masks: a has size {one.shape[1:]}, b {other.shape[1:]}; resize one")
    flat: Any = [
        masks.reshape(len(masks), math.prod(masks.shape[1:])).astype(np.float64) for masks in (one, other)
    ]
    return flat[0] @ flat[1].T, flat[0].sum(1), flat[1].sum(1)


def _names(classes: Sequence[str] | int) -> tuple[str, ...]:
    names = tuple(map(str, range(classes))) if isinstance(classes, int) else tuple(classes)
    if not names:
        raise InputError("classes: expected at least one")
    return names


def _row(name: str, class_name: str, value: float) -> Row:
    return Row("overlap", name, class_name, "all", "", 0, value, True)
