"""Detections of all classes in one text file, as for ILSVRC: lines ``image class score xmin ymin xmax ymax``."""

from __future__ import annotations

from pathlib import Path

from metrics.errors import InputError
from metrics.formats.class_files import is_number
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.image_annotations import number
from metrics.formats.untrusted import read_head, read_text
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.tables import AnnotationTable

_COLUMNS = 7
"""At least: the image's name may have spaces."""
_LARGEST = 2**30


def _is_ours(path: Path) -> bool:
    if not path.is_file() or not path.name.lower().endswith((".txt", ".txt.gz")):
        return False
    lines = [line for line in read_head(path, 4096).decode("utf-8", "replace").splitlines() if line.strip()]
    words = lines[0].split() if lines else []
    return len(words) >= _COLUMNS and all(map(is_number, words[-4:]))


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    rows = DetectionRows(str(path))
    for line_number, line in enumerate(read_text(path, _LARGEST).splitlines(), 1):
        words = line.split()
        place = f"{path}:{line_number}"
        if words and len(words) < _COLUMNS:
            raise InputError(
                f"{place}: expected image class score xmin ymin xmax ymax, got {plural(len(words), 'value')}"
            )
        if words:
            score, x1, y1, x2, y2 = (number(value, place) for value in words[-5:])
            image = " ".join(words[:-6])
            rows.add(image, words[-6], (x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1), score, place)
    text = f"{path}: lines are read as image class score xmin ymin xmax ymax, pixels counted from 1"
    report(Note("guessed_layout", text, str(path), {"rows": len(rows)}))
    return rows


LAYOUT = DetectionLayout(
    name="ilsvrc",
    summary="a text file with image, class, score and corners in each line, as for ILSVRC's detection task",
    source="Russakovsky et al. 2015, arXiv:1409.0575; image-net.org/challenges/LSVRC",
    is_ours=_is_ours,
    read=_read,
)
