"""CVAT for images 1.1 and for video 1.1: ``annotations.xml`` with the boxes of all images, or with tracks of boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Corners,
    Export,
    ImageAnnotation,
    bounding_corners,
    ellipse_corners,
    file_purpose,
    find_files,
    number,
    report_left_out,
    rotated_corners,
)
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_head, read_xml

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_LARGEST = 2**30


def _files(path: Path) -> list[Path]:
    return find_files(path, ".xml", ("annotations.xml", "*.xml", "*/annotations.xml"), _is_cvat)


def _is_cvat(file: Path) -> bool:
    return b"<annotations>" in read_head(file, 4096)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    images: list[ImageAnnotation] = []
    for file in files:
        purpose = file_purpose(file, root, files)
        document = read_xml(file, "annotations", _LARGEST)
        if document.find("track") is not None:
            images += _frames(document, file, purpose, left_out)
        images += [_image(element, file, purpose, left_out) for element in document.findall("image")]
    report_left_out(left_out, str(root), ("shape encloses no area and is", "shapes enclose no area and are"))
    return images


def _image(element: Element, file: Path, purpose: str | None, left_out: Counter[str]) -> ImageAnnotation:
    name = element.get("name") or ""
    if not name:
        raise InputError(f"{file}: image {element.get('id')} has no name")
    where = f"{file}: image {name!r}"
    boxes = [box for shape in element if (box := _box(shape, shape.get("label"), where, left_out))]
    height, width = (int(number(element.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    subset = parse_purpose(element.get("subset") or "")  # of the export of a project
    return ImageAnnotation(name, tuple(boxes), (height, width), subset or purpose)


def _frames(
    document: Element, file: Path, purpose: str | None, left_out: Counter[str]
) -> list[ImageAnnotation]:
    """The frames of a video, whose boxes are those of its tracks at each frame."""
    size = (document.findtext("meta//original_size/height"), document.findtext("meta//original_size/width"))
    height, width = (int(number(value or 0, f"{file}: original_size")) for value in size)
    count = int(number(document.findtext("meta//size") or 0, f"{file}: size"))
    boxes: dict[int, list[Box]] = {frame: [] for frame in range(min(count, 10**7))}
    for track in document.findall("track"):
        where = f"{file}: track {track.get('id')}"
        for shape in track:
            if shape.get("outside") == "1":
                continue
            box = _box(shape, track.get("label"), where, left_out)
            if box is not None:
                boxes.setdefault(int(number(shape.get("frame"), f"{where}: frame")), []).append(box)
    return [
        ImageAnnotation(f"frame_{frame:06d}", tuple(of), (height, width), purpose, stem=f"frame_{frame:06d}")
        for frame, of in boxes.items()
    ]


def _box(shape: Element, label: str | None, where: str, left_out: Counter[str]) -> Box | None:
    if shape.tag in ("tag", "attribute"):
        return None
    if not label:
        raise InputError(f"{where}: <{shape.tag[:40]}> has no label")
    corners = _corners(shape, f"{where}: {shape.tag} {label!r}")
    if corners is None:
        left_out[shape.tag[:40]] += 1
        return None
    return Box(label, corners)


def _corners(shape: Element, where: str) -> Corners | None:
    if shape.tag == "box":
        x1, y1, x2, y2 = (number(shape.get(key), f"{where}: {key}") for key in ("xtl", "ytl", "xbr", "ybr"))
        angle = number(shape.get("rotation") or 0, f"{where}: rotation")
        return rotated_corners((x1, y1, x2, y2), ((x1 + x2) / 2, (y1 + y2) / 2), angle)
    if shape.tag == "ellipse":
        x, y, a, b = (number(shape.get(key), f"{where}: {key}") for key in ("cx", "cy", "rx", "ry"))
        return ellipse_corners((x, y), (a, b), number(shape.get("rotation") or 0, f"{where}: rotation"))
    if shape.tag == "cuboid":
        at = [
            tuple(
                number(shape.get(f"{axis}{corner}{face}"), f"{where}: {axis}{corner}{face}") for axis in "xy"
            )
            for face in (1, 2)
            for corner in ("tl", "tr", "bl", "br")
        ]
        return bounding_corners(at)
    if shape.tag == "mask":
        x, y, w, h = (number(shape.get(key), f"{where}: {key}") for key in ("left", "top", "width", "height"))
        return x, y, x + w, y + h
    if shape.tag == "polygon":
        points = [pair.split(",") for pair in (shape.get("points") or "").split(";") if pair]
        if len(points) > 2 and all(len(pair) == 2 for pair in points):
            return bounding_corners([(number(x, where), number(y, where)) for x, y in points])
    return None


EXPORT = Export(
    name="cvat",
    summary="CVAT for images or video 1.1: one XML file",
    source="docs.cvat.ai/docs/manual/advanced/xml_format",
    looks_for="annotations.xml with <annotations>",
    files=_files,
    read=_read,
    images=("images", ""),
)
