"""Candidates of a split before NMS, stored so that NMS can be repeated with other settings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.pipeline.placement import Placement
from detectors.suppression import CandidateRows
from detectors.types import Detections
from metrics.atomic_files import atomic_write_by
from metrics.errors import InputError
from metrics.messages import reason
from metrics.tables import Catalog


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Candidates of each image before NMS, by decreasing score.

    Boxes are in pixels of the network's input, as NMS needs them, because stretching an image changes the IoU of its
    boxes. `placement` transforms boxes to the original images.

    Attributes:
        catalog: the images and classes.
        image: (N,) int32 index into the catalog's images; rows of one image are together, in the catalog's order.
        label: (N,) int32.
        score: (N,) float32.
        boxes: (N, 4) float32 xyxy.
        scale, offset: (I, 2) float64, see `bench.pipeline.placement.Placement`, for each image of the catalog.
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
        """Position of every image of the catalog in the network's input."""
        return Placement(*(torch.from_numpy(array) for array in (self.scale, self.offset, self.sizes)))

    @property
    def rows(self) -> CandidateRows:
        """The candidates as `detectors.suppression.suppress` takes them."""
        return CandidateRows(self.image, self.label, self.score, self.boxes, len(self.sizes))

    def of(self, index: int) -> Detections:
        """The candidates of one image."""
        rows = slice(*np.searchsorted(self.image, [index, index + 1]))
        return Detections(
            torch.from_numpy(self.boxes[rows]),
            torch.from_numpy(self.score[rows]),
            torch.from_numpy(self.label[rows].astype(np.int64)),
        )

    def select(self, rows: NDArray[np.intp]) -> Candidates:
        """Some candidates, by their rising indices."""
        columns = (self.image[rows], self.label[rows], self.score[rows], self.boxes[rows])
        return Candidates(self.catalog, *columns, self.scale, self.offset, self.sizes)

    def save(self, path: Path) -> None:
        """Write a Parquet file; catalog and placement are in its metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        catalog = self.catalog
        metadata = {
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
        table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(metadata).encode()})
        atomic_write_by(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))

    @classmethod
    def load(cls, path: Path) -> Candidates:
        """Read a file that `save` wrote.

        Raises:
            InputError: missing, damaged, or not a file of candidates.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path)
            metadata = json.loads((table.schema.metadata or {})[_KEY])
            column = {name: table[name].to_numpy().copy() for name in ("image", "label", "score", *_CORNERS)}
        except (KeyError, OSError, ValueError, pa.ArrowException) as error:
            raise InputError(
                f"{path}: not a readable file of candidates ({reason(error)}); evaluate again with --set evaluate.save_candidates=true"
            ) from None
        catalog = Catalog(
            tuple(metadata["image_ids"]),
            np.array(metadata["catalog_sizes"], dtype=np.int32).reshape(-1, 2),
            tuple(metadata["file_names"]),
            tuple(metadata["class_ids"]),
            tuple(metadata["classes"]),
        )
        return cls(
            catalog,
            column["image"],
            column["label"],
            column["score"],
            np.stack([column[name] for name in _CORNERS], axis=1),
            np.array(metadata["scale"], dtype=np.float64).reshape(-1, 2),
            np.array(metadata["offset"], dtype=np.float64).reshape(-1, 2),
            np.array(metadata["sizes"], dtype=np.int64).reshape(-1, 2),
        )


_CORNERS = ("x1", "y1", "x2", "y2")
_KEY = b"detbench"
