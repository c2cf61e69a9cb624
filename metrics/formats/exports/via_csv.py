"""VGG Image Annotator's CSV table: a region per row, its shape and its attributes as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.formats.csv_rows import header_of, named_rows
from metrics.formats.exports.via import Entry, read_entries
from metrics.formats.image_annotations import Export, ImageAnnotation, file_purpose, find_files, folder_prefix
from metrics.formats.untrusted import parse_json

_SHAPE, _ATTRIBUTES = "region_shape_attributes", "region_attributes"


def _files(path: Path) -> list[Path]:
    return find_files(
        path,
        ".csv",
        ("*.csv", "*/*.csv"),
        lambda file: {"filename", _SHAPE, _ATTRIBUTES} <= set(header_of(file)),
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        regions: dict[str, list[Any]] = {}
        for where, row in named_rows(file, ("filename", _SHAPE, _ATTRIBUTES)):
            of_image = regions.setdefault(row["filename"], [])
            shape = parse_json(row[_SHAPE].encode(), where)
            if shape:
                of_image.append(
                    {
                        "shape_attributes": shape,
                        "region_attributes": parse_json(row[_ATTRIBUTES].encode(), where),
                    }
                )
        folder = folder_prefix(file, root)
        entries: list[Entry] = [
            (f"{file}: {name[:60]}", {"filename": name, "regions": of}) for name, of in regions.items()
        ]
        images += read_entries(entries, file, folder, file_purpose(file, root, files))
    return images


EXPORT = Export(
    name="via_csv",
    summary="VGG Image Annotator: a CSV table of regions",
    source="robots.ox.ac.uk/~vgg/software/via",
    looks_for="a CSV file with filename, region_shape_attributes and region_attributes",
    files=_files,
    read=_read,
    images=("", "images"),
)
