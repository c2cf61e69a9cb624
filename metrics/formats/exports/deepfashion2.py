"""DeepFashion2: ``annos/*.json`` with an object ``item1``, ``item2``, ... for each garment, and images in ``image``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.image_annotations import Export, ImageAnnotation, corner_box, find_files
from metrics.formats.json_members import object_in
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_json

_ITEM = re.compile(r"item\d+")
_KEY = re.compile(rb'"item\d+"\s*:')
_TRIED = 20


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return []
    return find_files(path, ".json", ("annos/*.json", "*/annos/*.json", "*/*/annos/*.json"), _is_ours, _TRIED)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return _KEY.search(head) is not None or (b'"pair_id"' in head and b'"source"' in head)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    return [_image(file, root) for file in files]


def _image(file: Path, root: Path) -> ImageAnnotation:
    where = str(file)
    document = read_json(file)
    if not isinstance(document, dict):
        raise InputError(f"{where}: expected an object with item1, item2, ...")
    boxes = [
        corner_box(object_in(document, key, where), "category_name", "bounding_box", f"{where}: {key}")
        for key in sorted(filter(_ITEM.fullmatch, document), key=lambda key: (len(key), key))
    ]
    folders = file.relative_to(root).parts[:-2]
    return ImageAnnotation(
        "", tuple(boxes), purpose=folder_purpose(folders), stem="/".join([*folders, file.stem])
    )


EXPORT = Export(
    name="deepfashion2",
    summary="DeepFashion2: a JSON file for each image, with an object for each garment",
    source="Ge et al. 2019, arXiv:1901.07973; github.com/switchablenorms/DeepFashion2",
    looks_for="JSON files with item1, item2, ... in annos/",
    files=_files,
    read=_read,
    images=("image", "images"),
    per_image=True,
)
