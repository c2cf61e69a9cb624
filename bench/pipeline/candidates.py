"""What a detector found before suppression, kept so that it can be suppressed again with other settings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.pipeline.loader import Placement
from detectors.types import Detections
from metrics.errors import InputError
from metrics.tables import Catalog
from reports.records.atomic_files import atomic_write_by


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a detector found in each image before suppression, the surest first.

    Boxes are in pixels of the network's input, where suppression takes place; stretching an image changes the
    overlap of its boxes. `placement` brings what is left back to the original images.

    Attributes:
        catalog: the images and classes.
        image: (N,) int32 index into the catalog's images; rows of one image are together, in the catalog's order.
        label: (N,) int32.
        score: (N,) float32.
        boxes: (N, 4) float32 xyxy.
        scale, offset: (I, 2) float64, as in `bench.pipeline.loader.Placement`, for each image of the catalog.
        sizes: (I, 2) int64 (height, width) of each image.
    """

    catalog: Catalog
    image: NDArray[np.int32]
    label: NDArray[np.int32]
    score: NDArray[np.float32]
    boxes: NDArray[np.float32]
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    sizes: NDArray[np.int64]

    @property
    def placement(self) -> Placement:
        """From the network's input to the original, for all images of the catalog."""
        return Placement(*(torch.from_numpy(array) for array in (self.scale, self.offset, self.sizes)))

    def of(self, index: int) -> Detections:
        """The candidates of one image."""
        rows = slice(*np.searchsorted(self.image, [index, index + 1]))
        return Detections(
            torch.from_numpy(self.boxes[rows]),
            torch.from_numpy(self.score[rows]),
            torch.from_numpy(self.label[rows].astype(np.int64)),
        )

    def save(self, path: Path) -> None:
        """Write them as Parquet; catalog and placement are in the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        catalog = self.catalog
        about = {
            "candidates": 1,
            "image_ids": catalog.image_ids,
            "file_names": catalog.file_names,
            "class_ids": catalog.class_ids,
            "classes": catalog.classes,
            "sizes": self.sizes.tolist(),
            "catalog_sizes": catalog.sizes.tolist(),
            "scale": self.scale.tolist(),
            "offset": self.offset.tolist(),
        }
        columns = {"image": self.image, "label": self.label, "score": self.score}
        columns |= {name: self.boxes[:, k] for k, name in enumerate(_CORNERS)}
        table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about).encode()})
        atomic_write_by(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))

    @classmethod
    def load(cls, path: Path) -> Candidates:
        """Read what `save` wrote.

        Raises:
            InputError: not such a file.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            about = json.loads((table.schema.metadata or {})[_KEY])
            column = {name: table[name].to_numpy().copy() for name in ("image", "label", "score", *_CORNERS)}
        except (KeyError, OSError, ValueError, pa.ArrowException) as error:
            raise InputError(
                f"{path}: no file of candidates ({error}); evaluate again with candidates saved"
            ) from None
        catalog = Catalog(
            tuple(about["image_ids"]),
            np.array(about["catalog_sizes"], dtype=np.int32).reshape(-1, 2),
            tuple(about["file_names"]),
            tuple(about["class_ids"]),
            tuple(about["classes"]),
        )
        return cls(
            catalog,
            column["image"],
            column["label"],
            column["score"],
            np.stack([column[name] for name in _CORNERS], axis=1),
            np.array(about["scale"], dtype=np.float64).reshape(-1, 2),
            np.array(about["offset"], dtype=np.float64).reshape(-1, 2),
            np.array(about["sizes"], dtype=np.int64).reshape(-1, 2),
        )


_CORNERS = ("x1", "y1", "x2", "y2")
_KEY = b"detbench"
