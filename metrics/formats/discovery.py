"""Reading of ground truth and detections from a path in any known format."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metrics.errors import InputError, InputWarning
from metrics.formats import coco
from metrics.formats.box_table import BoxTable, read_csv, read_parquet
from metrics.formats.detection_rows import DetectionSource, find_detection_layout
from metrics.formats.detections import checked, table_of
from metrics.formats.file_listing import (
    refuse_unreadable,
    report_unwrapped,
    top_folder,
    unwrapped,
    visible_files,
)
from metrics.formats.identity import ClassMap, ImageIdMeaning, find_images, match_names
from metrics.formats.image_annotations import Export, ImageAnnotation, export_table, exports
from metrics.formats.image_labels import ImageLabels
from metrics.formats.image_search import ImageSearch
from metrics.formats.image_sizes import image_sizes
from metrics.formats.layouts import find_layouts, voc_folder
from metrics.formats.near_misses import near_miss
from metrics.formats.plausibility import check_annotations
from metrics.formats.repeated_images import check_repeated_names
from metrics.formats.scored_truth import warn_scores
from metrics.formats.voc import Pixels
from metrics.formats.voc_results import find_results, read_results
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.tables import AnnotationTable, Catalog, DetectionTable
from metrics.tables.parquet import has_catalog

_ASSUMED = (1000, 1000)
"""(height, width) of images that are known only by boxes in fractions of their sides."""

_FILES = (".json", ".jsonl", ".csv", ".parquet", ".gz")
"""Endings of files that one path of detections can be."""

KNOWN = (
    "COCO's .json or .json.gz, YOLO's .yaml, a folder with one of these or with Pascal VOC's .xml files, an export of another "
    "tool (docs/formats.md), "
    "or a table as .parquet or .csv"
)


KNOWN_DETECTIONS = (
    "COCO results as .json or .json.gz, a table as .parquet or .csv, a folder with a text file per image or with Pascal VOC's "
    "result files (comp4_det_test_car.txt), or the output of another tool (docs/formats.md)"
)


def read_truth(path: str | Path, split: str | None = None, pixels: Pixels = "inclusive") -> AnnotationTable:
    """Read ground truth.

    Args:
        path: a file or a folder of COCO, Pascal VOC or YOLO, or a table as Parquet or CSV.
        split: of a YOLO data set (by default val, else test, else train), or of ``ImageSets/Main`` of a VOC data set (by
            default all images); other formats have none.
        pixels: convention of VOC coordinates.

    Raises:
        InputError: no such path, unknown format, no such split, or an error of the format's reader.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_dir():
        inner = unwrapped(path)
        report_unwrapped(path, inner)
        return _read_folder(inner, split, pixels)
    kind = _suffix(path)
    export = next((each for each in exports().values() if each.name != "box_csv" and each.files(path)), None)
    if export is not None and not path.name.endswith(".gz"):  # a table of its own is read with all columns
        return _read_export(export, path, [path], split)
    if kind in (".yaml", ".yml", ".data", ".names", ".labels"):
        return _read_yolo(path, split)
    if split is not None:
        raise InputError(
            f"{path}: a single file has no splits; leave out {split!r}, or give the split's own file"
        )
    if kind == ".parquet" and has_catalog(path):
        return AnnotationTable.load(path)
    if kind in (".parquet", ".csv"):
        table = read_csv(path) if kind == ".csv" else read_parquet(path)
        of_tool = exports()["box_csv"]
        if not table.is_plain() and of_tool.files(path):
            return _read_export(of_tool, path, [path], split)
        return _annotations(table)
    if kind == ".json":
        return coco.read_truth(path)
    refuse_unreadable(path)
    advice = near_miss(path)
    raise InputError(f"{path}: unknown kind of file; {advice + '; ' if advice else ''}expected {KNOWN}")


def read_detections(
    path: str | Path,
    truth: AnnotationTable,
    class_map: ClassMap | None = None,
    image_ids: ImageIdMeaning = "ids",
    split: str | None = None,
    pixels: Pixels = "inclusive",
) -> DetectionTable:
    """Read detections: COCO results, a table as Parquet or CSV, Pascal VOC's result files, or a layout of
    `metrics.formats.detection_layouts`.

    Args:
        path: a file, or a folder of text files.
        truth: ground truth of the same data set.
        class_map: from class ids of the file to those of the ground truth; see `metrics.formats.identity`.
        image_ids: what integers in ``image_id`` are.
        split: of VOC's files, where there are those of several.
        pixels: convention of VOC coordinates.

    Raises:
        InputError: no such file, unknown format, or an error of the format's reader.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    found = find_results(path, split) if path.is_dir() or path.suffix == ".txt" else None
    if found is not None:
        results = read_results(found, truth.catalog, class_map, pixels)
        return table_of(results, truth, str(path), class_map, image_ids)
    kind = _suffix(path)
    if kind == ".parquet" and has_catalog(path):
        return checked(_on_catalog(DetectionTable.load(path), truth.catalog, str(path)), truth, str(path))
    layout = find_detection_layout(path)
    source: DetectionSource
    if layout is not None:
        source = layout.read(path, truth)
    elif path.is_dir():
        refuse_unreadable(path)
        inside = [file for ending in _FILES for file in visible_files(path, f"*{ending}")]
        if len(inside) == 1:
            text = f"{path}: has one file of detections, {inside[0].name}, which is read"
            report(Note("inner_file", text, str(path)))
            return read_detections(inside[0], truth, class_map, image_ids, split, pixels)
        hint = f"; give the path of one of {', '.join(file.name for file in inside[:8])}" if inside else ""
        raise InputError(f"{path}: no detections found in this folder; expected {KNOWN_DETECTIONS}{hint}")
    elif kind in (".parquet", ".csv"):
        source = read_csv(path) if kind == ".csv" else read_parquet(path)
    elif kind in (".json", ".jsonl"):
        return coco.read_detections(path, truth, class_map, image_ids)
    else:
        refuse_unreadable(path)
        raise InputError(f"{path}: unknown kind of file; expected {KNOWN_DETECTIONS}")
    return table_of(source.results(truth.catalog, class_map), truth, str(path), class_map, image_ids)


def _annotations(table: BoxTable) -> AnnotationTable:
    frame = table.annotations()
    try:
        annotations = AnnotationTable.from_frame(frame)
    except InputError as error:
        raise InputError(f"{table.where}: {error}") from error
    if "score" in table.columns:
        warn_scores(table.numbers("score"), table.where)
    check_annotations(annotations, table.where)
    return annotations


def _suffix(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).suffix.lower()


def _read_folder(path: Path, split: str | None, pixels: Pixels) -> AnnotationTable:
    layouts = find_layouts(path)
    if not layouts:
        refuse_unreadable(path)
        advice = near_miss(path)
        raise InputError(f"{path}: no annotations found; {advice + '; ' if advice else ''}expected {KNOWN}")
    layout, *others = layouts
    files = layout.files(path)
    if others:
        names = " and ".join(other.name for other in others)
        warnings.warn(
            f"{path}: read as {layout.name}; it also holds {names}: give the path of its files to read them",
            InputWarning,
            stacklevel=3,
        )
    if layout.name == "voc":
        return _read_voc(voc_folder(path), files, split, pixels)
    if layout.name == "yolo":
        return _read_yolo(files[0], split)
    if layout.name in exports():
        return _read_export(exports()[layout.name], path, files, split)
    if len(files) > 1 or split is not None:
        names = ", ".join(str(file.relative_to(path)) for file in files)
        raise InputError(f"{path}: a folder of COCO files; give the path of one of {names}")
    return coco.read_truth(files[0])


def _read_export(export: Export, path: Path, files: Sequence[Path], split: str | None) -> AnnotationTable:
    labels = _image_labels(export, path, files)
    images = export.annotations(path, files)
    images = _in_pixels(images + labels.images_without_boxes(images), path)
    purposes = [purpose for purpose in dict.fromkeys(image.purpose for image in images) if purpose]
    chosen = split or next((name for name in ("val", "test", "train") if name in purposes), None)
    if chosen is not None and chosen not in purposes:
        raise InputError(
            f"{path}: no split {chosen!r}; it has {', '.join(purposes) or 'none; leave out --split'}"
        )
    classes = sorted(labels.classes | {box.label for image in images for box in image.boxes if box.label})
    images = [image for image in images if image.purpose == chosen]
    check_repeated_names([image.stem for image in images if image.stem], path)
    table, order = export_table(images, str(path), classes)
    return labels.add_to(table, [images[index].stem for index in order]) if labels.classes else table


def _image_labels(export: Export, path: Path, files: Sequence[Path]) -> ImageLabels:
    """What a layout tells of images and classes beside boxes; only Open Images does."""
    from metrics.formats.exports import open_images

    return open_images.image_labels(path, files) if export is open_images.EXPORT else ImageLabels()


def _in_pixels(images: list[ImageAnnotation], path: Path) -> list[ImageAnnotation]:
    """Images whose boxes are in pixels: relative ones by the sizes of files beneath the path, or else assumed."""
    relative = [image for image in images if image.relative]
    if not relative:
        return images
    search = ImageSearch(top_folder(path))
    found = [
        search.find_other_suffix(image.stem, str(path))
        if image.stem
        else search.find_likely(image.name, str(path))
        for image in relative
    ]
    if any(found) and not all(found):
        missing = relative[found.index(None)]
        raise InputError(
            f"{path}: {missing.unit}, and image {missing.stem or missing.name!r} is not there; add it, or remove its rows"
        )
    if not any(found) and relative[0].needs_image:
        first = relative[0]
        raise InputError(
            f"{path}: {first.unit}, and image {first.stem or first.name!r} is not there; add the images"
        )
    if not any(found):
        height, width = _ASSUMED
        text = (
            f"{path}: boxes are fractions of the sides of images that are not there; all are taken for {width} x {height} "
            f"pixels, which changes only numbers that depend on the area of objects"
        )
        report(Note("assumed_sizes", text, str(path), {"images": len(relative)}), InputWarning)
    sizes = (
        image_sizes([file for file in found if file]) if any(found) else np.tile(_ASSUMED, (len(relative), 1))
    )
    of = {id(image): (int(h), int(w)) for image, (h, w) in zip(relative, sizes.tolist(), strict=True)}
    return [image.in_pixels(of.get(id(image), (0, 0))) for image in images]


def _read_yolo(path: Path, split: str | None) -> AnnotationTable:
    from metrics.formats import yolo
    from metrics.formats.yolo_description import read_description
    from metrics.formats.yolo_labels import find_labels

    description = read_description(path)
    splits = description.splits
    name = split or next(name for name in ("val", "test", "train", None) if name in splits)
    if name not in splits:
        has = ", ".join(filter(None, splits)) or "none; leave out --split"
        raise InputError(f"{path}: no split {name!r}; it has {has}")
    labels = find_labels(splits.values(), (description.root, description.beside))
    return yolo.read_truth(
        splits[name], image_sizes(splits[name]), description.names, labels, description.keypoints
    )


def _read_voc(root: Path, files: Sequence[Path], split: str | None, pixels: Pixels) -> AnnotationTable:
    from metrics.formats import voc
    from metrics.formats.voc_splits import find_parts, listed_names

    files = voc.without_turned_twins(files)
    whole = voc.read_truth(
        files, pixels=pixels
    )  # classes of the whole data set: a rare class may be absent from a split
    if split is None:
        check_repeated_names([file.relative_to(root).with_suffix("").as_posix() for file in files], root)
        return whole
    ids = voc.image_ids(list(files))
    listed = root / "ImageSets" / "Main" / f"{split}.txt"
    if listed.exists():
        names = listed_names(listed, {identity: file for file, identity in ids.items()})
        missing = set(names) - set(ids.values())
        if missing:
            raise InputError(
                f"{listed}: {plural(len(missing), 'image has', 'images have')} no annotation in {files[0].parent}: {min(missing)}"
            )
    else:
        parts = {part.purpose: part for part in find_parts(root, files) if part.purpose}
        if split not in parts:
            known = sorted({file.stem for file in listed.parent.glob("*.txt")} | set(parts))
            raise InputError(f"{listed}: no such split; there are {', '.join(known) or 'none'}")
        names = [ids[file] for file in parts[split].files]
    return whole.select(np.isin(np.array(whole.catalog.image_ids), sorted(names)))


def _on_catalog(table: DetectionTable, catalog: Catalog, where: str) -> DetectionTable:
    """The same detections on the catalog of the ground truth, by image id and class name."""
    if table.catalog == catalog:
        return table
    used = np.unique(table.label).tolist()
    own = table.catalog
    fix = "evaluate it with the ground truth that it was made for"
    labels = match_names({own.class_ids[label]: own.classes[label] for label in used}, catalog, where, fix)
    label = np.zeros(len(own.classes), np.int32)
    label[used] = [labels[own.class_ids[each]] for each in used]
    ids = [own.image_ids[i] for i in table.image.tolist()]
    return DetectionTable(
        catalog, find_images(ids, catalog, where), label[table.label], table.xywh, table.score
    )
