"""The record of a run's masks, ``mask_counts.parquet``: pixels of each class in each image, and the files of the label maps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.atomic_files import atomic_write_by
from metrics.errors import InputError
from metrics.mask_counts import MaskCounts
from metrics.messages import reason
from metrics.plurals import plural

_KEY = b"detbench"
_COLUMNS = ("intersection", "truth", "predicted")


@dataclass(frozen=True, eq=False)
class MaskRecord:
    """Label maps of a run.

    Attributes:
        counts: of each image.
        files: name of each image's predicted label map in the run's folder of label maps; empty if it was not saved.
    """

    counts: MaskCounts
    files: tuple[str, ...]

    def select(self, images: Sequence[int] | NDArray[np.intp]) -> MaskRecord:
        """The record of these images, by their indices and in their order."""
        return MaskRecord(self.counts.select(images), tuple(self.files[image] for image in images))


def save_mask_record(path: Path, record: MaskRecord) -> None:
    """Write a Parquet file with a row for each image and class, image by image; classes and files are metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    counts = record.counts
    images, classes = counts.truth.shape
    columns = {
        "image": np.repeat(np.arange(images, dtype=np.int32), classes),
        "class": np.tile(np.arange(classes, dtype=np.int32), images),
        **{name: getattr(counts, name).ravel() for name in _COLUMNS},
        "pixels": np.repeat(counts.pixels, classes),
    }
    metadata = {"mask_counts": 1, "classes": counts.classes, "images": images, "files": record.files}
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(metadata).encode()})
    atomic_write_by(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def load_mask_record(path: Path) -> MaskRecord:
    """Read a file that `save_mask_record` wrote.

    Raises:
        InputError: missing, damaged, or another file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        metadata = json.loads((table.schema.metadata or {})[_KEY])
        images = int(metadata["images"])
        shape = (images, len(metadata["classes"]))
        areas = {name: table[name].to_numpy().reshape(shape).astype(np.int64) for name in _COLUMNS}
        pixels = table["pixels"].to_numpy().reshape(shape)[:, 0].astype(np.int64)
        files = tuple(map(str, metadata.get("files") or [""] * images))
        if len(files) != images:
            raise ValueError(f"{plural(len(files), 'file')} for {plural(images, 'image')}")
        return MaskRecord(MaskCounts(tuple(map(str, metadata["classes"])), **areas, pixels=pixels), files)
    except (KeyError, TypeError, OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a readable file of mask counts ({reason(error)}); run again") from None
