"""dlib's imglab: an XML file of ``<dataset>`` with ``<image file=...>`` and ``<box top= left= width= height=>``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, file_purpose, find_files, number
from metrics.formats.untrusted import LARGEST, read_head, read_xml
from metrics.notes import Note, report
from metrics.plurals import plural

_BOX = re.compile(rb"<image\s[^>]*file\s*=")
_UNNAMED = "object"
_SIDES = ("left", "top", "width", "height")


def _files(path: Path) -> list[Path]:
    return find_files(path, ".xml", ("*.xml", "*/*.xml"), _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return b"<dataset" in head and _BOX.search(head) is not None


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        purpose = file_purpose(file, root, files)
        document = read_xml(file, "dataset", LARGEST)
        images += [
            _image(each, f"{file}: image {k}", purpose) for k, each in enumerate(document.iter("image"), 1)
        ]
    unnamed = sum(box.label == _UNNAMED for image in images for box in image.boxes)
    if unnamed:
        text = f"{root}: {plural(unnamed, 'box has', 'boxes have')} no label: the class is {_UNNAMED!r}"
        report(Note("one_class", text, str(root), {"objects": unnamed}))
    ignored = sum(box.ignored or not box.label for image in images for box in image.boxes)
    if ignored:
        text = f"{root}: {plural(ignored, 'box is', 'boxes are')} ignored (ignore='1')"
        report(Note("ignored_regions", text, str(root), {"objects": ignored}))
    return images


def _image(element: Element, where: str, purpose: str | None) -> ImageAnnotation:
    name = element.get("file")
    if not name:
        raise InputError(f"{where}: has no file")
    height, width = (int(number(element.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    boxes = tuple(_box(each, f"{where}: box {k}") for k, each in enumerate(element.findall("box"), 1))
    return ImageAnnotation(name, boxes, (height, width), purpose)


def _box(element: Element, where: str) -> Box:
    x, y, w, h = (number(element.get(side), f"{where}: {side}") for side in _SIDES)
    label = (element.findtext("label") or "").strip() or _UNNAMED
    ignored = element.get("ignore", "0") not in ("0", "")
    if ignored and label == _UNNAMED:
        return Box("", (x, y, x + w, y + h))
    return Box(label, (x, y, x + w, y + h), ignored=ignored)


EXPORT = Export(
    name="imglab",
    summary="dlib's imglab: an XML file of images with boxes",
    source="github.com/davisking/dlib/tree/master/tools/imglab",
    looks_for="an XML file of <dataset> with <image file=...>",
    files=_files,
    read=_read,
    images=("", "images"),
)
