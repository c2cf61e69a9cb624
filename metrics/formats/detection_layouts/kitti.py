"""KITTI's results: a text file per image with the 15 columns of annotations and a score."""

from __future__ import annotations

from pathlib import Path

from metrics.errors import InputError
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.file_listing import image_text_files
from metrics.formats.image_annotations import number
from metrics.formats.untrusted import read_head, read_text
from metrics.tables import AnnotationTable

_COLUMNS = 16


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return next(
        (files for folder in (path, path / "data") if (files := image_text_files(folder, "*.txt"))), []
    )


def _is_ours(path: Path) -> bool:
    for file in _files(path)[:20]:
        lines = read_head(file, 400).splitlines()
        words = lines[0].split() if lines else []
        if words:
            return len(words) == _COLUMNS and words[0].replace(b"_", b"").isalpha()
    return False


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    rows = DetectionRows(str(path))
    for file in _files(path):
        for line_number, line in enumerate(read_text(file).splitlines(), 1):
            words = line.split()
            place = f"{file}:{line_number}"
            if words and len(words) != _COLUMNS:
                raise InputError(f"{place}: expected the 15 columns of KITTI and a score, got {len(words):,}")
            if words:
                x1, y1, x2, y2 = (number(word, place) for word in words[4:8])
                rows.add(file.stem, words[0], (x1, y1, x2 - x1, y2 - y1), number(words[15], place), place)
    return rows


LAYOUT = DetectionLayout(
    name="kitti",
    summary="KITTI's results, 16 columns per line",
    source="Geiger et al. 2012; cvlibs.net/datasets/kitti",
    is_ours=_is_ours,
    read=_read,
)
