"""VisDrone-VID and VisDrone-MOT: ``annotations/SEQUENCE.txt`` with lines ``frame,target,x,y,w,h,score,category,truncation,occlusion``.

Images are in ``sequences/SEQUENCE``, called like their frame: ``0000001.jpg``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from metrics.formats.exports.visdrone import (
    FRAME_COLUMNS,
    are_values,
    box_of,
    first_words,
    read_lines,
    report_regions,
)
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files
from metrics.formats.mot_files import frame_names, report_order
from metrics.formats.purpose import parse_purpose

_IMAGES = "sequences"


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return []
    patterns = ("annotations/*.txt", "*/annotations/*.txt")
    return find_files(path, ".txt", patterns, lambda file: are_values(first_words(file), FRAME_COLUMNS))


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    counts: Counter[str] = Counter()
    images = [image for file in files for image in _sequence(file, root, counts)]
    report_regions(root, counts)
    report_order(counts["by order"], str(root))
    return images


def _sequence(file: Path, root: Path, counts: Counter[str]) -> list[ImageAnnotation]:
    """All frames of a sequence: those with an image, or else those with a line."""
    boxes: dict[int, list[Box]] = defaultdict(list)
    first: dict[int, str] = {}
    for line in read_lines(file, FRAME_COLUMNS):
        first.setdefault(line.frame, line.place)
        boxes[line.frame].append(box_of(line, counts))
    home = file.parent.parent
    folder = home / _IMAGES / file.stem
    names, numbered = frame_names(folder, first, lambda frame: f"{frame:07d}.jpg")
    counts["by order"] += len(names) * (not numbered)
    purpose = parse_purpose(home.name) if home != root else None
    relative = folder.relative_to(root).as_posix()
    return [
        ImageAnnotation(f"{relative}/{name}", tuple(boxes.get(frame, ())), purpose=purpose)
        for frame, name in sorted(names.items())
    ]


EXPORT = Export(
    name="visdrone_vid",
    summary="VisDrone-VID and VisDrone-MOT: a file of annotations for each sequence",
    source="Zhu et al. 2021, arXiv:2001.06303; github.com/VisDrone/VisDrone2018-VID-toolkit",
    looks_for="text files of lines with ten numbers in annotations/, and images in sequences/",
    files=_files,
    read=_read,
    images=("",),
)
