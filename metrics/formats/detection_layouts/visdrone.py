"""VisDrone's results: a text file per image with lines ``x,y,w,h,score,category,-1,-1``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from metrics.formats.detection_rows import DetectionLayout, DetectionRows, numbered_class
from metrics.formats.exports.visdrone import (
    CLASSES,
    COLUMNS,
    FRAME_COLUMNS,
    Line,
    first_words,
    is_object,
    read_lines,
)
from metrics.formats.file_listing import image_text_files
from metrics.formats.image_annotations import report_left_out
from metrics.tables import AnnotationTable, Catalog, ImageId


def _is_ours(path: Path) -> bool:
    if not path.is_dir():
        return False
    first = next((words for file in image_text_files(path, "*.txt")[:20] if (words := first_words(file))), [])
    return is_result(first, COLUMNS)


def is_result(words: Sequence[bytes], columns: Sequence[str]) -> bool:
    """Whether the values of a line are those of a result with these columns, whose last two are unused."""
    return len(words) == len(columns) and all(
        word.strip() in (b"-1", b"0", b"1", b"2") for word in words[-2:]
    )


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    left_out: Counter[str] = Counter()
    rows = DetectionRows(str(path))
    for file in image_text_files(path, "*.txt"):
        for line in read_lines(file):
            add(rows, line, file.stem, truth.catalog, left_out)
    report_others(left_out, path)
    return rows


def is_frame_result(file: Path) -> bool:
    """Whether a file has results of a video, of ten values: the eighth is a category, where MOT Challenge has a place in the world."""
    words = first_words(file)
    return is_result(words, FRAME_COLUMNS) and words[FRAME_COLUMNS.index("category")].strip().isdigit()


def add(rows: DetectionRows, line: Line, image: ImageId, catalog: Catalog, left_out: Counter[str]) -> None:
    """Append the detection of a line, or count it by its category if that is not evaluated."""
    if is_object(line.category):
        label = numbered_class(line.category, CLASSES, catalog)
        rows.add(image, label, line.xywh, line.score, line.place)
    else:
        left_out[f"category {line.category}"] += 1


def report_others(left_out: Counter[str], path: Path) -> None:
    """Report how many detections are left out; see `add`."""
    report_left_out(
        left_out,
        str(path),
        (
            "detection is of a category that is not evaluated and is",
            "detections are of categories that are not evaluated and are",
        ),
    )


LAYOUT = DetectionLayout(
    name="visdrone",
    summary="VisDrone-DET's results, a text file per image with eight numbers per line",
    source="github.com/VisDrone/VisDrone2018-DET-toolkit",
    is_ours=_is_ours,
    read=_read,
)
