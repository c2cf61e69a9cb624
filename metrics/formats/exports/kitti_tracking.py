"""KITTI's tracking: ``label_02/0000.txt`` with lines of a frame, a track and KITTI's columns, images in ``image_02/0000``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, number
from metrics.formats.mot_files import frame_names, report_order
from metrics.formats.untrusted import read_head, read_text
from metrics.notes import Note, report
from metrics.plurals import plural

_COLUMNS = 17
_IGNORED = "DontCare"
_LARGEST = 2**28


def _files(path: Path) -> list[Path]:
    patterns = ("label_02/*.txt", "*/label_02/*.txt", "*/*/label_02/*.txt")
    return [] if path.is_file() else find_files(path, ".txt", patterns, _is_ours)


def _is_ours(file: Path) -> bool:
    words = read_head(file, 400).partition(b"\n")[0].split()
    return len(words) == _COLUMNS and words[0].isdigit() and not words[2].replace(b".", b"").isdigit()


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images: list[ImageAnnotation] = []
    regions = by_order = 0
    for file in files:
        boxes: dict[int, list[Box]] = defaultdict(list)
        first: dict[int, str] = {}
        for k, line in enumerate(read_text(file, _LARGEST).splitlines(), 1):
            words, where = line.split(), f"{file}:{k}"
            if not words:
                continue
            if len(words) != _COLUMNS or not words[0].isdecimal() or len(words[0]) > 9:
                raise InputError(
                    f"{where}: expected a frame, a track and 15 columns of KITTI, got {line.strip()[:60]!r}"
                )
            frame = int(words[0])
            first.setdefault(frame, where)
            x1, y1, x2, y2 = (number(word, where) for word in words[6:10])
            regions += words[2] == _IGNORED
            columns = {"truncation": number(words[3], where), "occlusion": number(words[4], where)}
            label = "" if words[2] == _IGNORED else words[2]
            boxes[frame].append(Box(label, (x1, y1, x2, y2), columns=columns if label else {}))
        folder = file.parent.parent / "image_02" / file.stem
        names, numbered = frame_names(folder, first, lambda frame: f"{frame:06d}.png")
        by_order += len(names) * (not numbered)
        relative = folder.relative_to(root).as_posix()
        images += [
            ImageAnnotation(f"{relative}/{name}", tuple(boxes.get(frame, ())))
            for frame, name in sorted(names.items())
        ]
    report_order(by_order, str(root))
    if regions:
        text = (
            f"{root}: {plural(regions, 'DontCare region is', 'DontCare regions are')} ignored for every class"
        )
        report(Note("ignored_regions", text, str(root), {"regions": regions}))
    return images


EXPORT = Export(
    name="kitti_tracking",
    summary="KITTI tracking: label_02 and image_02, a file for each sequence",
    source="Geiger et al. 2012; cvlibs.net/datasets/kitti/eval_tracking.php",
    looks_for="text files of 17 columns in label_02/",
    files=_files,
    read=_read,
    images=("",),
)
