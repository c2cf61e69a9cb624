"""DeepLesion: ``DL_info.csv`` with the boxes of lesions on key slices of CT scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.csv_rows import header_of, named_rows
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, four_numbers, number
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_NAME, _BOXES, _SPLIT, _NOISY, _SIZE = (
    "file_name",
    "bounding_boxes",
    "train_val_test",
    "possibly_noisy",
    "image_size",
)
_CLASS = "lesion"
_SPLITS = {1: "train", 2: "val", 3: "test"}


def _files(path: Path) -> list[Path]:
    return find_files(
        path, ".csv", ("*.csv", "*/*.csv"), lambda file: {_NAME, _BOXES, _SPLIT} <= set(header_of(file))
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    boxes: dict[str, list[Box]] = {}
    splits: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for file in files:
        for where, row in named_rows(file, (_NAME, _BOXES, _SPLIT)):
            name = row[_NAME].strip()
            if "_" not in name:
                raise InputError(
                    f"{where}: File_name: expected PATIENT_STUDY_SERIES_SLICE.png, got {name[:60]!r}"
                )
            split = _SPLITS.get(int(number(row[_SPLIT], f"{where}: Train_Val_Test")))
            if split is None:
                raise InputError(f"{where}: Train_Val_Test: expected 1, 2 or 3, got {row[_SPLIT][:20]!r}")
            if splits.setdefault(name, split) != split:
                raise InputError(f"{where}: {name} is of another split than in an earlier line")
            boxes.setdefault(name, []).append(_box(row, where))
            sizes[name] = _size(row.get(_SIZE, ""), f"{where}: Image_size")
    noisy = sum(box.ignored for of in boxes.values() for box in of)
    if noisy:
        text = (
            f"{root}: {plural(noisy, 'lesion')} marked as possibly noisy {agree(noisy, 'is', 'are')} ignored"
        )
        report(Note("ignored_regions", text, str(root), {"objects": noisy}))
    return [ImageAnnotation(_path(name), tuple(of), sizes[name], splits[name]) for name, of in boxes.items()]


def _path(name: str) -> str:
    """The image of a slice, which is in the folder of its series: ``000001_01_01/109.png``."""
    series, _, slice_file = name.rpartition("_")
    return f"{series}/{slice_file}"


def _size(text: str, where: str) -> tuple[int, int]:
    """Width and height as written, which are equal in the data set: (height, width); unknown if they are not there."""
    if not text.strip():
        return (0, 0)
    values = [int(number(value, where)) for value in text.split(",")]
    return (values[1], values[0]) if len(values) == 2 else (0, 0)


def _box(row: dict[str, str], where: str) -> Box:
    corners = four_numbers(row[_BOXES].split(","), f"{where}: Bounding_boxes", "x1, y1, x2, y2")
    return Box(_CLASS, corners, ignored=row.get(_NOISY, "").strip() in ("1", "1.0"))


EXPORT = Export(
    name="deep_lesion",
    summary="DeepLesion: a CSV table of lesions on slices of CT scans",
    source="Yan et al. 2018, J. Med. Imaging 5(3); nihcc.app.box.com/v/DeepLesion",
    looks_for="a CSV file with the columns File_name, Bounding_boxes and Train_Val_Test",
    files=_files,
    read=_read,
    images=("Images_png", "images", "minideeplesion", ""),
)
