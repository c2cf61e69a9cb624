"""XML of Pascal VOC annotations: the inverse of `metrics.formats.voc.read_annotation`."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from metrics.formats.voc import Pixels, VOCAnnotation
from metrics.tables import Table

_NOT_IN_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def annotation_xml(annotation: VOCAnnotation, pixels: Pixels = "inclusive") -> str:
    """The XML file of an image.

    Coordinates are whole numbers where they are whole, and decimals otherwise: readers that follow the development kit, which
    has only whole numbers, may refuse them.

    Args:
        annotation: the image's objects; names are `storable_name`.
        pixels: convention of the written coordinates. A box of at most one pixel in width or height reads back without size
            as ``inclusive``; see `lost_boxes`.
    """
    root = Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", annotation.file_name)
    size = SubElement(root, "size")
    height, width = annotation.size
    for side, pixels_of_side in (("width", width), ("height", height), ("depth", 3)):
        _add(size, side, str(pixels_of_side))
    _add(root, "segmented", "0")
    rows = zip(
        annotation.names,
        annotation.boxes.tolist(),
        annotation.difficult.tolist(),
        annotation.truncated.tolist(),
        strict=True,
    )
    first = 1 if pixels == "inclusive" else 0
    for name, corners, difficult, truncated in rows:
        element = SubElement(root, "object")
        _add(element, "name", name)
        _add(element, "pose", "Unspecified")
        _add(element, "truncated", str(int(truncated)))
        _add(element, "difficult", str(int(difficult)))
        box = SubElement(element, "bndbox")
        for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), _written(corners, first), strict=True):
            _add(box, tag, _decimal(value))
    indent(root, "\t")
    return tostring(root, encoding="unicode") + "\n"


def storable_name(name: str) -> str:
    """A class name as it reads back: without spaces around it, and with ``_`` for characters that XML does not have."""
    return _NOT_IN_XML.sub("_", name).strip()


def lost_boxes(table: Table, pixels: Pixels = "inclusive") -> int:
    """Number of boxes with a size that read back without one: at most one pixel wide or high where pixels are counted."""
    if pixels == "edges":
        return 0
    sides = table.xywh[:, 2:]
    return int(np.count_nonzero((sides > 0).all(1) & (sides <= 1).any(1)))


def _written(corners: list[float], first: int) -> list[float]:
    """The four coordinates of a box, counted from `first`; pixels are counted from 1, and the last one is in the box."""
    x1, y1, x2, y2 = corners
    if first == 1:  # a last pixel before the first one, or equal to it, stands for a box without size
        x2 = x2 + 1 if x2 <= x1 else max(x2, x1 + 1)
        y2 = y2 + 1 if y2 <= y1 else max(y2, y1 + 1)
    return [x1 + first, y1 + first, x2, y2]


def _add(parent: Element, tag: str, text: str) -> None:
    SubElement(parent, tag).text = text


def _decimal(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
