"""TensorFlow's table ``filename,width,height,class,xmin,ymin,xmax,ymax``, as Roboflow and makesense write it too."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, number
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_text

_COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")
_LARGEST = 2**30


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix.lower() == ".csv" and _has_columns(path) else []
    for pattern in ("*.csv", "*/*.csv"):
        files = [file for file in sorted(path.glob(pattern)) if file.is_file() and _has_columns(file)]
        if files:
            return files
    return []


def _has_columns(file: Path) -> bool:
    with file.open("rb") as opened:
        head = opened.readline(4096).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    return set(_COLUMNS) <= {name.strip().strip('"').lower() for name in head.split(",")}


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = root if root.is_dir() else root.parent
    images = []
    for file in files:
        folder = f"{file.parent.name}/" if file.parent != top else ""
        purpose = parse_purpose(file.parent.name if folder else file.stem) if len(files) > 1 else None
        images += _images(file, folder, purpose)
    return images


def _images(file: Path, folder: str, purpose: str | None) -> list[ImageAnnotation]:
    reader = csv.reader(io.StringIO(read_text(file, _LARGEST), newline=""), strict=True)
    boxes: dict[str, list[Box]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if missing := [name for name in _COLUMNS if name not in header]:
            raise InputError(
                f"{file}:1: has no column {', '.join(missing)}; it has {', '.join(header)[:200]}"
            )
        place = [header.index(name) for name in _COLUMNS]
        for row in reader:
            if not any(row):
                continue
            where = f"{file}:{reader.line_num}"
            if len(row) != len(header):
                raise InputError(f"{where}: expected {len(header)} columns, got {len(row)}")
            name, width, height, label, *corners = (row[k] for k in place)
            if not name or not label:
                raise InputError(f"{where}: has no {'class' if name else 'filename'}")
            x1, y1, x2, y2 = (number(value, where) for value in corners)
            boxes.setdefault(name, []).append(Box(label, (x1, y1, x2, y2)))
            size = (int(number(height, where)), int(number(width, where)))
            if sizes.setdefault(name, size) != size:
                raise InputError(f"{where}: {name} has another size than in an earlier line")
    except csv.Error as error:
        raise InputError(f"{file}:{reader.line_num}: is not CSV: {error}") from error
    return [ImageAnnotation(folder + name, tuple(of), sizes[name], purpose) for name, of in boxes.items()]


EXPORT = Export(
    name="tensorflow_csv",
    summary="a CSV table of TensorFlow's object detection, also of Roboflow",
    source="tensorflow-object-detection-api-tutorial.readthedocs.io",
    looks_for="a CSV file with the columns " + ",".join(_COLUMNS),
    files=_files,
    read=_read,
    images=("", "images"),
)
