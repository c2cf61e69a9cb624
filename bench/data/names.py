"""The name of a data set, by default from its path."""

from __future__ import annotations

import re
from pathlib import Path

from metrics.formats.purpose import parse_purpose
from metrics.real_path import real_path

_GENERIC = frozenset(
    [
        "image",
        "images",
        "img",
        "imgs",
        "jpegimages",
        "data",
        "dataset",
        "datasets",
        "annotation",
        "annotations",
        "labels",
        "label",
        "instances",
        "info",
        "set",
        "split",
        "json",
        "xml",
        "obj",
        "export",
        "all",
        "gt",
        "truth",
        "groundtruth",
        "ground",
    ]
)
"""Words in names of files and folders for the content, not for the data set; words for splits are generic, too."""


def dataset_name(path: Path) -> str:
    """Name of the data set at a path: that of the file, or of the nearest folder, that is not generic.

    Names of kinds of content and of splits are generic: ``images``, ``gt``, ``instances_val2017``, ``_annotations.coco``.

    Returns:
        The name without suffix; the path's own if all are generic.
    """
    path = real_path(path)
    own = path.name if path.is_dir() or not path.suffix else path.name.split(".")[0] or path.stem
    for name in (own, *(folder.name for folder in path.parents)):
        words = [word for word in re.split(r"[\W_]+|(?<=[a-z])(?=(?:19|20)\d\d)", name.lower()) if word]
        if words and not all(_is_generic(word) for word in words):
            return name
    return own or "data"


def _is_generic(word: str) -> bool:
    year = word.isdigit() and len(word) == 4
    return year or word in _GENERIC or (word.isalpha() and parse_purpose(word) is not None)
