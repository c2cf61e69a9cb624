"""A JSON list of flat objects, one per box: supervision's ``JSONSink``, and pandas' ``to_json(orient="records")``."""

from __future__ import annotations

import json
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.box_columns import COLUMN_NAMES
from metrics.formats.box_table import BoxTable, named_columns
from metrics.formats.detection_rows import DetectionLayout
from metrics.formats.records import records
from metrics.formats.untrusted import read_head, read_json
from metrics.tables import AnnotationTable

_CORNERS = tuple(f'"{name}"'.encode() for name in COLUMN_NAMES["x1"])


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    first = read_head(path, 4096)
    return first.startswith(b"[") and any(
        first.split(b"}")[0].count(b"{") == 1 and name in first.split(b"}")[0] for name in _CORNERS
    )


def _read(path: Path, truth: AnnotationTable) -> BoxTable:
    import pyarrow as pa

    found = records(read_json(path), str(path))
    keys = list(dict.fromkeys(key for row in found for key in row))
    columns = {key: [_text(row.get(key)) for row in found] for key in keys}
    table = BoxTable(str(path), named_columns(pa.table(columns)), 0, "[{}]")
    if "image_id" not in table.columns:
        raise InputError(
            f"{path}: no column for the image; it has {', '.join(keys)[:200]}: add file_name to each row (in supervision "
            f"sink.append(detections, custom_data={{'file_name': name}}))"
        )
    return table


def _text(value: object) -> str | None:
    return (
        None
        if value is None
        else json.dumps(value)
        if isinstance(value, float | bool | dict | list)
        else str(value)
    )


LAYOUT = DetectionLayout(
    name="flat_json",
    summary="a JSON list of flat objects with corners (supervision's JSONSink, pandas)",
    source="supervision.roboflow.com/latest/detection/tools/save_detections",
    is_ours=_is_ours,
    read=_read,
)
