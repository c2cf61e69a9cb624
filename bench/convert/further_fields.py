"""Fields of annotation files that tables do not have, and that a written data set therefore loses: masks, keypoints, marks."""

from __future__ import annotations

import mmap
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from metrics.formats.coco_masks import SEGMENTATION
from metrics.formats.untrusted import read_text
from metrics.formats.yolo_description import read_description
from metrics.formats.yolo_labels import find_labels
from metrics.notes import Note
from metrics.plurals import counts_by_kind

_COCO = {
    "masks": SEGMENTATION,
    "keypoints": re.compile(rb'"keypoints"\s*:\s*\[\s*[-\d]'),
    "attributes": re.compile(rb'"attributes"\s*:\s*\{\s*"'),
}
_VOC = {
    "truncated marks": re.compile(rb"<truncated>\s*(?:1|true|yes)\s*</truncated>", re.IGNORECASE),
    "occluded marks": re.compile(rb"<occluded>\s*(?:1|true|yes)\s*</occluded>", re.IGNORECASE),
    "poses": re.compile(rb"<pose>(?!\s*(?:unspecified)?\s*</pose>)", re.IGNORECASE),
    "parts": re.compile(rb"<part>", re.IGNORECASE),
}


def note_further_fields(format: str, files: Sequence[Path]) -> list[Note]:
    """A note with the numbers of fields that are lost, if there are any.

    Args:
        format: of the data set that is read.
        files: its annotation files.
    """
    count = _COUNTERS.get(format)
    if count is None:
        text = f"annotations have only boxes, classes and the marks crowd and ignored; other fields of {format} are not written"
        return [Note("lost_fields", text, format)]
    counts = count(files)
    if not counts:
        return []
    text = f"fields that are not written: {counts_by_kind(counts)}"
    return [Note("lost_fields", text, format, dict(counts))]


def _count_coco(files: Sequence[Path]) -> Counter[str]:
    return _count_patterns(files, _COCO)


def _count_voc(files: Sequence[Path]) -> Counter[str]:
    return _count_patterns(files, _VOC)


def _count_patterns(files: Sequence[Path], patterns: Mapping[str, re.Pattern[bytes]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for file in files:
        if not file.stat().st_size:
            continue
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
            for what, pattern in patterns.items():
                counts[what] += sum(1 for _ in pattern.finditer(text))
    return +counts


def _count_yolo(files: Sequence[Path]) -> Counter[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # opening the data set has said all this
        description = read_description(files[0])
        labels = find_labels(description.splits.values(), (description.root, description.beside))
    what = "sets of keypoints" if description.keypoints else "polygons or sets of keypoints"
    lines = [line.split() for file in set(labels.values()) for line in read_text(file).splitlines()]
    return +Counter({what: sum(len(words) > 5 for words in lines)})


_COUNTERS: Mapping[str, Callable[[Sequence[Path]], Counter[str]]] = {
    "coco": _count_coco,
    "voc": _count_voc,
    "yolo": _count_yolo,
}
