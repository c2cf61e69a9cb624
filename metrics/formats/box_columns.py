"""Names of the columns of tables of boxes, as programs write them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from metrics.boxes import Layout

COLUMN_NAMES = {
    "image_id": (
        "image_id",
        "image",
        "imageid",
        "filename",
        "file_name",
        "image_name",
        "image_path",
        "filepath",
        "file_path",
        "path",
        "img",
        "frame_number",
        "frame_index",
        "frame",
        "imagename",
        "patientid",
        "file",
        "fname",
        "image index",
        "file name",
        "image_names",
        "img_name",
        "img_path",
        "image_file",
        "imgname",
    ),
    "class_id": ("class_id", "category_id", "classid"),
    "class": (
        "class",
        "class_name",
        "category",
        "category_name",
        "label",
        "labelname",
        "label_name",
        "classname",
        "class_label",
        "object_class",
        "name",
        "annotation tag",
        "finding label",
        "cell_type",
        "species",
    ),
    "score": ("score", "confidence", "conf", "probability"),
    "x": ("x", "bbox_x", "box_x", "bbox [x"),
    "y": ("y", "bbox_y", "box_y"),
    "cx": ("cx", "x_center", "xcenter", "center_x", "x_centre", "xc"),
    "cy": ("cy", "y_center", "ycenter", "center_y", "y_centre", "yc"),
    "w": ("w", "bbox_width", "bbox_w", "box_width", "box_w", "bw", "width"),
    "h": ("h", "bbox_height", "bbox_h", "box_height", "box_h", "bh", "h]", "height"),
    "x1": ("x1", "xmin", "x_min", "left", "roi.x1", "bbox_x1", "upper left corner x"),
    "y1": ("y1", "ymin", "y_min", "top", "roi.y1", "bbox_y1", "upper left corner y"),
    "x2": ("x2", "xmax", "x_max", "right", "roi.x2", "bbox_x2", "lower right corner x"),
    "y2": ("y2", "ymax", "y_max", "bottom", "roi.y2", "bbox_y2", "lower right corner y"),
    "bbox": ("bbox", "box"),
    "area": ("area",),
    "crowd": ("crowd", "iscrowd"),
    "ignored": ("ignored", "ignore"),
    "object_id": ("object_id",),
    "file_name": ("file_name",),
}
"""Names under which programs write each column; the first that a table has is read, in lower case without spaces.

``width`` and ``height`` are the last ones of a size: beside others they are those of the image.
"""

XYWH = ("x", "y", "w", "h")
XYXY = ("x1", "y1", "x2", "y2")
BOX_COLUMNS: Mapping[tuple[str, ...], Layout] = {
    XYWH: "xywh",
    XYXY: "xyxy",
    ("x1", "y1", "w", "h"): "xywh",
    ("cx", "cy", "w", "h"): "cxcywh",
    ("bbox",): "xywh",
}
"""Columns that give a box and its layout; the first that a table has are read. The last one is a text ``[x, y, w, h]``."""

_NUMBERS = frozenset(
    chain.from_iterable(COLUMN_NAMES[name] for name in (*XYWH, *XYXY, "cx", "cy", "score", "area"))
)


def is_number_column(spelling: str) -> bool:
    """Whether the values of a column with this name are numbers."""
    return spelling.strip().lower() in _NUMBERS
