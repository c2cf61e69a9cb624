"""Label Studio's CSV: a row for each annotated task, whose regions are JSON in the column of the control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.csv_rows import header_of, named_rows
from metrics.formats.exports.label_studio import read_task
from metrics.formats.image_annotations import (
    Export,
    ImageAnnotation,
    file_purpose,
    find_files,
    report_left_out,
)
from metrics.formats.untrusted import parse_json

_COLUMNS = frozenset(("annotation_id", "annotator", "id"))


def _files(path: Path) -> list[Path]:
    return find_files(path, ".csv", ("*.csv", "*/*.csv"), lambda file: set(header_of(file)) >= _COLUMNS)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    images: dict[tuple[Path, str], ImageAnnotation] = {}
    for file in files:
        purpose = file_purpose(file, root, files)
        for place, row in named_rows(file, sorted(_COLUMNS)):
            task = {name: _value(value, f"{place}: {name}") for name, value in row.items()}
            if (file, row["id"]) in images:
                left_out["annotations after the first of a task, which is used"] += 1
                continue
            image = read_task(task, place, left_out, purpose)
            if image is not None:
                images[file, row["id"]] = image
    if not images:
        raise InputError(f"{root}: has no rows; export the project again as CSV")
    report_left_out(left_out, str(root))
    return list(images.values())


def _value(text: str, where: str) -> Any:
    """Regions of a column with JSON; other text as it is."""
    if not text.lstrip().startswith("[{"):
        return text
    return parse_json(text.encode(), where)


EXPORT = Export(
    name="label_studio_csv",
    summary="Label Studio's CSV: tasks whose regions are JSON in a column",
    source="labelstud.io/guide/export",
    looks_for="a CSV file with the columns id, annotation_id and annotator",
    files=_files,
    read=_read,
    images=("images", "upload", ""),
)
