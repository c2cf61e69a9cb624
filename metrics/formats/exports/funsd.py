"""FUNSD and XFUND: forms with a box for each entity, in a JSON file for each page or one for a language and split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    corner_box,
    file_purpose,
    find_files,
    image_folders,
    number,
)
from metrics.formats.json_members import object_in, objects_in, text_in
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_head, read_json

_TRIED = 20


def _files(path: Path) -> list[Path]:
    patterns = ("annotations/*.json", "*/annotations/*.json", "*/*/annotations/*.json", "*.json", "*/*.json")
    return find_files(path, ".json", patterns, _is_ours, _TRIED)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return b'"box"' in head and (b'"form"' in head or b'"document"' in head)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    return [image for file in files for image in _images(file, top, files)]


def _images(file: Path, top: Path, files: Sequence[Path]) -> Iterator[ImageAnnotation]:
    where = str(file)
    document = read_json(file)
    if not isinstance(document, dict) or not ("form" in document or "documents" in document):
        raise InputError(f"{where}: expected an object with form (FUNSD) or documents (XFUND)")
    if "form" in document:
        folders = image_folders(file, top)
        stem = "/".join([*folders, file.stem])
        yield ImageAnnotation("", _boxes(document, "form", where), purpose=folder_purpose(folders), stem=stem)
        return
    purpose = file_purpose(file, top, files)
    for k, page in enumerate(objects_in(document, "documents", where)):
        place = f"{where}: documents[{k}]"
        image = object_in(page, "img", place)
        name = text_in(image, "fname", f"{place}: img")
        height, width = (int(number(image.get(key) or 0, f"{place}: {key}")) for key in ("height", "width"))
        yield ImageAnnotation(name, _boxes(page, "document", place), (height, width), purpose)


def _boxes(page: Mapping[str, Any], key: str, where: str) -> tuple[Box, ...]:
    return tuple(
        corner_box(each, "label", "box", f"{where}: {key}[{k}]")
        for k, each in enumerate(objects_in(page, key, where))
    )


EXPORT = Export(
    name="funsd",
    summary="FUNSD and XFUND: forms with the boxes of questions, answers and headers",
    source="Jaume et al. 2019, arXiv:1905.13538; Xu et al. 2022, ACL Findings; github.com/doc-analysis/XFUND",
    looks_for="JSON files with form, or with documents, of entities with box and label",
    files=_files,
    read=_read,
    images=("images", ""),
    per_image=True,
)
