"""Tables as Parquet files: one column per field, the catalog in the file's metadata."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, MachineError
from metrics.tables.table import Catalog, Table

Kind = TypeVar("Kind", bound=Table)

_VERSION = 1
_KEY = b"detbench"
_SIDES = ("x", "y", "w", "h")


def write_table(table: Table, path: Path) -> None:
    """Write `table`; see `metrics.tables`. A file of that name is replaced only when the new one is whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, NDArray[Any]] = {}
    for field in fields(table)[1:]:
        column = getattr(table, field.name)
        if field.name == "xywh":
            columns |= {side: np.ascontiguousarray(column[:, i]) for i, side in enumerate(_SIDES)}
        else:
            columns[field.name] = column
    catalog = table.catalog
    about: dict[str, Any] = {
        "version": _VERSION,
        "kind": table.kind,
        "image_ids": catalog.image_ids,
        "sizes": catalog.sizes.tolist(),
        "file_names": catalog.file_names,
        "class_ids": catalog.class_ids,
        "classes": catalog.classes,
    }
    if catalog.image_columns:
        about["image_columns"] = catalog.image_columns
    rows = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about).encode()})
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(rows, unfinished, compression="zstd")
        unfinished.replace(path)
    except OSError as error:
        raise MachineError(f"{path}: cannot be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def read_table(kind: type[Kind], path: Path) -> Kind:
    """Read what `write_table` wrote, as a table of class `kind`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet: {error}") from error
    about = _about(rows.schema.metadata or {}, kind, path)
    try:
        catalog = Catalog(
            tuple(about["image_ids"]),
            np.array(about["sizes"], np.int32).reshape(-1, 2),
            tuple(about["file_names"]),
            tuple(about["class_ids"]),
            tuple(about["classes"]),
            {str(name): tuple(column) for name, column in about.get("image_columns", {}).items()},
        )
        columns = {
            field.name: np.stack([rows[side].to_numpy() for side in _SIDES], axis=1)
            if field.name == "xywh"
            else rows[field.name].to_numpy()
            for field in fields(kind)[1:]
        }
    except (AttributeError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: the file is damaged: {error}") from error
    return kind(catalog, **columns)


def _about(metadata: dict[bytes, bytes], kind: type[Table], path: Path) -> dict[str, Any]:
    if _KEY not in metadata:
        raise InputError(
            f"{path}: has no catalog of images and classes, so another program wrote it; "
            f"read it with pandas and use {kind.__name__}.from_frame"
        )
    try:
        about: dict[str, Any] = json.loads(metadata[_KEY])
        version, found = about["version"], about["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: the file's catalog is damaged: {error}") from error
    if version != _VERSION:
        raise InputError(
            f"{path}: has version {version} of the table format, this program reads {_VERSION}; update it"
        )
    if found != kind.kind:
        raise InputError(f"{path}: holds {found}, expected {kind.kind}")
    return about
