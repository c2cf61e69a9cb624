"""Measures over slices, as tidy rows: how each slice compares with the whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.evaluation import COLUMNS, Row
from metrics.evaluator import COCO_MEASURES, evaluate_matches
from metrics.matching import Matches
from metrics.measures import iou_text
from metrics.registry import did_you_mean
from metrics.slices.axes import Axis, Target
from metrics.slices.subset import select_images, select_objects

if TYPE_CHECKING:
    import pandas

OWNERSHIP: Mapping[Target, str] = {
    "image": "exact: all objects and all detections of the slice's images, and no others",
    "object": (
        "the slice's objects are asked for; detections that found other objects are ignored; false positives count in"
        " every slice"
    ),
}
"""Whose a false positive is, for slices of images and of objects: to be printed beside the numbers."""

NORMALIZED = "normalized_average_precision"

SLICE_COLUMNS = (
    "slice_axis",
    "slice_value",
    "slice_of",
    "images",
    "objects",
    *COLUMNS,
    "difference",
    "ownership",
)


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One number of one slice.

    Attributes:
        axis: name of the axis.
        value: name of the slice.
        of: whether images or objects fall into slices.
        images: of the slice; for objects the images that have one of them that is asked for.
        objects: of the slice that are asked for, in the rule's first area range.
        row: the number.
        difference: from the same number of the whole; NaN where either is not defined.
    """

    axis: str
    value: str
    target: Target
    images: int
    objects: int
    row: Row
    difference: float

    def record(self) -> tuple[Any, ...]:
        """The row in the order of `SLICE_COLUMNS`."""
        place = (self.axis, self.value, self.target, self.images, self.objects)
        return (*place, *self.row.record(), self.difference, OWNERSHIP[self.target])


@dataclass(frozen=True, eq=False, repr=False)
class SliceTable:
    """The numbers of the whole and of its slices.

    Attributes:
        whole: rows of the whole.
        rows: of the slices, in the order of axes and of their slices.
    """

    whole: tuple[Row, ...]
    rows: tuple[SliceRow, ...]

    def value(self, name: str, axis: str, slice_value: str, class_name: str = "") -> float:
        """The number of this short name in a slice.

        Raises:
            InputError: there is no such axis, slice or number; the message has the nearest that there is.
        """
        found = [row for row in self.rows if row.axis == axis]
        if not found:
            raise InputError(f"no axis {axis!r}{did_you_mean(axis, [row.axis for row in self.rows])}")
        here = [row for row in found if row.value == slice_value]
        if not here:
            known = [row.value for row in found]
            raise InputError(f"axis {axis!r} has no slice {slice_value!r}{did_you_mean(slice_value, known)}")
        for row in here:
            if row.row.name == name and row.row.class_name == class_name:
                return row.row.value
        raise InputError(f"no number {name!r}{did_you_mean(name, [row.row.name for row in here])}")

    def sensitivity(self, axis: str, name: str = "ap_n") -> tuple[float, float]:
        """How much a number depends on an axis, and how much could be won by doing everywhere as well as at best.

        Args:
            axis: its name.
            name: short name of the number; ``ap_n`` is there for axes of objects only.

        Returns:
            The greatest less the least value of the slices, and the greatest less that of the whole (Hoiem et al. 2012,
            section 3); NaN where no slice has a value.

        Raises:
            InputError: there is no such axis or number.
        """
        values = [
            row for row in self.rows if row.axis == axis and row.row.name == name and not row.row.class_name
        ]
        if not values:
            known = sorted({row.row.name for row in self.rows if row.axis == axis})
            raise InputError(f"axis {axis!r} has no {name!r}; it has {', '.join(known) or 'no rows'}")
        numbers = [row.row.value for row in values if not math.isnan(row.row.value)]
        whole = next(row.value for row in self.whole if row.name == name and not row.class_name)
        if not numbers:
            return math.nan, math.nan
        return max(numbers) - min(numbers), max(numbers) - whole

    def to_frame(self) -> pandas.DataFrame:
        """The rows of the slices as a table with the columns `SLICE_COLUMNS`."""
        import pandas

        return pandas.DataFrame([row.record() for row in self.rows], columns=list(SLICE_COLUMNS))


def measure_slices(
    matches: Matches,
    axes: Sequence[Axis],
    measures: Sequence[str] = COCO_MEASURES,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    classes: bool = False,
) -> SliceTable:
    """Any measures over slices, one axis after the other.

    Slices of images are exact: what evaluating those images alone gives. In slices of objects, only the slice's objects are
    asked for, and every false positive counts in each slice: so a slice of few objects has low precision
    because it is small. For those there is also ``ap_n``, average precision with Hoiem's normalised precision, at the rule's
    first IoU threshold: as if each class had, in each slice, as many objects as a class has on average in
    the whole. Compare slices by that.

    Slices without images or objects are there, with NaN.

    Args:
        matches: of the whole.
        axes: see `make_axis` and `read_manifest`.
        measures: names of registered measures.
        settings: of measures that take some.
        classes: whether to give the numbers of each class, too.

    Raises:
        InputError: an axis of another number of images or objects, or a measure that is not known.
    """
    overall = evaluate_matches(matches, measures, settings).rows
    average = _objects_per_class(matches)
    whole = (
        (*overall, *_normalized(matches, average))
        if any(axis.target == "object" for axis in axes)
        else overall
    )
    known = {(row.measure, row.name, row.class_name): row.value for row in whole}
    rows: list[SliceRow] = []
    for axis in axes:
        expected = len(matches.truth.catalog.image_ids) if axis.target == "image" else len(matches.truth)
        if len(axis.index) != expected:
            raise InputError(
                f"axis {axis.name!r} is of {len(axis.index)} {axis.target}s, the matches have {expected}; make it from"
                " their truth"
            )
        for number, name in enumerate(axis.values):
            chosen = axis.index == number
            part = (
                select_images(matches, chosen) if axis.target == "image" else select_objects(matches, chosen)
            )
            asked = part.valid & 1 == 1
            images = int(chosen.sum()) if axis.target == "image" else len(np.unique(part.truth.image[asked]))
            values = evaluate_matches(part, measures, settings).rows
            if axis.target == "object":
                values = (*values, *_normalized(part, average))
            for row in values:
                if classes or not row.class_name:
                    difference = row.value - known.get((row.measure, row.name, row.class_name), math.nan)
                    rows.append(
                        SliceRow(axis.name, name, axis.target, images, int(asked.sum()), row, difference)
                    )
    return SliceTable(whole, tuple(rows))


def _objects_per_class(matches: Matches) -> float:
    """Mean number of objects asked for, of the classes that have any."""
    positives = matches.positives[0]
    some = positives[positives > 0]
    return float(some.mean()) if len(some) else math.nan


def _normalized(matches: Matches, objects: float) -> list[Row]:
    """``ap_n``: the mean over classes, and each class's own."""
    iou, area = matches.rule.iou_thresholds[0], matches.rule.areas[0]
    each: NDArray[np.float64] = matches.at(iou, area).average_precision(objects)
    some = each[~np.isnan(each)]
    mean = float(some.mean()) if len(some) else math.nan
    values = [("", mean), *zip(matches.classes, each.tolist(), strict=True)]
    most = matches.rule.max_dets[-1]
    return [Row(NORMALIZED, "ap_n", name, area, iou_text([iou]), most, value, True) for name, value in values]
