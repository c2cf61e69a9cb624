"""The exports of `metrics.formats.exports` as data set formats: annotations of one file or many, images found by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.data.annotated_images import AnnotatedImages
from bench.data.checks import read_headers, report_unreadable
from bench.data.folder_options import FolderOptions
from bench.data.split_folders import split_folders
from bench.data.types import DATASETS, DatasetFormat
from bench.data.unannotated import report_unannotated
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import Export, ImageAnnotation, export_table, exports
from metrics.formats.image_paths import find_annotated, find_image_files
from metrics.formats.layouts import export_layout
from metrics.real_path import real_path


class ExportOptions(FolderOptions):
    """Options of annotations in the layout of another tool."""


def register_exports() -> None:
    """Register a data set format for each export."""
    for name, export in exports().items():
        DATASETS.register(
            name,
            DatasetFormat(
                name=name,
                summary=export.summary,
                source=export.source,
                options=ExportOptions,
                read=_reader(export),
                layout=export_layout(export),
            ),
        )


def _reader(export: Export) -> Callable[[Path, Sequence[Path], ExportOptions], list[AnnotatedImages]]:
    def read_export(path: Path, files: Sequence[Path], options: ExportOptions) -> list[AnnotatedImages]:
        images = export.annotations(path, files)
        classes = sorted({box.label for image in images for box in image.boxes if box.label})
        parts = [
            _part(
                [image for image in images if image.purpose == purpose], classes, path, files, export, options
            )
            for purpose in dict.fromkeys(image.purpose for image in images)
        ]
        report_unannotated(path, parts)
        return parts

    return read_export


def _part(
    images: Sequence[ImageAnnotation],
    classes: Sequence[str],
    path: Path,
    files: Sequence[Path],
    export: Export,
    options: ExportOptions,
) -> AnnotatedImages:
    root = top_folder(path)
    what = images[0].purpose or export.name
    if options.images is not None:
        root = Path(options.images)
        folders = [root]
    else:
        near = (*(file.parent for file in files[:100]), *(file.parent.parent for file in files[:1]))
        if images[0].purpose is not None and images[0].stem:
            # Folders of other splits may have images of the same names.
            near = tuple(dict.fromkeys((root / image.stem).parent for image in images))
        bases = dict.fromkeys((root, *(folder for folder in near if folder.is_relative_to(root))))
        own = [folder for base in bases for folder in split_folders(base, images[0].purpose)]
        folders = [*own, *(base / name for base in bases for name in export.images)]
    if any(image.stem for image in images):
        paths = find_annotated([(image.stem, image.name) for image in images], [*folders, root], what)
    else:
        paths = find_image_files([image.name for image in images], folders, root, what)
    if any(image.relative for image in images):
        headers, problems = read_headers(paths, options.model_copy(update={"check": "header"}))
        report_unreadable(problems, len(paths), what, options)
        readable = [k for k, header in enumerate(headers) if header is not None]
        sizes = [header.upright for header in headers if header is not None]
        images = [images[k].in_pixels(size) for k, size in zip(readable, sizes, strict=True)]
        paths = tuple(paths[k] for k in readable)
    truth, order = export_table(images, str(path), classes)
    top = real_path(root)
    paths = tuple(paths[k] for k in order)
    names = tuple(str(file.relative_to(top)) if file.is_relative_to(top) else file.name for file in paths)
    truth = replace(truth, catalog=replace(truth.catalog, file_names=names))
    return AnnotatedImages(images[0].purpose, truth, paths)
