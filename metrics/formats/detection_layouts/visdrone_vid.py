"""VisDrone-VID's results: a text file per sequence with lines ``frame,target,x,y,w,h,score,category,-1,-1``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from metrics.formats.detection_layouts.mot import images_of_frames
from metrics.formats.detection_layouts.visdrone import add, is_frame_result, report_others
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.exports.visdrone import FRAME_COLUMNS, read_lines
from metrics.formats.file_listing import image_text_files
from metrics.formats.mot_files import report_order
from metrics.tables import AnnotationTable


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".txt" and is_frame_result(path) else []
    files = image_text_files(path, "*.txt")
    filled = [file for file in files if file.stat().st_size]
    return files if filled and all(map(is_frame_result, filled)) else []


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    files = _files(path)
    left_out: Counter[str] = Counter()
    rows = DetectionRows(str(path))
    by_order = 0
    for file in files:
        lines = list(read_lines(file, FRAME_COLUMNS))
        first = {line.frame: line.place for line in reversed(lines)}
        images, numbered = images_of_frames(file, first, truth.catalog, alone=len(files) == 1)
        by_order += len(images) * (not numbered)
        for line in lines:
            add(rows, line, images[line.frame], truth.catalog, left_out)
    report_order(by_order, str(path))
    report_others(left_out, path)
    return rows


LAYOUT = DetectionLayout(
    name="visdrone_vid",
    summary="VisDrone-VID's and VisDrone-MOT's results, a text file per sequence with ten numbers per line",
    source="github.com/VisDrone/VisDrone2018-VID-toolkit",
    is_ours=lambda path: bool(_files(path)),
    read=_read,
)
