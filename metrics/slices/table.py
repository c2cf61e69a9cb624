"""Measures over slices as tidy rows, with the difference from the whole data set."""

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
from metrics.plurals import plural
from metrics.ratios import mean_defined
from metrics.registry import did_you_mean
from metrics.slices.axes import Axis, Target
from metrics.slices.subset import select_images, select_objects

if TYPE_CHECKING:
    import pandas

OWNERSHIP: Mapping[Target, str] = {
    "image": "exact: all objects and detections of the slice's images, and no others",
    "object": (
        "only the slice's objects are valid; detections that match other objects are ignored; false positives count in every"
        " slice"
    ),
}
"""How objects and false positives are assigned to slices of images and of objects."""

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
    """One value of one slice.

    Attributes:
        axis: name of the axis.
        value: name of the slice.
        target: whether the axis is of images or objects.
        images: number of images; for objects the images with a valid object of the slice.
        objects: number of valid objects, in the rule's first area range.
        row: the value.
        difference: from the same value of the whole data set; NaN where either is undefined.
    """

    axis: str
    value: str
    target: Target
    images: int
    objects: int
    row: Row
    difference: float

    def record(self) -> tuple[Any, ...]:
        """Return the row in the order of `SLICE_COLUMNS`."""
        columns = (self.axis, self.value, self.target, self.images, self.objects)
        return (*columns, *self.row.record(), self.difference, OWNERSHIP[self.target])


@dataclass(frozen=True, eq=False, repr=False)
class SliceTable:
    """Values of the whole data set and of its slices.

    Attributes:
        whole: rows of the whole data set.
        rows: rows of the slices, in the order of the axes and their slices.
    """

    whole: tuple[Row, ...]
    rows: tuple[SliceRow, ...]

    def __repr__(self) -> str:
        axes = list(dict.fromkeys(row.axis for row in self.rows))
        slices = len({(row.axis, row.value) for row in self.rows})
        return f"SliceTable({', '.join(axes)}; {plural(slices, 'slice')}, {plural(len(self.rows), 'value')})"

    def _repr_html_(self) -> str:
        """The values over all classes, one row per slice, for notebooks."""
        frame = self.to_frame()
        frame = frame[frame["class"] == ""]
        index = ["slice_axis", "slice_value", "images", "objects"]
        table = frame.pivot_table(
            index=index, columns="name", values="value", sort=False, dropna=False, observed=True
        )
        return table.round(4).to_html()

    def value(self, name: str, axis: str, slice_value: str, class_name: str = "") -> float:
        """Return a value of a slice.

        Args:
            name: short name of the value.
            axis: name of the axis.
            slice_value: name of the slice.
            class_name: the class; empty for all classes.

        Raises:
            InputError: no such axis, slice or value; the message suggests the closest name.
        """
        of_axis = [row for row in self.rows if row.axis == axis]
        if not of_axis:
            raise InputError(f"no axis {axis!r}{did_you_mean(axis, [row.axis for row in self.rows])}")
        of_slice = [row for row in of_axis if row.value == slice_value]
        if not of_slice:
            known = [row.value for row in of_axis]
            raise InputError(f"axis {axis!r} has no slice {slice_value!r}{did_you_mean(slice_value, known)}")
        for row in of_slice:
            if row.row.name == name and row.row.class_name == class_name:
                return row.row.value
        raise InputError(f"no value {name!r}{did_you_mean(name, [row.row.name for row in of_slice])}")

    def sensitivity(self, axis: str, name: str = "ap_n") -> tuple[float, float]:
        """Return the sensitivity of a value to an axis, and the potential impact of the axis.

        Args:
            axis: name of the axis.
            name: short name of the value; ``ap_n`` exists only for axes of objects.

        Returns:
            Highest minus lowest value of the slices, and highest minus the value of the whole data set (Hoiem et al. 2012,
            section 3); NaN if no slice has a value.

        Raises:
            InputError: no such axis or value.
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
        """Return the rows of the slices as a table with the columns `SLICE_COLUMNS`."""
        import pandas

        return pandas.DataFrame([row.record() for row in self.rows], columns=list(SLICE_COLUMNS))


def measure_slices(
    matches: Matches,
    axes: Sequence[Axis],
    measures: Sequence[str] = COCO_MEASURES,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    classes: bool = False,
) -> SliceTable:
    """Compute measures over slices, one axis after the other.

    Slices of images are exact: they equal the evaluation of these images alone. In slices of objects only the slice's objects
    are valid and every false positive counts in each slice, so a small slice has low precision only because it is small.
    These slices also have ``ap_n``, average precision with Hoiem's normalised precision at the rule's first IoU threshold: as
    if each class had, in each slice, the mean number of objects per class of the whole data set. Use it to compare slices.

    Slices without images or objects have NaN.

    Args:
        matches: of the whole data set.
        axes: from `make_axis` or `read_manifest`.
        measures: names of registered measures.
        settings: settings by measure.
        classes: whether to include the values of each class.

    Raises:
        InputError: an axis with the wrong number of images or objects, or an unknown measure.
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
                f"axis {axis.name!r} is of {plural(len(axis.index), axis.target)}, but the matches have {expected}; make it from"
                " their truth"
            )
        for number, name in enumerate(axis.values):
            chosen = axis.index == number
            part = (
                select_images(matches, chosen) if axis.target == "image" else select_objects(matches, chosen)
            )
            valid = part.valid & 1 == 1
            images = int(chosen.sum()) if axis.target == "image" else len(np.unique(part.truth.image[valid]))
            values = evaluate_matches(part, measures, settings).rows
            if axis.target == "object":
                values = (*values, *_normalized(part, average))
            for row in values:
                if classes or not row.class_name:
                    difference = row.value - known.get((row.measure, row.name, row.class_name), math.nan)
                    rows.append(
                        SliceRow(axis.name, name, axis.target, images, int(valid.sum()), row, difference)
                    )
    return SliceTable(whole, tuple(rows))


def _objects_per_class(matches: Matches) -> float:
    """Mean number of valid objects over the classes with any."""
    positives = matches.positives[0]
    return mean_defined(np.where(positives > 0, positives, math.nan))


def _normalized(matches: Matches, objects: float) -> list[Row]:
    """``ap_n`` over all classes (mean) and of each class."""
    iou, area = matches.rule.iou_thresholds[0], matches.rule.areas[0]
    each: NDArray[np.float64] = matches.at(iou, area).average_precision(objects)
    values = [("", mean_defined(each)), *zip(matches.classes, each.tolist(), strict=True)]
    max_dets = matches.rule.max_dets[-1]
    return [
        Row(NORMALIZED, "ap_n", name, area, iou_text([iou]), max_dets, value, True) for name, value in values
    ]
