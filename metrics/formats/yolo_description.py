"""Descriptions of YOLO data sets: a YAML file, darknet's ``obj.data``, or a list of class names beside images and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metrics.errors import InputError, InputWarning
from metrics.formats.image_search import find_under
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_text
from metrics.formats.yaml_text import read_yaml_text
from metrics.formats.yolo_labels import find_labels
from metrics.formats.yolo_splits import read_splits, splits_beside
from metrics.formats.yolo_undescribed import undescribed_names
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from metrics.real_path import real_path

YAML_SUFFIXES = (".yaml", ".yml")

DARKNET_FOLDERS = ("data", "cfg", "config")
"""Folders of darknet in which a description is that names paths from the folder above."""

_KEYS = frozenset(("path", "train", "val", "valid", "validation", "test", "names", "nc", "kpt_shape"))
"""Keys of a YAML file that are read."""

_EMPTY = ("", "null", "~", "None")
_LARGEST_KEYPOINTS = 10_000
_MOST_CLASSES = 100_000


@dataclass(frozen=True, slots=True)
class YOLODescription:
    """The contents of a data set's description.

    Attributes:
        root: the folder that paths of images are relative to, absolute.
        beside: the folder of the description, absolute.
        names: C class names; a label is an index into them.
        splits: the images of ``train``, ``val`` and ``test``, where there are such: sorted absolute paths. Of a data set
            without splits one entry, None.
        keypoints: (number, numbers per keypoint) of pose data; None without keypoints.
    """

    root: Path
    beside: Path
    names: tuple[str, ...]
    splits: dict[str | None, list[Path]]
    keypoints: tuple[int, int] | None = None


def read_description(path: str | Path, images: Path | None = None) -> YOLODescription:
    """Read the description of a data set: ``.yaml``, darknet's ``.data``, or a text file with a class name in each line.

    Args:
        path: the file; or a folder with images and text files that has no description.
        images: folder in which images are searched; by default that of the data set.

    Raises:
        InputError: see `read_yaml`; or there are no images.
    """
    path = Path(path)
    if path.is_dir():
        root, folder = real_path(images or path), real_path(path)
        splits = splits_beside(root)
        labels = find_labels(splits.values(), (root, folder))
        return YOLODescription(root, folder, undescribed_names(folder, labels.values()), splits)
    if path.suffix.lower() in YAML_SUFFIXES:
        return read_yaml(path, images)
    if path.suffix.lower() == ".data":
        return _read_darknet(path, images)
    inner = path.parent.name == "labels" or (
        path.name == "_darknet.labels" and parse_purpose(path.parent.name)
    )
    folder = path.parent.parent if inner else path.parent
    root = real_path(images or folder)
    return YOLODescription(root, real_path(folder), _listed_names(path), splits_beside(root))


def read_yaml(path: str | Path, images: Path | None = None) -> YOLODescription:
    """Read a YAML file. No code in it is run: ``download:`` is ignored, and tags are refused.

    ``path`` is the folder of the data set, absolute or relative to that of the YAML file; without it, or if it does not
    exist, it is the folder of the YAML file. One that leads out of this folder is followed with a warning. A split is a folder, a text file with one image per line, or a list of
    these. Paths of another machine are found by their ends below the folder of the data set, and a split that does not
    exist is passed over; both are reported. A file without splits has its images in ``images`` or in folders named after
    splits. ``names`` is a list, or a dict with keys 0, 1, ...; names are text as written, also ``no`` and ``007``. Keys may be in
    any case of letters.

    Args:
        path: the file.
        images: folder in which images are searched, instead of ``path``.

    Raises:
        InputError: another kind of file, missing names or gaps in them, no split that exists, or a split that is found
            in two places.
    """
    path = Path(path)
    document = _in_lower_case(read_yaml_text(path), str(path))
    names = _names(document, path)
    root = real_path(images) if images is not None else _root(document, path)
    given = {
        split: document[key]
        for split, keys in {
            "train": ("train",),
            "val": ("val", "valid", "validation"),
            "test": ("test",),
        }.items()
        for key in keys
        if key in document and document[key] not in _EMPTY
    }
    splits = read_splits(given, root, real_path(path.parent), str(path)) if given else splits_beside(root)
    return YOLODescription(root, real_path(path.parent), names, splits, _keypoints(document, path))


def _in_lower_case(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The keys that are read in lower case, as `read_yaml` expects them; others are left out.

    Raises:
        InputError: a key is there in two spellings.
    """
    spelled: dict[str, str] = {}
    for key in document:
        known = key.strip().lower() if isinstance(key, str) else ""
        if known in _KEYS and spelled.setdefault(known, key) != key:
            raise InputError(
                f"{where}: has {spelled[known]!r} and {key!r}, which mean the same; keep one of them"
            )
    return {known: document[key] for known, key in spelled.items()}


def _read_darknet(path: Path, images: Path | None) -> YOLODescription:
    """Read ``obj.data`` of darknet, as CVAT writes it: lines ``key = value``."""
    values = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise InputError(f"{path}:{number}: expected key = value, got {line.strip()[:60]!r}")
        values[key.strip().lower()] = value.strip()
    folder = real_path(path.parent)
    names_in = [folder, folder.parent] if folder.name in DARKNET_FOLDERS else [folder]
    found = [(base, find_under(base, values.get("names", ""))) for base in names_in]
    base, file = next(
        (pair for pair in found if pair[1] is not None), (folder, find_under(folder, "obj.names"))
    )
    root = real_path(images or base)
    if file is None or not file.is_file():
        raise InputError(
            f"{path}: names: no such file {values.get('names', '')!r}; add a text file of class names"
        )
    names = _listed_names(file)
    if (count := values.get("classes")) is not None and count != str(len(names)):
        raise InputError(f"{path}: classes is {count}, but {file.name} has {plural(len(names), 'name')}")
    given = {purpose: value for key, value in values.items() if (purpose := parse_purpose(key)) is not None}
    splits = read_splits(given, root, base, str(path)) if given else splits_beside(root)
    return YOLODescription(root, base, names, splits)


def _listed_names(path: Path) -> tuple[str, ...]:
    names = tuple(line.strip() for line in read_text(path).splitlines() if line.strip())
    if not names:
        raise InputError(f"{path}: has no class names; write one into each line")
    return names


def _names(document: dict[str, Any], path: Path) -> tuple[str, ...]:
    names, count = document.get("names"), _class_count(document, path)
    if names in (None, *_EMPTY) and count is not None:
        text = f"{path}: has no names; the {plural(count, 'class is', 'classes are')} called 0 .. {count - 1}"
        report(Note("made_names", text, str(path), {"classes": count}))
        return tuple(map(str, range(count)))
    if isinstance(names, dict):
        labels = {_integer(key): name for key, name in names.items()}
        if labels and set(labels) == set(range(1, len(names) + 1)):
            raise InputError(
                f"{path}: names: keys count from 1, but classes count from 0; if the classes in the text files count from 0, make the "
                f"keys 0 .. {len(names) - 1}; if they count from 1, add the name 0: unused"
            )
        if set(labels) != set(range(len(names))):
            raise InputError(
                f"{path}: names: expected classes 0 .. {len(names) - 1} without a gap, "
                f"got [{', '.join(map(str, names))}]; give each class index below the largest one a name, also if no object has it"
            )
        names = [labels[label] for label in range(len(names))]
    if not isinstance(names, list) or not names:
        raise InputError(
            f"{path}: names: expected a list of class names, as in names: [cat, dog], or a dict with keys 0, 1, ..."
        )
    for label, name in enumerate(names):
        if not isinstance(name, str):
            raise InputError(f"{path}: names: expected a name for class {label}, got a {type(name).__name__}")
    if count is not None and count != len(names):
        raise InputError(
            f"{path}: nc is {count}, but there {agree(len(names), 'is', 'are')} {plural(len(names), 'name')}; add the missing ones, or remove nc"
        )
    return tuple(names)


def _class_count(document: dict[str, Any], path: Path) -> int | None:
    given = document.get("nc")
    if given in (None, *_EMPTY):
        return None
    count = _integer(given)
    if count is None or not 0 < count <= _MOST_CLASSES:
        shown = given if isinstance(given, str) else f"a {type(given).__name__}"
        raise InputError(
            f"{path}: nc: expected the number of classes, 1 to {_MOST_CLASSES:,}, got {shown[:60]}"
        )
    return count


def _integer(value: Any) -> int | None:
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else None


def _keypoints(document: dict[str, Any], path: Path) -> tuple[int, int] | None:
    given = document.get("kpt_shape")
    if given in (None, *_EMPTY):
        return None
    shape = [_integer(value) for value in given] if isinstance(given, list) else []
    if (
        len(shape) != 2
        or None in shape
        or shape[1] not in (2, 3)
        or not 0 < (shape[0] or 0) < _LARGEST_KEYPOINTS
    ):
        raise InputError(f"{path}: kpt_shape: expected [number of keypoints, 2 or 3], such as [17, 3]")
    return int(shape[0] or 0), int(shape[1] or 0)


def _root(document: dict[str, Any], path: Path) -> Path:
    parent = real_path(path.parent)
    given = document.get("path")
    if given in (None, *_EMPTY):
        return parent
    if not isinstance(given, str):
        raise InputError(f"{path}: path: expected a folder, got a {type(given).__name__}")
    root = real_path(parent / given)
    if not root.is_relative_to(parent) and root.is_dir():
        text = f"{path}: path: leads out of its folder, to {root}, whose images are read; this is for files that you trust"
        report(Note("outside_folder", text, "path"), InputWarning)
    if not root.is_dir():
        text = f"{path}: path: folder {root} does not exist; {parent} is used instead"
        report(Note("found_elsewhere", text, "path"), InputWarning)
        return parent
    return root
