"""KITTI's object detection: a text file of 15 columns per image in ``label_2``, images in ``image_2``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import visible_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, number
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_head, read_text
from metrics.notes import Note, report
from metrics.plurals import plural

_COLUMNS = 15
_TRAINING = "training"
_TRIED = 20
_FOLDERS = ("label_2", "labels_2", "label", "labels")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    for base in (path, path / _TRAINING):
        for name in _FOLDERS:
            if files := _of_kitti(base, f"{name}/*.txt"):
                return files
    for name in _FOLDERS:
        if files := _of_kitti(path, f"*/{name}/*.txt"):
            return [file for file in files if parse_purpose(file.parent.parent.name)]
    return []


def _of_kitti(folder: Path, pattern: str) -> list[Path]:
    files = visible_files(folder, pattern)
    return files if any(_is_kitti(file) for file in files[:_TRIED]) else []


def _is_kitti(file: Path) -> bool:
    lines = read_head(file, 400).splitlines()
    words = lines[0].split() if lines else []
    return len(words) in (_COLUMNS, _COLUMNS + 1) and not words[0].replace(b".", b"").isdigit()


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    counts: Counter[str] = Counter()
    images = [_image(file, root, counts) for file in files]
    if counts["regions"]:
        text = f"{root}: {plural(counts['regions'], 'DontCare region is', 'DontCare regions are')} ignored for every class"
        report(Note("ignored_regions", text, str(root), {"regions": counts["regions"]}))
    return images


def _image(file: Path, root: Path, counts: Counter[str]) -> ImageAnnotation:
    """The image of a file; in several folders around those of text files, each is a split."""
    folder = file.parent.parent
    boxes = tuple(_boxes(file, counts))
    if folder in (root, root / _TRAINING):
        return ImageAnnotation("", boxes, stem=file.stem)
    return ImageAnnotation("", boxes, purpose=parse_purpose(folder.name), stem=f"{folder.name}/{file.stem}")


def _boxes(file: Path, counts: Counter[str]) -> list[Box]:
    boxes = []
    for line_number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        where = f"{file}:{line_number}"
        if len(words) != _COLUMNS:
            hint = (
                "; the last one of 16 is a score: these are detections" if len(words) == _COLUMNS + 1 else ""
            )
            raise InputError(f"{where}: expected 15 columns of KITTI, got {len(words):,}{hint}")
        x1, y1, x2, y2 = (number(word, where) for word in words[4:8])
        if words[0] == "DontCare":
            counts["regions"] += 1
            boxes.append(Box("", (x1, y1, x2, y2)))
        else:
            columns = {"truncation": number(words[1], where), "occlusion": number(words[2], where)}
            boxes.append(Box(words[0], (x1, y1, x2, y2), columns=columns))
    return boxes


EXPORT = Export(
    name="kitti",
    summary="KITTI object detection: label_2 and image_2",
    source="Geiger et al. 2012; cvlibs.net/datasets/kitti",
    looks_for="text files of 15 columns in label_2/, training/label_2/ or labels/",
    files=_files,
    read=_read,
    images=("image_2", "training/image_2", "images", "image", "data"),
    per_image=True,
)
