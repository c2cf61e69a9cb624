"""How well label maps and masks agree: IoU, Dice and pixel accuracy over a whole data set, image by image.

Not boxes but pixels: so these read arrays, not `Matches`. Areas are added up over all images before anything is
divided, because the mean of per-image ratios depends on how a scene is cut into images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import InputError
from metrics.evaluation import COLUMNS, Row
from metrics.reliability import ratio

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, eq=False)
class Overlap:
    """Areas of each class over a whole data set, in pixels, and what they say.

    Attributes:
        classes: K names.
        both: (K,) int64 pixels that truth and found give to the class.
        truth: (K,) int64 pixels of the class in truth.
        found: (K,) int64 pixels of the class in what was found.
        pixels: all that were compared.
        exclusive: whether a pixel has one class, as in label maps; masks may lie on each other.
    """

    classes: tuple[str, ...]
    both: NDArray[np.int64]
    truth: NDArray[np.int64]
    found: NDArray[np.int64]
    pixels: int
    exclusive: bool

    @property
    def iou(self) -> NDArray[np.float64]:
        """(K,) area of the intersection over that of the union (Jaccard); NaN where neither has a pixel."""
        return ratio(self.both, self.truth + self.found - self.both)

    @property
    def dice(self) -> NDArray[np.float64]:
        """(K,) twice the intersection over the sum of both areas, the F1 of pixels; NaN where neither has a pixel."""
        return ratio(2 * self.both, self.truth + self.found)

    @property
    def precision(self) -> NDArray[np.float64]:
        """(K,) of the pixels found, the share that is true; NaN where none is found."""
        return ratio(self.both, self.found)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(K,) of the true pixels, the share that is found; NaN where there is none."""
        return ratio(self.both, self.truth)

    @property
    def specificity(self) -> NDArray[np.float64]:
        """(K,) of the pixels without the class, the share that is not said to have it; NaN where all have it."""
        others = self.pixels - self.truth
        return ratio(others - (self.found - self.both), others)

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """(K,) of all pixels, the share of which it is said rightly whether they have the class; NaN without pixels."""
        wrong = self.truth + self.found - 2 * self.both
        return ratio(self.pixels - wrong, np.full(len(wrong), self.pixels))

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over the classes that have one (mIoU); NaN where none has."""
        return _mean(self.iou)

    @property
    def mean_dice(self) -> float:
        """Mean of `dice` over the classes that have one; NaN where none has."""
        return _mean(self.dice)

    @property
    def pixel_accuracy(self) -> float:
        """Share of pixels that have their true class; NaN without pixels, and for masks, whose pixels may have many."""
        return int(self.both.sum()) / self.pixels if self.pixels and self.exclusive else math.nan

    def rows(self) -> list[Row]:
        """The numbers as rows of an `Evaluation`, of a measure called ``overlap``.

        ``miou``, ``mdice`` and ``pixel_specificity``: first the mean over classes, then each class's own; and for
        label maps ``pixel_accuracy``.
        """
        columns = {"miou": self.iou, "mdice": self.dice, "pixel_specificity": self.specificity}
        rows = [_row(name, "", _mean(column)) for name, column in columns.items()]
        if self.exclusive:
            rows.append(_row("pixel_accuracy", "", self.pixel_accuracy))
        for label, class_name in enumerate(self.classes):
            rows += [_row(name, class_name, float(column[label])) for name, column in columns.items()]
        return rows

    def to_frame(self) -> pandas.DataFrame:
        """`rows` as a table with the columns of an evaluation."""
        import pandas

        return pandas.DataFrame([row.record() for row in self.rows()], columns=list(COLUMNS))


class LabelMaps:
    """Adds up how label maps agree: each pixel has one class.

    Args:
        classes: names, or how many there are.
        ignore: a label in truth that stands for "do not compare", 255 in many data sets; None: there is none. Where
            it is what was *found*, the pixel counts as given to no class.

    ::

        overlap = LabelMaps(["road", "car"])
        for truth, found in pairs:
            overlap.update(truth, found)
        print(overlap.compute().mean_iou)
    """

    def __init__(self, classes: Sequence[str] | int, ignore: int | None = 255) -> None:
        self.classes = _names(classes)
        self.ignore = ignore
        if ignore is not None and 0 <= ignore < len(self.classes):
            raise InputError(
                f"ignore: {ignore} is the label of class {self.classes[ignore]!r}; use another number"
            )
        self.counts = np.zeros((len(self.classes), len(self.classes) + 1), np.int64)
        """(K, K + 1) pixels by true class and by found class; last, found as none."""

    def update(self, truth: ArrayLike, found: ArrayLike) -> Self:
        """Add an image, or several.

        Args:
            truth: integers of any shape; labels in [0, K), or `ignore`.
            found: of the same shape.

        Raises:
            InputError: shapes differ, labels are no integers, or one is neither a class nor `ignore`.
        """
        there, said = np.asarray(truth), np.asarray(found)
        if there.shape != said.shape:
            raise InputError(
                f"LabelMaps.update: truth has shape {there.shape}, found {said.shape}; resize one"
            )
        for name, labels in (("truth", there), ("found", said)):
            if not np.issubdtype(labels.dtype, np.integer):
                raise InputError(f"LabelMaps.update: {name} has {labels.dtype}; expected integer labels")
        kinds = len(self.classes)
        if self.ignore is not None:
            compared = there != self.ignore
            there, said = there[compared], said[compared]
            nothing = said == self.ignore
        else:
            nothing = np.zeros(said.shape, np.bool_)
        there, said = there.astype(np.int64).ravel(), np.where(nothing, kinds, said.astype(np.int64)).ravel()
        nothing = nothing.ravel()
        for name, labels, exempt in (("truth", there, np.zeros_like(nothing)), ("found", said, nothing)):
            strange = ((labels < 0) | (labels >= kinds)) & ~exempt
            if strange.any():
                example = int(labels[strange][0])
                raise InputError(
                    f"LabelMaps.update: {name} has label {example} in {int(strange.sum())} pixels; there are {kinds}"
                    f" classes{'' if self.ignore is None else f', and {self.ignore} is ignored'}"
                )
        size = (kinds, kinds + 1)
        self.counts += np.bincount(there * (kinds + 1) + said, minlength=size[0] * size[1]).reshape(size)
        return self

    def merge(self, other: LabelMaps) -> Self:
        """Add what another has added up, over other images.

        Raises:
            InputError: it has other classes, or ignores another label.
        """
        if (self.classes, self.ignore) != (other.classes, other.ignore):
            raise InputError("LabelMaps.merge: the two have different classes or ignored labels")
        self.counts += other.counts
        return self

    def compute(self) -> Overlap:
        """What all images so far say together."""
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
    """Adds up how masks agree: one mask for each class, which may lie on each other.

    Args:
        classes: names, or how many there are.
    """

    def __init__(self, classes: Sequence[str] | int = 1) -> None:
        self.classes = _names(classes)
        self.areas = np.zeros((3, len(self.classes)), np.int64)
        """(3, K) pixels of both, truth and found."""
        self.pixels = 0

    def update(self, truth: ArrayLike, found: ArrayLike, compared: ArrayLike | None = None) -> Self:
        """Add an image.

        Args:
            truth: (K, H, W) bool, or integers 0 and 1; (H, W) where there is one class.
            found: of the same shape.
            compared: (H, W) bool: only these pixels are compared; all where None.

        Raises:
            InputError: shapes differ or are not those of the classes, or values are neither 0 nor 1.
        """
        there, said = self._masks("truth", truth), self._masks("found", found)
        if there.shape != said.shape:
            raise InputError(f"Masks.update: truth has shape {there.shape}, found {said.shape}; resize one")
        if compared is None:
            pixels = there[0].size if len(there) else 0
        else:
            where = np.asarray(compared)
            if where.dtype != np.bool_ or where.shape != there.shape[1:]:
                raise InputError(
                    f"Masks.update: compared is {where.dtype} {where.shape}; expected bool {there.shape[1:]}"
                )
            there, said, pixels = there & where, said & where, int(where.sum())
        for place, mask in enumerate((there & said, there, said)):
            self.areas[place] += mask.reshape(len(mask), -1).sum(1)
        self.pixels += pixels
        return self

    def merge(self, other: Masks) -> Self:
        """Add what another has added up, over other images.

        Raises:
            InputError: it has other classes.
        """
        if self.classes != other.classes:
            raise InputError("Masks.merge: the two have different classes")
        self.areas += other.areas
        self.pixels += other.pixels
        return self

    def compute(self) -> Overlap:
        """What all images so far say together."""
        both, truth, found = self.areas.copy()
        return Overlap(self.classes, both, truth, found, self.pixels, exclusive=False)

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
    """Intersection over union of every mask of `a` with every mask of `b`.

    Args:
        a: (N, H, W) bool.
        b: (M, H, W) bool.

    Returns:
        (N, M) in [0, 1]. A pair whose union is empty has IoU 0, not NaN.

    Raises:
        InputError: masks of different sizes, or not (N, H, W).
    """
    both, a_area, b_area = _mask_areas(a, b)
    union = a_area[:, None] + b_area - both
    return np.divide(both, union, out=np.zeros(both.shape), where=union > 0)


def mask_dice(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Twice the intersection over the sum of areas of every mask of `a` with every mask of `b` (Dice 1945).

    Args:
        a: (N, H, W) bool.
        b: (M, H, W) bool.

    Returns:
        (N, M) in [0, 1]. A pair of empty masks has 0, not NaN.

    Raises:
        InputError: masks of different sizes, or not (N, H, W).
    """
    both, a_area, b_area = _mask_areas(a, b)
    total = a_area[:, None] + b_area
    return np.divide(2 * both, total, out=np.zeros(both.shape), where=total > 0)


def _mask_areas(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """(N, M) common areas, and the areas (N,) and (M,) of each; floats, exact below 2**53 pixels."""
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


def _mean(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else math.nan
