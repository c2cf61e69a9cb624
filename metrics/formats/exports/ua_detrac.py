"""UA-DETRAC: an XML file of ``<sequence>`` for each video, with vehicles by frame and regions that are ignored in all frames."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, file_purpose, find_files, number
from metrics.formats.mot_files import frame_names, report_order
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_xml
from metrics.notes import Note, report
from metrics.plurals import plural

_ROOT = re.compile(rb"<sequence\s[^>]*name=")
_LARGEST = 256 * 2**20
_PREFIX = "img"
"""Of the images of frames: ``img00001.jpg``."""
_SIDES = ("left", "top", "width", "height")


def _files(path: Path) -> list[Path]:
    return find_files(
        path, ".xml", ("*.xml", "*/*.xml"), lambda file: _ROOT.search(read_head(file, 4096)) is not None
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    images: list[ImageAnnotation] = []
    by_order = regions = 0
    for file in files:
        document = read_xml(file, "sequence", _LARGEST)
        ignored = [
            Box("", _corners(box, f"{file}: ignored_region {k}"))
            for k, box in enumerate(document.findall("ignored_region/box"), 1)
        ]
        frames = _frames(document, str(file))
        folder = _folder(top, document.get("name") or file.stem)
        first = {frame: f"{file}: frame {frame}" for frame in frames}
        names, numbered = frame_names(
            folder, first, lambda frame: f"{_PREFIX}{frame:05d}.jpg", prefix=_PREFIX
        )
        by_order += len(names) * (not numbered)
        regions += len(ignored)
        purpose = folder_purpose(file.relative_to(top).parts[:-1]) or file_purpose(file, root, files)
        relative = folder.relative_to(top).as_posix()
        images += [
            ImageAnnotation(f"{relative}/{name}", (*frames.get(frame, ()), *ignored), purpose=purpose)
            for frame, name in sorted(names.items())
        ]
    report_order(by_order, str(root))
    if regions:
        text = f"{root}: {plural(regions, 'region of a sequence is', 'regions of sequences are')} ignored for every class in all frames"
        report(Note("ignored_regions", text, str(root), {"regions": regions}))
    return images


def _folder(top: Path, name: str) -> Path:
    """The folder of a sequence's images: the one of its name, which may be in another one."""
    return next(
        (found for pattern in (name, f"*/{name}") for found in sorted(top.glob(pattern)) if found.is_dir()),
        top / name,
    )


def _frames(document: Element, where: str) -> dict[int, list[Box]]:
    """The vehicles of each frame."""
    frames: dict[int, list[Box]] = {}
    for element in document.findall("frame"):
        written = element.get("num", "")
        if not written.isdecimal() or len(written) > 9:
            raise InputError(f"{where}: frame: num {written[:40]!r}: expected a whole number")
        place = f"{where}: frame {written}"
        frames[int(written)] = [
            _vehicle(target, f"{place}: target {k}")
            for k, target in enumerate(element.findall("target_list/target"), 1)
        ]
    return frames


def _vehicle(target: Element, where: str) -> Box:
    box, attribute = target.find("box"), target.find("attribute")
    label = "" if attribute is None else attribute.get("vehicle_type", "")
    if box is None or not label:
        raise InputError(f"{where}: has no {'box' if box is None else 'vehicle_type'}")
    return Box(label, _corners(box, where))


def _corners(box: Element, where: str) -> tuple[float, float, float, float]:
    x, y, w, h = (number(box.get(side), f"{where}: {side}") for side in _SIDES)
    return x, y, x + w, y + h


EXPORT = Export(
    name="ua_detrac",
    summary="UA-DETRAC: an XML file of vehicles for each video",
    source="Wen et al. 2020, arXiv:1511.04136",
    looks_for="XML files of <sequence> with frames",
    files=_files,
    read=_read,
    images=("",),
)
