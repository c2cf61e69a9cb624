"""Open Images' table of boxes: ``ImageID,...,LabelName,...,XMin,XMax,YMin,YMax`` as fractions of the image's sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.csv_rows import csv_rows, header_of, named_rows
from metrics.formats.file_listing import visible_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, file_purpose, find_files, number
from metrics.notes import Note, report

COLUMNS = ("imageid", "labelname", "xmin", "xmax", "ymin", "ymax")
_DESCRIPTIONS = "class-descriptions*.csv"


def _files(path: Path) -> list[Path]:
    return find_files(
        path,
        ".csv",
        ("*.csv", "annotations/*.csv", "labels/*.csv", "*/*.csv", "*/labels/*.csv"),
        _is_open_images,
    )


def _is_open_images(file: Path) -> bool:
    known = set(header_of(file))
    return set(COLUMNS) <= known and not {"conf", "score"} & known


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    groups = 0
    images = []
    for file in files:
        names = class_names(file.parent)
        purpose = file_purpose(file, root if root.is_dir() else root.parent, files)
        boxes: dict[str, list[Box]] = {}
        for where, row in named_rows(file, COLUMNS):
            identity, label = row["imageid"], names.get(row["labelname"], row["labelname"])
            if not identity or not label:
                raise InputError(f"{where}: has no {'LabelName' if identity else 'ImageID'}")
            x1, x2, y1, y2 = (number(row[key], where) for key in COLUMNS[2:])
            if max(map(abs, (x1, x2, y1, y2))) > 1.5:
                raise InputError(
                    f"{where}: {max((x1, x2, y1, y2), key=abs):g} is not a fraction of the image's side"
                )
            group = row.get("isgroupof") == "1"
            groups += group
            boxes.setdefault(identity, []).append(Box(label, (x1, y1, x2, y2), crowd=group))
        images += [
            ImageAnnotation("", tuple(of), purpose=purpose, stem=identity, relative=True)
            for identity, of in boxes.items()
        ]
    if groups:
        text = f"{root}: {groups} boxes around groups (IsGroupOf) are crowd regions"
        report(Note("ignored_regions", text, str(root), {"regions": groups}))
    return images


def class_names(folder: Path) -> dict[str, str]:
    """Names of classes by their code; several classes of one name keep both.

    They are in ``class-descriptions*.csv`` beside the table, or in FiftyOne's ``metadata/classes.csv`` beside its folder.
    """
    names: dict[str, str] = {}
    for file in [
        *visible_files(folder, _DESCRIPTIONS),
        *visible_files(folder.parent, "metadata/classes.csv"),
    ][:1]:
        for where, row in csv_rows(file):
            if len(row) != 2:
                raise InputError(f"{where}: expected a code and a name, got {len(row)} values")
            names[row[0]] = row[1]
    counts = Counter(names.values())
    return {code: name if counts[name] == 1 else f"{name} ({code})" for code, name in names.items()}


EXPORT = Export(
    name="open_images",
    summary="Open Images' table of boxes, as fractions of the image's sides",
    source="storage.googleapis.com/openimages/web/download_v7.html",
    looks_for="a CSV file with the columns ImageID, LabelName, XMin, XMax, YMin and YMax",
    files=_files,
    read=_read,
    images=("images", "data", "train", "validation", "test", ""),
)
