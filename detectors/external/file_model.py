"""A model in a file, computed by another runtime: what evaluation needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from detectors.external.network_input import NetworkInput
from detectors.external.onnx_models.graph_file import GraphFile
from detectors.external.onnx_models.runtimes import RuntimeFacts
from detectors.graph.record import ExportRecord
from detectors.types import Detections
from metrics.errors import InputError


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file, and what computes it.

    Attributes:
        graph: the file.
        runtime: what computes it.
        convention: whose outputs it has: ``detbench``, ``ultralytics``, ...
        export: the record of an exported run; None for a file that was not exported by detbench.
    """

    graph: GraphFile
    runtime: RuntimeFacts
    convention: str
    export: ExportRecord | None = None

    @property
    def name(self) -> str:
        """Name of the file, without folders."""
        return self.graph.path.name

    @property
    def parameters(self) -> int:
        """Number of stored numbers of its layers, as of the exported network if it is known."""
        return self.graph.parameters if self.export is None else self.export.parameters


class FileModel:
    """Base of predictors of files; a `detectors.types.Predictor`.

    Args:
        file: what it is.
        network_input: of the images that `predict` takes; None for single images of any size.
    """

    def __init__(self, file: ModelFile, network_input: NetworkInput | None) -> None:
        self.file = file
        self.network_input = network_input

    def fitted(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) images of the size of the input; smaller ones, as at the borders of tiles, are padded at the right and bottom.

        Raises:
            InputError: they are larger than the input.
        """
        size = (images.shape[2], images.shape[3])
        if self.network_input is None or size == self.network_input.size:
            return images
        height, width = self.network_input.size
        if size[0] > height or size[1] > width:
            raise InputError(
                f"{self.file.name}: its input is {height}x{width}, got {size[0]}x{size[1]}; give images of at most that size, with "
                f"tiles evaluate.tile={height},{width}"
            )
        padding = (0, width - size[1], 0, height - size[0])
        return F.pad(images, padding, value=self.network_input.fill / 255)

    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1]."""
        raise NotImplementedError
