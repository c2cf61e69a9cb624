"""Measures over slices of the images or of the objects.

`axes` assigns images or objects to slices, `attributes` has axes that need no further labels, `manifest` reads axes from a
file, `subset` makes the matches of a slice, and `table` measures them.
"""

from metrics.slices.attributes import AXES, make_axis
from metrics.slices.axes import UNASSIGNED, Axis
from metrics.slices.manifest import read_manifest
from metrics.slices.subset import select_images, select_objects
from metrics.slices.table import SliceRow, SliceTable, measure_slices

__all__ = [
    "AXES",
    "UNASSIGNED",
    "Axis",
    "SliceRow",
    "SliceTable",
    "make_axis",
    "read_manifest",
    "select_images",
    "select_objects",
    "measure_slices",
]
