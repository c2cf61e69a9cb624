"""Measures over slices of the images or of the objects.

`axes` assigns images or objects to slices, `attributes` has axes that need no further labels, `manifest` reads axes from a
file, `subset` makes the matches of a slice, `table` measures them, and `intervals` has their confidence intervals.
"""

from metrics.slices.attributes import AXES, make_axis
from metrics.slices.axes import UNASSIGNED, Axis
from metrics.slices.intervals import SliceComparison, SliceDifference, SliceInterval, compare_slices
from metrics.slices.manifest import read_manifest
from metrics.slices.subset import select_images, select_objects
from metrics.slices.table import SliceRow, SliceTable, measure_slices

__all__ = [
    "AXES",
    "UNASSIGNED",
    "Axis",
    "SliceComparison",
    "SliceDifference",
    "SliceInterval",
    "SliceRow",
    "SliceTable",
    "compare_slices",
    "make_axis",
    "read_manifest",
    "select_images",
    "select_objects",
    "measure_slices",
]
