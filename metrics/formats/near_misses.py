"""What a path in which no data set is recognised most likely is, and which path or change would be read instead."""

from __future__ import annotations

import os
import re
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.csv_rows import header_of
from metrics.formats.file_listing import is_hidden, visible_files
from metrics.formats.image_annotations import exports
from metrics.formats.image_search import IMAGE_SUFFIXES, image_files
from metrics.formats.layouts import coco_files, find_layouts, yolo_files
from metrics.formats.purpose import is_purpose
from metrics.formats.untrusted import read_head
from metrics.plurals import plural

_COCO_KEYS = ("images", "annotations", "categories")
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")
_PARTS = re.compile("images?|img|labels?|annotations?|ann|jpegimages|labeltxt.*|obj_.*_data")
_NO_ANNOTATIONS = re.compile("read_?me|licen[cs]e|requirements|notes?[.]")
_ELEMENT = re.compile(rb"<([A-Za-z_][\w.-]*)")
_KEY = re.compile(rb'"([^"\\]{1,40})"\s*:')
_LONGEST = 120
_MOST = 20
"""Folders and files that are looked at."""
_OF_TOOLS = (
    (
        "**/*.vott",
        "is a project of VoTT, which has no boxes: give the folder with its files *-asset.json, or export it as VoTT JSON",
    ),
    ("**/det/det.txt", "has detections of MOT Challenge: the annotations are in gt/gt.txt"),
    (
        "**/*_instanceIds.png",
        "is an image of labels: add the polygons of Cityscapes, *_gtFine_polygons.json",
    ),
    ("**/*.tfrecord*", "is a TFRecord file, which is not read: export the data as COCO, Pascal VOC or YOLO"),
    ("**/*.mat", "is a MATLAB file, which is not read: convert the annotations to COCO, Pascal VOC or YOLO"),
    (
        "**/*.parquet",
        "is a table: give its path if it has a box in each row; images inside a table are not read: write them to files, with their "
        "objects in metadata.jsonl (Hugging Face's imagefolder) or as COCO",
    ),
)
"""Files of tools and benchmarks that have no annotations, or none that are read, and what is read."""


def near_miss(path: Path) -> str:
    """Advice for a path without a known data set, as a clause; empty if there is none."""
    if path.is_file():
        return _of_file(path)
    return _in_folders(path) or _around(path) or _in_files(path)


def _of_file(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return "it is an image; give the folder of the data set"
    if suffix in (".xml", ".txt"):
        return "the file of one image is not a data set; give the folder of all files"
    return _of_json(path) if suffix == ".json" else ""


def _in_folders(path: Path) -> str:
    """Folders in the folder that are data sets."""
    found = []
    for name in sorted(os.listdir(path))[:_MOST]:
        if not is_hidden(name) and (path / name).is_dir() and (layout := _layout(path / name)):
            found.append(f"{path / name} ({layout})")
    return f"give the path of a data set in it: {', '.join(found[:3])}" if found else ""


def _around(path: Path) -> str:
    """A folder around one that is called like a part of a data set, such as ``images/train``; it is not searched in depth."""
    folder = Path(os.path.abspath(path))
    for _ in range(2):
        if not is_purpose(folder.name) and not _PARTS.fullmatch(folder.name.lower()):
            break
        folder = folder.parent
        if layout := _described(folder):
            return f"it is a part of the data set in {folder} ({layout}): give that path"
    return ""


def _described(folder: Path) -> str:
    """The format of the files that describe the data set in a folder."""
    try:
        if any(coco_files(inner) for inner in (folder / "annotations", *folder.glob("*.json"))):
            return "coco"
        return "voc" if (folder / "Annotations").is_dir() else "yolo" if yolo_files(folder) else ""
    except InputError:
        return ""


def _layout(folder: Path) -> str:
    try:
        return next((layout.name for layout in find_layouts(folder)), "")
    except InputError:
        return ""


def _in_files(path: Path) -> str:
    """Files in the folder that are nearly of a known kind."""
    names = sorted(os.listdir(path))
    archive = next((name for name in names if name.lower().endswith(_ARCHIVES)), None)
    if archive is not None:
        return f"{archive} is an archive: unpack it"
    for pattern in ("*.json", "*/*.json"):
        for file in visible_files(path, pattern)[:_MOST]:
            if advice := _of_json(file):
                return f"{file.relative_to(path)}: {advice}"
    for pattern, advice in _OF_TOOLS:
        if found := visible_files(path, pattern)[:1]:
            return f"{found[0].relative_to(path)} {advice}"
    images = image_files(path, recursive=True)
    bare = f"it has {plural(len(images), 'image')}, but no annotations that are known" if images else ""
    return "; ".join(filter(None, (bare, _unknown_file(path))))


def _unknown_file(path: Path) -> str:
    """What the first file that may hold annotations contains, as a clause; empty if there is none."""
    for pattern in (
        "*.json",
        "*.jsonl",
        "*.csv",
        "*.tsv",
        "*.xls",
        "*.xlsx",
        "*/*.json",
        "*/*.csv",
        "*/*/*.json",
        "*.geojson",
        "*/*.geojson",
    ):
        for file in visible_files(path, pattern)[:1]:
            name = file.relative_to(path)
            if file.suffix.lower() in (".tsv", ".xls", ".xlsx"):
                return f"{name}: tables are read from .csv files: save it as CSV"
            if file.suffix.lower() == ".csv" and exports()["box_csv"].files(file):
                return f"{name}: is a table of boxes with scores, as detections are: give its own path to read it as ground truth"
            if file.suffix.lower() == ".csv":
                columns = ", ".join(header_of(file))[:_LONGEST]
                return f"{name}: its first line is {columns}; a table of boxes needs columns such as image, class, x1, y1, x2, y2"
            head = read_head(file)
            if head.lstrip(b"[{ \r\n\t").startswith(b"'"):
                return f"{name}: is a literal of Python, not JSON: write it with json.dump"
            keys = dict.fromkeys(key.decode("utf-8", "replace") for key in _KEY.findall(head))
            return f"{name}: has no known layout; its first keys are {', '.join(keys)[:_LONGEST] or 'none'}"
    return _unknown_markup(path) or _unknown_text(path)


def _unknown_markup(path: Path) -> str:
    """What the first XML or YAML file contains, as a clause; empty if there is none."""
    for pattern in ("*.xml", "*/*.xml", "*/*/*.xml", "*.y*ml", "*/*.y*ml"):
        for file in visible_files(path, pattern)[:1]:
            name, head = file.relative_to(path), read_head(file)
            element = _ELEMENT.search(head)
            if element is not None:
                first = element[1].decode("utf-8", "replace")
                return f"{name}: is XML of no known layout; its first element is <{first[:_LONGEST]}>, that of Pascal VOC is <annotation>"
            lines = [line.strip() for line in head.decode("utf-8", "replace").splitlines()]
            line = next((line for line in lines if line and not line.startswith(("#", "---"))), "")
            return f"{name}: describes no data set of YOLO, which needs names; its first line is {line[:_LONGEST]!r}"
    return ""


def _unknown_text(path: Path) -> str:
    """What the first text file that may hold annotations begins with, as a clause; empty if there is none."""
    for pattern in ("*.txt", "*/*.txt", "*/*/*.txt"):
        for file in visible_files(path, pattern)[:_MOST]:
            if _NO_ANNOTATIONS.match(file.name.lower()):
                continue
            first = read_head(file, 4 * _LONGEST).decode("utf-8", "replace").partition("\n")[0].strip()
            if first:
                return (
                    f"{file.relative_to(path)}: has no known layout; its first line is {first[:_LONGEST]!r}"
                )
    return ""


def _of_json(file: Path) -> str:
    if not file.stat().st_size:
        return "the file is empty"
    head = read_head(file)
    if head.startswith(b"[") and b'"score"' in head and b'"bbox"' in head:
        return "looks like results (detections), not ground truth"
    data = file.read_bytes() if file.stat().st_size <= 2**28 else head
    has = [key for key in _COCO_KEYS if f'"{key}"'.encode() in data]
    missing = [key for key in _COCO_KEYS if key not in has]
    if head.startswith(b"{") and len(has) == 2:
        return f"has {' and '.join(has)}, but no {missing[0]}, which COCO needs: is the file complete?"
    return ""
