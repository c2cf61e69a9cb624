"""Detections of MOT Challenge: ``det/det.txt`` of a sequence, folders of such, or a text file per sequence as trackers write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from metrics.errors import InputError
from metrics.formats.detection_rows import DetectionLayout, DetectionRows, numbered_class
from metrics.formats.file_listing import visible_files
from metrics.formats.mot_files import CLASSES, Line, frame_images, is_mot, read_lines
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from metrics.tables import AnnotationTable, Catalog

_PATTERNS = ("det/det.txt", "*/det/det.txt", "*/*/det/det.txt", "*.txt")
_LISTS = ("classes.txt", "labels.txt")
_ONLY_CLASSES = ("pedestrian", "person")


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".txt" and is_mot(path) else []
    for pattern in _PATTERNS:
        files = [file for file in visible_files(path, pattern) if file.name.lower() not in _LISTS]
        filled = [file for file in files if file.stat().st_size]
        if filled and all(map(is_mot, filled)):
            return files
    return []


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    files = _files(path)
    rows = DetectionRows(str(path))
    by_order = 0
    sequences = _sequences(truth.catalog)
    for file in files:
        lines = list(read_lines(file))
        names = _images_of(file, sequences, len(files))
        images, numbered = frame_images(names, {line.frame for line in lines})
        by_order += len(images) * (not numbered)
        for line in lines:
            if line.frame not in images:
                raise InputError(
                    f"{line.place}: frame {line.frame} is an image that the ground truth does not have; it has {plural(len(images), 'frame')} of "
                    f"this sequence"
                )
            rows.add(
                images[line.frame], _class_of(line, truth.catalog), line.xywh, line.confidence, line.place
            )
    if by_order:
        text = f"{path}: frames 1, 2, ... are the images in alphabetical order, because their names are not the numbers of frames"
        report(Note("images_by_order", text, str(path), {"images": by_order}))
    return rows


def _sequences(catalog: Catalog) -> Mapping[tuple[str, ...], Sequence[str]]:
    """The images of each folder of the ground truth by its parts."""
    found: dict[tuple[str, ...], list[str]] = {}
    for identity, name in zip(catalog.image_ids, catalog.file_names, strict=True):
        written = PurePosixPath((name or str(identity)).replace("\\", "/"))
        found.setdefault(written.parts[:-1], []).append(str(written))
    return found


def _images_of(file: Path, sequences: Mapping[tuple[str, ...], Sequence[str]], files: int) -> Sequence[str]:
    """The images of the sequence that a file is of."""
    name = file.parent.parent.name if file.parent.name in ("det", "gt") else file.stem
    fitting = [parts for parts in sequences if name in parts]
    if not fitting and len(sequences) == 1 and files == 1:
        fitting = list(sequences)
    if len(fitting) != 1:
        known = ", ".join("/".join(parts) or "." for parts in list(sequences)[:5])
        raise InputError(
            f"{file}: {plural(len(fitting), 'folder')} of the ground truth's images {agree(len(fitting), 'is', 'are')} called {name!r}; they are in {known}: call the "
            f"file like the sequence, or convert it to a CSV table with the columns image_id, score, x, y, w, h"
        )
    return sequences[fitting[0]]


def _class_of(line: Line, catalog: Catalog) -> int | str:
    """The class of a line; lines without one are of the only class of the ground truth, or of its pedestrians."""
    if len(catalog.classes) == 1:
        return catalog.classes[0]
    if line.label is not None:
        return numbered_class(line.label, CLASSES, catalog)
    known = [name for name in catalog.classes if name.casefold() in _ONLY_CLASSES]
    if len(known) != 1:
        raise InputError(
            f"{line.place}: has no class, and the ground truth has {len(catalog.classes)}; write its number as the eighth of nine "
            f"values, or convert the file to a CSV table with a column class"
        )
    return known[0]


LAYOUT = DetectionLayout(
    name="mot",
    summary="MOT Challenge's det.txt, and trackers' results with a text file per sequence",
    source="Dendorfer et al. 2020, arXiv:2003.09003; motchallenge.net/instructions",
    is_ours=lambda path: bool(_files(path)),
    read=_read,
)
