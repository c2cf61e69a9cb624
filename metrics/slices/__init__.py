"""Where is a detector good, and where not? Any measure over slices of the images or of the objects.

`axes` says how images or objects fall into slices, `attributes` which ways there are without further labels, `manifest`
reads the user's own, `cutting` makes the matches of a slice, and `table` measures them.
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
