"""Pascal VOC data sets: one XML file per image; splits are lists in ``ImageSets/Main``, or folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.data.checks import AnnotatedImages, FolderOptions, report_unreadable
from bench.data.folder import assemble_dataset, require_distinct_purposes
from bench.data.types import DATASETS, Dataset, DatasetFormat
from metrics.formats import voc
from metrics.formats.image_paths import find_annotated
from metrics.formats.layouts import LAYOUTS, voc_folder
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_text
from metrics.formats.voc import Pixels
from metrics.notes import Note, report
from metrics.tables import AnnotationTable

_LISTS = ("train", "val", "test", "trainval")


_CONVENTIONS = {
    "inclusive": "boxes count pixels from 1 and include the last one, as in VOC; difficult objects are ignored",
    "edges": "boxes are read as edges counted from 0; difficult objects are ignored",
}


class VocOptions(FolderOptions):
    """Options of a Pascal VOC data set."""

    pixels: Pixels = "inclusive"
    """Meaning of coordinates. inclusive: pixels, counted from 1, the last one included, as in VOC; edges: edges, counted
    from 0, as some tools write them into the same XML."""


@dataclass(frozen=True, slots=True)
class _Part:
    """XML files of one split, or of all images."""

    purpose: str | None
    files: list[Path]


def _open(path: Path | None, files: Sequence[Path], options: VocOptions) -> Dataset:
    assert path is not None
    root = voc_folder(path)
    listed = _find_parts(root, files, options)
    sources = [
        _with_images(root, part, truth, options)
        for part, truth in zip(listed, _read(listed, options.pixels), strict=True)
    ]
    require_distinct_purposes(sources, path)
    report(Note("pixel_convention", _CONVENTIONS[options.pixels], options.pixels))
    return assemble_dataset("voc", path, sources, options)


def _find_parts(root: Path, annotations: Sequence[Path], options: VocOptions) -> list[_Part]:
    purpose_of = {file: _purpose(file.relative_to(root).parent) for file in annotations}
    purposes = list(dict.fromkeys(purpose_of.values()))
    if purposes != [None]:
        return [
            _Part(purpose, [file for file in annotations if purpose_of[file] == purpose])
            for purpose in purposes
        ]
    files = {identity: file for file, identity in voc.image_ids(list(annotations)).items()}
    lists = [
        file for file in sorted((root / "ImageSets" / "Main").glob("*.txt")) if file.stem.lower() in _LISTS
    ]
    if any(file.stem.lower() == "train" for file in lists):
        lists = [file for file in lists if file.stem.lower() != "trainval"]
    listed = []
    for file in lists:
        names = _names(file, files)
        if names and not any(name in files for name in names):
            text = f"{file.name}: none of its {len(names)} images is annotated; the list is not used"
            report(Note("unused_list", text, file.name, {"images": len(names)}))
            continue
        problems = {
            k: f"{file.name} names {name!r}, but {annotations[0].parent.name} has no {name}.xml"
            for k, name in enumerate(names)
            if name not in files
        }
        report_unreadable(problems, len(names), file.stem, options)
        listed.append(_Part(file.stem.lower(), [files[name] for name in names if name in files]))
    unlisted = len(set(files.values()) - {file for part in listed for file in part.files})
    if listed and unlisted:
        text = f"{unlisted} annotated images are in no list of ImageSets/Main and are not used"
        report(Note("unlisted_images", text, values={"images": unlisted}))
    return listed or [_Part(None, list(files.values()))]


def _purpose(folder: Path) -> str | None:
    """The split that one of the folders of an XML file is named after."""
    return next((purpose for part in folder.parts if (purpose := parse_purpose(part)) is not None), None)


def _names(file: Path, known: Iterable[str]) -> list[str]:
    """Names in a list, without duplicates; a second column, for the presence of a class, is skipped."""
    known = set(known)
    lines = [line.strip() for line in read_text(file).splitlines()]
    return list(dict.fromkeys(line if line in known else line.split()[0] for line in lines if line))


def _read(listed: Sequence[_Part], pixels: Pixels) -> list[AnnotationTable]:
    """Ground truth of each part, with the classes of all parts."""
    tables = [voc.read_truth(part.files, pixels=pixels) for part in listed]
    classes = tuple(sorted({name for table in tables for name in table.catalog.classes}))
    ids = tuple(range(len(classes)))
    unified = []
    for table in tables:
        labels = np.array([classes.index(name) for name in table.catalog.classes], np.int32)
        catalog = replace(table.catalog, classes=classes, class_ids=ids)
        unified.append(replace(table, catalog=catalog, label=labels[table.label]))
    return unified


def _with_images(root: Path, part: _Part, truth: AnnotationTable, options: VocOptions) -> AnnotatedImages:
    if options.images is not None:
        folders = [Path(options.images)]
    else:
        beside = part.files[0].parent if part.files else root
        folders = [
            base / name
            for base in (root, beside, beside.parent, root.parent)
            for name in ("JPEGImages", "images", "data")
        ]
        folders += [beside, root]
    xml_of = {identity: file for file, identity in voc.image_ids(part.files).items()}
    written = [
        (xml_of[str(identity)].relative_to(root).with_suffix("").as_posix(), name)
        for identity, name in zip(truth.catalog.image_ids, truth.catalog.file_names, strict=True)
    ]
    return AnnotatedImages(part.purpose, truth, find_annotated(written, folders, part.purpose or root.name))


DATASETS.register(
    "voc",
    DatasetFormat(
        name="voc",
        summary="XML annotations and lists of images (Pascal VOC)",
        source="Everingham et al. 2010, IJCV 88(2)",
        options=VocOptions,
        open=_open,
        layout=LAYOUTS["voc"],
    ),
)
