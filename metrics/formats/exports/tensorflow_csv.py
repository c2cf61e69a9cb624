"""TensorFlow's table ``filename,width,height,class,xmin,ymin,xmax,ymax``, as Roboflow and makesense write it too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.csv_rows import header_of, named_rows
from metrics.formats.fractions import as_fractions
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, folder_prefix, number
from metrics.formats.purpose import parse_purpose

_COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax")


def _files(path: Path) -> list[Path]:
    return find_files(path, ".csv", ("*.csv", "*/*.csv"), lambda file: set(_COLUMNS) <= set(header_of(file)))


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        folder = folder_prefix(file, root)
        purpose = parse_purpose(file.parent.name if folder else file.stem) if len(files) > 1 else None
        images += _images(file, folder, purpose)
    return images


def _images(file: Path, folder: str, purpose: str | None) -> list[ImageAnnotation]:
    boxes: dict[str, list[Box]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for where, row in named_rows(file, _COLUMNS):
        name, label = row["filename"], row["class"]
        if not name or not label:
            raise InputError(f"{where}: has no {'class' if name else 'filename'}")
        x1, y1, x2, y2 = (number(row[key], where) for key in _COLUMNS[4:])
        boxes.setdefault(name, []).append(Box(label, (x1, y1, x2, y2)))
        size = (int(number(row["height"], where)), int(number(row["width"], where)))
        if sizes.setdefault(name, size) != size:
            raise InputError(f"{where}: {name} has another size than in an earlier line")
    images = [ImageAnnotation(folder + name, tuple(of), sizes[name], purpose) for name, of in boxes.items()]
    return as_fractions(images, str(file))


EXPORT = Export(
    name="tensorflow_csv",
    summary="CSV table of TensorFlow's object detection and of Roboflow",
    source="tensorflow-object-detection-api-tutorial.readthedocs.io",
    looks_for="a CSV file with the columns " + ",".join(_COLUMNS),
    files=_files,
    read=_read,
    images=("", "images"),
)
