"""VisDrone-DET's results: a text file per image with lines ``x,y,w,h,score,category,-1,-1``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from metrics.formats.detection_rows import DetectionLayout, DetectionRows, numbered_class
from metrics.formats.exports.visdrone import CLASSES, first_words, is_object, read_lines
from metrics.formats.file_listing import image_text_files
from metrics.formats.image_annotations import report_left_out
from metrics.tables import AnnotationTable

_COLUMNS = 8


def _is_ours(path: Path) -> bool:
    if not path.is_dir():
        return False
    first = next((words for file in image_text_files(path, "*.txt")[:20] if (words := first_words(file))), [])
    return len(first) == _COLUMNS and all(word.strip() in (b"-1", b"0", b"1", b"2") for word in first[6:])


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    left_out: Counter[str] = Counter()
    rows = DetectionRows(str(path))
    for file in image_text_files(path, "*.txt"):
        for place, (x, y, w, h, score), category in read_lines(file):
            if is_object(category):
                label = numbered_class(category, CLASSES, truth.catalog)
                rows.add(file.stem, label, (x, y, w, h), score, place)
            else:
                left_out[f"category {category}"] += 1
    report_left_out(
        left_out,
        str(path),
        (
            "detection is of a category that is not evaluated and is",
            "detections are of categories that are not evaluated and are",
        ),
    )
    return rows


LAYOUT = DetectionLayout(
    name="visdrone",
    summary="VisDrone-DET's results, a text file per image with eight numbers per line",
    source="github.com/VisDrone/VisDrone2018-DET-toolkit",
    is_ours=_is_ours,
    read=_read,
)
