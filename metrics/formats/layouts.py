"""Which data set format a path holds: for each format the files that it is recognised by."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.damaged_files import with_damaged
from metrics.formats.file_listing import files_without_suffix, is_hidden, visible_files
from metrics.formats.image_annotations import Export, exports
from metrics.formats.untrusted import contains_all, read_bytes, read_head
from metrics.formats.yolo_description import DARKNET_FOLDERS, YAML_SUFFIXES
from metrics.formats.yolo_undescribed import undescribed_files

_LARGEST_YAML = 1 << 20
_SPLIT_KEYS = {b"train", b"val", b"valid", b"validation", b"test"}
_TRIED = 50
"""Number of XML files that are looked at for one of VOC."""
_VOC_ROOT = re.compile(rb"<annotation[\s>]")
_FLOW = re.compile(rb"[{,\n]")
"""Before a key of YAML that is written like JSON."""
_COCO_PATTERNS = (
    "*.json",
    "annotations/*.json",
    "*/*.json",
    "annotations/*/*.json",
    "*/annotations/*.json",
    "*.json.gz",
    "annotations/*.json.gz",
)
_FURTHER = ("captions", "panoptic", "stuff", "person_keypoints")
"""How COCO's files of other tasks on the same images are called."""
_BOXES_OF_CUB = "bounding_boxes.txt"
_COCO_KEYS = (b'"images"', b'"annotations"', b'"categories"')


@dataclass(frozen=True, slots=True)
class DataLayout:
    """How a format lies on disk.

    Attributes:
        name: ``coco``, ``voc`` or ``yolo``.
        looks_for: the files that the format is recognised by, as a phrase for error messages.
        files: return these files below a path, sorted; an empty list where the path does not hold the format.
    """

    name: str
    looks_for: str
    files: Callable[[Path], list[Path]]


def find_layouts(path: str | Path) -> list[DataLayout]:
    """All formats that a file or folder holds, in the order in which they are preferred.

    Exports of other tools are looked for only where it holds none of COCO, VOC and YOLO, and YOLO's text files without a
    description only where it holds none of these.

    Raises:
        InputError: the path holds several data sets of one format.
    """
    path = Path(path)
    found = [layout for layout in LAYOUTS.values() if layout.files(path)]
    found = found or [export_layout(export) for export in exports().values() if export.files(path)]
    return found or [layout for layout in [UNDESCRIBED_YOLO] if layout.files(path)]


def export_layout(export: Export) -> DataLayout:
    """How an export lies on disk."""
    return DataLayout(export.name, export.looks_for, export.files)


def coco_files(path: Path) -> list[Path]:
    """Annotation files of COCO: `path`, or those in the folder, in ``annotations``, or one folder down; then one further down, or packed.

    Where there are ``instances_*.json``, other files are left out (see `coco_files_beside`); without these, files of captions, panoptic
    segmentation, stuff and keypoints where there are others.
    """
    if path.is_file():
        return [path] if path.name.lower().endswith((".json", ".json.gz")) and _has_coco_keys(path) else []
    for pattern in _COCO_PATTERNS:
        files = visible_files(path, pattern)
        ours = [file for file in files if _has_coco_keys(file)]
        if ours:
            return with_damaged(_of_objects(ours), _of_objects(files, ours))
    return []


def _of_objects(files: Sequence[Path], known: Sequence[Path] | None = None) -> list[Path]:
    """Those of COCO's files that have objects, by their names: ``instances_*.json``, or else those that are not of other tasks.

    Args:
        files: the files.
        known: files whose names decide; by default `files`.
    """
    known = files if known is None else known
    if any(file.stem.startswith("instances") for file in known):
        return [file for file in files if file.stem.startswith("instances")]
    if all(file.stem.startswith(_FURTHER) for file in known):
        return list(known)
    return [file for file in files if not file.stem.startswith(_FURTHER)]


def coco_files_beside(files: Sequence[Path]) -> list[Path]:
    """Annotation files of COCO in the folders of `files` that are neither among them nor, by their names, of other tasks."""
    folders = dict.fromkeys(file.parent for file in files)
    return [
        file
        for folder in folders
        for file in visible_files(folder, "*.json")
        if file not in files and not file.stem.startswith(_FURTHER) and _has_coco_keys(file)
    ]


def voc_folder(path: Path) -> Path:
    """The folder of a VOC data set: `path`, or the one like ``VOCdevkit/VOC2012`` below it.

    Raises:
        InputError: there are several.
    """
    if (path / "Annotations").is_dir():
        return path
    found = sorted(path.glob("**/VOC[0-9]*/Annotations")) if path.is_dir() else []
    inner = [folder for folder in found if not any(map(is_hidden, folder.relative_to(path).parts))]
    if len(inner) > 1:
        names = [folder.parent.name for folder in inner]
        if len(set(names)) < len(names):
            names = [folder.parent.relative_to(path).as_posix() for folder in inner]
        raise InputError(
            f"{path}: several data sets: {', '.join(names)}; give the path of one, or join them (python -m bench, --data A+B)"
        )
    return inner[0].parent if inner else path


def voc_files(path: Path) -> list[Path]:
    """Annotation files of VOC: in ``Annotations`` and its folders, in the folder, or in any of its folders; failing that, without suffix."""
    root = voc_folder(path)
    if not root.is_dir():
        return []
    for pattern in ("Annotations/**/*.xml", "*.xml", "*/*.xml", "**/*.xml"):
        files = visible_files(root, pattern)
        if any(_VOC_ROOT.search(read_head(file, 4096)) for file in files[:_TRIED]):
            return files  # reading refuses files of another kind among them, by their names
    return _voc_without_suffix(root)


def _voc_without_suffix(root: Path) -> list[Path]:
    """Annotation files of VOC whose names have no suffix, as in Stanford Dogs: the files without one of folders with some of VOC."""
    return [
        file
        for files in files_without_suffix(root)
        if any(_VOC_ROOT.search(read_head(file, 4096)) for file in files[:_TRIED])
        for file in files
    ]


def yolo_files(path: Path) -> list[Path]:
    """The file that describes a YOLO data set: YAML, darknet's ``.data``, or a list of class names.

    Raises:
        InputError: several files of one kind describe data sets, alike in whether they name splits, and none is called ``data`` or
            ``dataset``.
    """
    if path.is_file():
        return [path] if _describes_yolo(path) else []
    for pattern in ("*.y*ml", "*.data", *(f"{folder}/*.data" for folder in DARKNET_FOLDERS)):
        found = [file for file in visible_files(path, pattern) if _describes_yolo(file)]
        found = [file for file in found if _keys(file) & _SPLIT_KEYS] or found
        found = [file for file in found if file.stem in ("data", "dataset")] or found
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise InputError(f"{path}: several descriptions: {names}; give the path of one")
        if found:
            return found
    lists = (
        "classes.txt",
        "obj.names",
        "*.names",
        "labels/classes.txt",
        "obj_train_data/classes.txt",
        "_darknet.labels",
        "*/_darknet.labels",
    )
    found = [file for pattern in lists for file in visible_files(path, pattern)][:1]
    return [file for file in found if not file.with_name(_BOXES_OF_CUB).is_file()]


LAYOUTS = {
    layout.name: layout
    for layout in (
        DataLayout(
            "coco",
            "a JSON file with images, annotations and categories, in the folder, in annotations/ or one folder down",
            coco_files,
        ),
        DataLayout(
            "voc", "XML files of <annotation> in Annotations/, in the folder or in its folders", voc_files
        ),
        DataLayout(
            "yolo",
            "a YAML file with names, and with train, val or test or beside images and labels; obj.data; or classes.txt or "
            "*.names beside images and labels",
            yolo_files,
        ),
    )
}
"""The formats by name, in the order in which they are preferred where a folder holds several."""

UNDESCRIBED_YOLO = DataLayout("yolo", "text files of YOLO beside images", undescribed_files)
"""Looked for where nothing else is found."""


def _has_coco_keys(file: Path) -> bool:
    """Whether the keys of COCO's annotations occur in a file; it is not parsed."""
    if file.suffix.lower() == ".gz":
        text = read_bytes(file)
        return text[:64].lstrip().startswith(b"{") and all(key in text for key in _COCO_KEYS)
    return contains_all(file, _COCO_KEYS)


def _describes_yolo(file: Path) -> bool:
    """Whether the keys of a data set's description begin some lines of a file; it is not parsed.

    A YAML file without splits describes a data set if there are folders of images or labels beside it.
    """
    if file.suffix.lower() not in (*YAML_SUFFIXES, ".data"):
        return False
    keys = _keys(file)
    beside = any((file.parent / name).is_dir() for name in ("images", "labels", "JPEGImages"))
    return bool(keys & {b"names", b"nc"}) and (bool(keys & _SPLIT_KEYS) or beside)


def _keys(file: Path) -> set[bytes]:
    """What begins lines before a colon, or before an equals sign in darknet's ``.data``, in lower case."""
    separator = b"=" if file.suffix.lower() == ".data" else b":"
    text = read_head(file, _LARGEST_YAML)
    lines = _FLOW.split(text) if text.startswith(b"{") else text.splitlines()
    return {line.split(separator)[0].strip().strip(b"\"'").lower() for line in lines if separator in line}
