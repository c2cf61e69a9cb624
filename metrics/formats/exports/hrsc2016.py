"""HRSC2016: ``Annotations/*.xml`` of ``<HRSC_Image>`` with a box for each ship, and images in ``AllImages``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, number
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_xml

_ROOT = re.compile(rb"<HRSC_Image[\s>]")
_CLASS = "ship"
_TRIED = 20


def _files(path: Path) -> list[Path]:
    patterns = ("Annotations/*.xml", "*/Annotations/*.xml", "*/*/Annotations/*.xml", "*.xml")
    return find_files(
        path, ".xml", patterns, lambda file: _ROOT.search(read_head(file, 4096)) is not None, _TRIED
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    return [_image(file, folder_purpose(file.relative_to(top).parts[:-1])) for file in files]


def _image(file: Path, purpose: str | None) -> ImageAnnotation:
    where = str(file)
    document = read_xml(file, "HRSC_Image")
    boxes = [
        _box(each, f"{where}: HRSC_Object {k}")
        for k, each in enumerate(document.findall("HRSC_Objects/HRSC_Object"), 1)
    ]
    width, height = (int(_value(document, f"Img_Size{side}", where)) for side in ("Width", "Height"))
    return ImageAnnotation("", tuple(boxes), (height, width), purpose, file.stem)


def _box(each: Element, where: str) -> Box:
    x1, y1, x2, y2 = (_value(each, f"box_{side}", where) for side in ("xmin", "ymin", "xmax", "ymax"))
    return Box(_CLASS, (x1, y1, x2, y2), ignored=(each.findtext("difficult") or "").strip() == "1")


def _value(element: Element, tag: str, where: str) -> float:
    text = element.findtext(tag)
    if text is None:
        raise InputError(f"{where}: has no <{tag}>")
    return number(text, f"{where}: {tag}")


EXPORT = Export(
    name="hrsc2016",
    summary="HRSC2016: an XML file of ships for each image",
    source="Liu et al. 2017, ICPRAM",
    looks_for="XML files of <HRSC_Image> in Annotations/",
    files=_files,
    read=_read,
    images=("AllImages", "images", ""),
    per_image=True,
)
