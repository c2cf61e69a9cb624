"""Detections of MOT Challenge: ``det/det.txt`` of a sequence, folders of such, or a text file per sequence as trackers write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from metrics.errors import InputError
from metrics.formats.detection_layouts.visdrone import is_frame_result
from metrics.formats.detection_rows import DetectionLayout, DetectionRows, numbered_class
from metrics.formats.file_listing import visible_files
from metrics.formats.mot_files import CLASSES, Line, frame_images, is_mot, read_lines, report_order
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
        if filled and all(map(is_mot, filled)) and not all(map(is_frame_result, filled)):
            return files
    return []


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    files = _files(path)
    rows = DetectionRows(str(path))
    by_order = 0
    for file in files:
        lines = list(read_lines(file))
        first = {line.frame: line.place for line in reversed(lines)}
        images, numbered = images_of_frames(file, first, truth.catalog, alone=len(files) == 1)
        by_order += len(images) * (not numbered)
        for line in lines:
            rows.add(
                images[line.frame], _class_of(line, truth.catalog), line.xywh, line.confidence, line.place
            )
    report_order(by_order, str(path))
    return rows


def images_of_frames(
    file: Path, first: Mapping[int, str], catalog: Catalog, *, alone: bool
) -> tuple[dict[int, str], bool]:
    """The image of each frame of a file of detections; see `frame_images`.

    Args:
        file: called like the sequence, or in a folder of the sequence.
        first: place of the first line of each frame, for messages.
        catalog: of the ground truth.
        alone: whether there is no other file, so that it may be of the only sequence whatever it is called.

    Raises:
        InputError: no sequence of the ground truth, or more than one, is called like the file, or it lacks the image of a frame.
    """
    images, numbered = frame_images(_images_of(file, _sequences(catalog), alone), first)
    if unknown := sorted(set(first) - set(images)):
        raise InputError(
            f"{first[unknown[0]]}: frame {unknown[0]} is an image that the ground truth does not have; it has "
            f"{plural(len(images), 'frame')} of this sequence"
        )
    return images, numbered


def _sequences(catalog: Catalog) -> Mapping[tuple[str, ...], Sequence[str]]:
    """The images of each folder of the ground truth by its parts."""
    found: dict[tuple[str, ...], list[str]] = {}
    for identity, name in zip(catalog.image_ids, catalog.file_names, strict=True):
        written = PurePosixPath((name or str(identity)).replace("\\", "/"))
        found.setdefault(written.parts[:-1], []).append(str(written))
    return found


def _images_of(file: Path, sequences: Mapping[tuple[str, ...], Sequence[str]], alone: bool) -> Sequence[str]:
    """The images of the sequence that a file is of."""
    name = file.parent.parent.name if file.parent.name in ("det", "gt") else file.stem
    fitting = [parts for parts in sequences if name in parts]
    if not fitting and len(sequences) == 1 and alone:
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
            f"{line.place}: has no class, and the ground truth has {len(catalog.classes):,}; write its number as the eighth of nine "
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
