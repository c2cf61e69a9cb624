"""Pascal VOC data sets: one XML file per image; splits are lists in ``ImageSets/Main``, or folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.data.checks import AnnotatedImages, FolderOptions, report_unreadable
from bench.data.files import find_images, image_files
from bench.data.folder import assemble_dataset, require_distinct_purposes
from bench.data.splits import parse_purpose
from bench.data.types import DATASETS, Dataset, DatasetFormat
from metrics.formats import voc
from metrics.formats.layouts import LAYOUTS, voc_folder
from metrics.formats.voc import Pixels
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
    notes: list[str] = []
    listed = _find_parts(root, files, options, notes)
    sources = [
        _with_images(root, part, truth, options)
        for part, truth in zip(listed, _read(listed, options.pixels), strict=True)
    ]
    require_distinct_purposes(sources, path)
    notes += [f"{s.purpose or 'all'}: {len(s.paths)} images, {len(s.truth)} objects" for s in sources]
    notes.append(_CONVENTIONS[options.pixels])
    return assemble_dataset("voc", path, sources, options, notes)


def _find_parts(
    root: Path, annotations: Sequence[Path], options: VocOptions, notes: list[str]
) -> list[_Part]:
    folders = list(dict.fromkeys(file.parent for file in annotations))
    if not set(folders) <= {root, root / "Annotations"}:
        by_folder = {folder: [file for file in annotations if file.parent == folder] for folder in folders}
        return [_Part(parse_purpose(folder.name), inside) for folder, inside in by_folder.items()]
    files = {file.stem: file for file in annotations}
    lists = [root / "ImageSets" / "Main" / f"{name}.txt" for name in _LISTS]
    lists = [file for file in lists if file.is_file()]
    if any(file.stem == "train" for file in lists):
        lists = [file for file in lists if file.stem != "trainval"]
    listed = []
    for file in lists:
        names = _names(file, files)
        if names and not any(name in files for name in names):
            notes.append(f"{file.name}: none of its {len(names)} images is annotated; the list is not used")
            continue
        problems = {
            k: f"{file.name} names {name!r}, but {folders[0].name} has no {name}.xml"
            for k, name in enumerate(names)
            if name not in files
        }
        report_unreadable(problems, len(names), file.stem, options)
        listed.append(_Part(file.stem, [files[name] for name in names if name in files]))
    unlisted = set(files) - {file.stem for part in listed for file in part.files}
    if listed and unlisted:
        notes.append(f"{len(unlisted)} annotated images are in no list of ImageSets/Main and are not used")
    return listed or [_Part(None, list(files.values()))]


def _names(file: Path, known: Iterable[str]) -> list[str]:
    """Names in a list, without duplicates; a second column, for the presence of a class, is skipped."""
    known = set(known)
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
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
        annotations = part.files[0].parent if part.files else root
        folders = [
            base / name for base in (root, annotations, root.parent) for name in ("JPEGImages", "images", "")
        ]
    folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    names = [_image_names(folder, truth) for folder in folders]
    found = [sum(name is not None for name in of_folder) for of_folder in names]
    best = max(range(len(folders)), key=found.__getitem__, default=None)
    file_names = truth.catalog.file_names
    if best is not None and found[best]:
        chosen = [name or written for name, written in zip(names[best], file_names, strict=True)]
        folders = [folders[best]]
    else:
        chosen = list(file_names)
    return AnnotatedImages(part.purpose, truth, find_images(chosen, folders, part.purpose or root.name))


def _image_names(folder: Path, truth: AnnotationTable) -> list[str | None]:
    """Name of each image's file in a folder: as in the XML, or the stem of the XML file; None if it has neither."""
    files = {file.name for file in image_files(folder)}
    of_stem = {Path(name).stem: name for name in sorted(files)}
    return [
        written if written in files else of_stem.get(str(image_id))
        for image_id, written in zip(truth.catalog.image_ids, truth.catalog.file_names, strict=True)
    ]


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
