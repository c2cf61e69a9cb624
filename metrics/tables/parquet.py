"""Storage of columns as a Parquet file: one column per field, and the catalog in the file's metadata.

For other tools there are two more columns, ``image_id`` and ``class_name``; they are not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.atomic_files import atomic_write_by
from metrics.errors import InputError
from metrics.messages import reason
from metrics.tables.catalog import Catalog

_VERSION = 1
_KEY = b"detbench"
_SIDES = ("x", "y", "w", "h")

_FURTHER = "object:"
"""Before the names of columns that only some tables have."""


def write_columns(
    path: Path,
    kind: str,
    catalog: Catalog,
    columns: Mapping[str, NDArray[Any]],
    further: Mapping[str, NDArray[np.float64]],
) -> None:
    """Write the columns of a table. An existing file is replaced only when the new one is complete.

    Args:
        path: the file.
        kind: ``annotations`` or ``detections``.
        catalog: of the table.
        columns: by the names of the table's fields.
        further: columns that only some tables have, by name.

    Raises:
        MachineError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    values: dict[str, Any] = {
        "image_id": pa.array(catalog.image_ids, None if catalog.image_ids else pa.int64()).take(
            pa.array(columns["image"])
        ),
        "class_name": pa.array(catalog.classes, pa.string()).take(pa.array(columns["label"])),
    }
    for name, column in columns.items():
        if name == "xywh":
            values |= {side: np.ascontiguousarray(column[:, i]) for i, side in enumerate(_SIDES)}
        else:
            values[name] = column
    metadata: dict[str, Any] = {
        "version": _VERSION,
        "kind": kind,
        "image_ids": catalog.image_ids,
        "sizes": catalog.sizes.tolist(),
        "file_names": catalog.file_names,
        "class_ids": catalog.class_ids,
        "classes": catalog.classes,
    }
    values |= {f"{_FURTHER}{name}": column for name, column in further.items()}
    for name in ("image_columns", "image_classes", "class_columns", "class_lists"):
        if further := getattr(catalog, name):
            metadata[name] = further
    table = pa.table(values).replace_schema_metadata({_KEY: json.dumps(metadata).encode()})
    atomic_write_by(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def read_columns(
    path: Path, kind: str, names: Sequence[str]
) -> tuple[Catalog, dict[str, NDArray[Any]], dict[str, NDArray[np.float64]]]:
    """Read a file that `write_columns` wrote: the catalog, the table's columns, and further ones.

    Args:
        path: the file.
        kind: ``annotations`` or ``detections``.
        names: of the table's fields.

    Raises:
        InputError: not such a file, another kind of table, or a newer version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {reason(error)}") from error
    metadata = _read_metadata(table.schema.metadata or {}, kind, path)
    try:
        catalog = Catalog(
            tuple(metadata["image_ids"]),
            np.array(metadata["sizes"], np.int32).reshape(-1, 2),
            tuple(metadata["file_names"]),
            tuple(metadata["class_ids"]),
            tuple(metadata["classes"]),
            {str(name): tuple(column) for name, column in metadata.get("image_columns", {}).items()},
            _lists(metadata, "image_classes"),
            {str(name): tuple(column) for name, column in metadata.get("class_columns", {}).items()},
            _lists(metadata, "class_lists"),
        )
        columns = {
            name: np.stack([table[side].to_numpy() for side in _SIDES], axis=1)
            if name == "xywh"
            else table[name].to_numpy()
            for name in names
        }
    except (AttributeError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: the file is damaged: {reason(error)}") from error
    further = {
        name.removeprefix(_FURTHER): table[name].to_numpy()
        for name in table.column_names
        if name.startswith(_FURTHER)
    }
    return catalog, columns, further


def has_catalog(path: Path) -> bool:
    """Whether `write_columns` wrote a Parquet file; also true for a file that cannot be read, which `read_columns` reports."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _KEY in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        return True


def _lists(metadata: Mapping[str, Any], key: str) -> dict[str, tuple[tuple[int, ...], ...]]:
    return {str(name): tuple(map(tuple, lists)) for name, lists in metadata.get(key, {}).items()}


def _read_metadata(metadata: dict[bytes, bytes], kind: str, path: Path) -> dict[str, Any]:
    if _KEY not in metadata:
        table = {"annotations": "AnnotationTable", "detections": "DetectionTable"}[kind]
        raise InputError(
            f"{path}: has no catalog of images and classes, so another program wrote it; "
            f"read it with pandas and use {table}.from_frame"
        )
    try:
        values: dict[str, Any] = json.loads(metadata[_KEY])
        version, stored = values["version"], values["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: the file's catalog is damaged: {reason(error)}") from error
    if version != _VERSION:
        raise InputError(
            f"{path}: has version {version} of the table format, this program reads {_VERSION}; update it"
        )
    if stored != kind:
        raise InputError(f"{path}: holds {stored}, expected {kind}")
    return values
