"""CrowdHuman: ``.odgt`` files with one JSON object per line and image; images in ``Images``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, four_numbers
from metrics.formats.json_members import object_in, objects_in
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import parse_json, read_bytes
from metrics.notes import Note, report
from metrics.plurals import plural


def _files(path: Path) -> list[Path]:
    return find_files(path, ".odgt", ("*.odgt", "annotations/*.odgt"))


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    counts: Counter[str] = Counter()
    images = []
    for file in files:
        purpose = parse_purpose(file.stem) if len(files) > 1 else None
        for line_number, line in enumerate(read_bytes(file).splitlines(), 1):
            if line.strip():
                where = f"{file}:{line_number}"
                images.append(_image(parse_json(line, where), where, purpose, counts))
    if counts.total():
        text = f"{root}: {plural(counts['ignored'], 'person')} and {plural(counts['regions'], 'mask is', 'masks are')} ignored, as they say; fbox is the box"
        report(Note("ignored_regions", text, str(root), dict(counts)))
    return images


def _image(row: Any, where: str, purpose: str | None, counts: Counter[str]) -> ImageAnnotation:
    if not isinstance(row, dict) or not isinstance(row.get("ID"), str):
        raise InputError(f"{where}: expected an object with ID and gtboxes")
    boxes = []
    for k, each in enumerate(objects_in(row, "gtboxes", where)):
        place = f"{where}: gtboxes[{k}]"
        x, y, w, h = four_numbers(each.get("fbox"), f"{place}: fbox")
        mask = each.get("tag") == "mask"
        ignored = bool(object_in(each, "extra", place).get("ignore"))
        counts["regions"] += mask
        counts["ignored"] += ignored and not mask
        label = "" if mask else str(each.get("tag") or "person")
        boxes.append(Box(label, (x, y, x + w, y + h), ignored=ignored and not mask))
    height, width = row.get("height"), row.get("width")  # of the files that are made for evaluation
    known = isinstance(height, int) and isinstance(width, int) and min(height, width) > 0
    size = (int(height or 0), int(width or 0)) if known else (0, 0)
    return ImageAnnotation(f"{row['ID']}.jpg", tuple(boxes), size, purpose)


EXPORT = Export(
    name="crowdhuman",
    summary="CrowdHuman: a JSON object per image, one a line",
    source="Shao et al. 2018, arXiv:1805.00123",
    looks_for="a file .odgt",
    files=_files,
    read=_read,
    images=("Images", "images", "train", "val", "CrowdHuman_train/Images", "CrowdHuman_val/Images"),
)
