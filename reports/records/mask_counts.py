"""The record of a run's masks: pixels of each class in each image, in ``mask_counts.parquet``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from metrics.atomic_files import atomic_write_by
from metrics.errors import InputError
from metrics.mask_counts import MaskCounts
from metrics.messages import reason

_KEY = b"detbench"
_COLUMNS = ("intersection", "truth", "predicted")


def save_mask_counts(path: Path, counts: MaskCounts) -> None:
    """Write a Parquet file with a row for each image and class, image by image; the names of the classes are metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    images, classes = counts.truth.shape
    columns = {
        "image": np.repeat(np.arange(images, dtype=np.int32), classes),
        "class": np.tile(np.arange(classes, dtype=np.int32), images),
        **{name: getattr(counts, name).ravel() for name in _COLUMNS},
        "pixels": np.repeat(counts.pixels, classes),
    }
    metadata = {"mask_counts": 1, "classes": counts.classes, "images": images}
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(metadata).encode()})
    atomic_write_by(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def load_mask_counts(path: Path) -> MaskCounts:
    """Read a file that `save_mask_counts` wrote.

    Raises:
        InputError: missing, damaged, or another file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        metadata = json.loads((table.schema.metadata or {})[_KEY])
        shape = (int(metadata["images"]), len(metadata["classes"]))
        areas = {name: table[name].to_numpy().reshape(shape).astype(np.int64) for name in _COLUMNS}
        pixels = table["pixels"].to_numpy().reshape(shape)[:, 0].astype(np.int64)
        return MaskCounts(tuple(map(str, metadata["classes"])), **areas, pixels=pixels)
    except (KeyError, TypeError, OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a readable file of mask counts ({reason(error)}); run again") from None
