"""Open Images' table of boxes: ``ImageID,...,LabelName,...,XMin,XMax,YMin,YMax`` as fractions of the image's sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.csv_rows import csv_rows, header_of, named_rows
from metrics.formats.file_listing import visible_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, file_purpose, find_files, number
from metrics.formats.image_labels import ImageLabels
from metrics.formats.purpose import parse_purpose
from metrics.formats.records import records
from metrics.formats.untrusted import read_json
from metrics.notes import Note, report
from metrics.plurals import plural

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
    groups = commas = 0
    images = []
    for file in files:
        names = class_names(file.parent)
        purpose = file_purpose(file, root, files)
        boxes: dict[str, list[Box]] = {}
        for where, row in named_rows(file, COLUMNS):
            identity, label = row["imageid"], names.get(row["labelname"], row["labelname"])
            if not identity or not label:
                raise InputError(f"{where}: has no {'LabelName' if identity else 'ImageID'}")
            written = [row[key] for key in COLUMNS[2:]]
            commas += any("," in value for value in written)
            x1, x2, y1, y2 = (number(value.replace(",", "."), where) for value in written)
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
    if commas:
        text = f"{root}: {plural(commas, 'row has', 'rows have')} commas in numbers, which are read as decimal points"
        report(Note("number_commas", text, str(root), {"rows": commas}))
    if groups:
        text = f"{root}: {plural(groups, 'box around a group (IsGroupOf) is a crowd region', 'boxes around groups (IsGroupOf) are crowd regions')}"
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
                raise InputError(f"{where}: expected a code and a name, got {plural(len(row), 'value')}")
            names[row[0]] = row[1]
    counts = Counter(names.values())
    return {code: name if counts[name] == 1 else f"{name} ({code})" for code, name in names.items()}


def image_labels(root: Path, files: Sequence[Path]) -> ImageLabels:
    """Verified classes of images and the hierarchy of classes, from files beside the tables of boxes.

    Verified classes are in CSV files with the columns ImageID, LabelName and Confidence (1: present, 0: absent). The hierarchy is
    in a file ``*hierarchy*.json``; tables that are called ``expanded`` have boxes of its classes already.
    """
    present: dict[str, list[str]] = {}
    absent: dict[str, list[str]] = {}
    purposes: dict[str, str | None] = {}
    folders = list(dict.fromkeys(file.parent for file in files))
    tables = [file for folder in folders for file in sorted(folder.glob("*.csv")) if _has_labels(file)]
    for file in tables:
        names = class_names(file.parent)
        purpose = parse_purpose(file.stem) if len(files) > 1 else None
        for where, row in named_rows(file, _LABEL_COLUMNS):
            identity, label = row["imageid"], names.get(row["labelname"], row["labelname"])
            if not identity or not label:
                raise InputError(f"{where}: has no {'LabelName' if identity else 'ImageID'}")
            sure = number(row["confidence"], f"{where}: Confidence")
            (present if sure > 0 else absent).setdefault(identity, []).append(label)
            purposes[identity] = purpose
    ancestors: dict[str, list[str]] = {}
    hierarchies = [file for folder in folders for file in sorted(folder.glob("*hierarchy*.json"))][:1]
    expanded = [file.name for file in [*files, *tables] if "expanded" in file.stem.lower()]
    if hierarchies and expanded:
        text = f"{hierarchies[0]}: not used, because {expanded[0]} is expanded by it already"
        report(Note("expanded", text, str(hierarchies[0])))
    elif hierarchies:
        ancestors = _ancestors(hierarchies[0], class_names(hierarchies[0].parent))
    return ImageLabels(present, absent, purposes, ancestors)


_LABEL_COLUMNS = ("imageid", "labelname", "confidence")


def _has_labels(file: Path) -> bool:
    known = set(header_of(file))
    return set(_LABEL_COLUMNS) <= known and "xmin" not in known


def _ancestors(file: Path, names: Mapping[str, str]) -> dict[str, list[str]]:
    """The classes above each class, except for the root; parts (``Part``) are not below a class."""
    above: dict[str, set[str]] = {}

    def visit(node: Any, place: str, path: tuple[str, ...]) -> None:
        if not isinstance(node, dict) or not isinstance(node.get("LabelName"), str):
            raise InputError(f"{place}: expected an object with LabelName")
        code = node["LabelName"]
        for k, each in enumerate(records(node.get("Subcategory") or [], f"{place}: Subcategory")):
            name = names.get(str(each.get("LabelName")), str(each.get("LabelName")))
            above.setdefault(name, set()).update(path)
            visit(each, f"{place}: {code}: Subcategory[{k}]", (*path, name))

    visit(read_json(file), str(file), ())
    return {name: sorted(of) for name, of in above.items()}


EXPORT = Export(
    name="open_images",
    summary="Open Images' table of boxes, as fractions of the sides",
    source="storage.googleapis.com/openimages/web/download_v7.html",
    looks_for="a CSV file with the columns ImageID, LabelName, XMin, XMax, YMin and YMax",
    files=_files,
    read=_read,
    images=("images", "data", "train", "validation", "test", ""),
)
