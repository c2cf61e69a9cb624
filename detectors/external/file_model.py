"""A model in a file, computed by another runtime: what evaluation needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from metrics.errors import InputError

if TYPE_CHECKING:  # settings import this module, without torch
    from torch import Tensor

    from detectors.types import Detections

Resize = Literal["letterbox", "corner", "stretch"]
"""How an image gets the size of a network's input: `letterbox` keeps the aspect ratio and pads on both sides, `corner` pads at
the right and bottom, `stretch` changes the aspect ratio."""


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """How an image becomes the input of a network of a fixed size.

    Attributes:
        size: (height, width) in pixels.
        resize: see `Resize`.
        fill: grey value of the padding, 0 to 255.
        antialias: whether images are filtered when they are made smaller.
    """

    size: tuple[int, int]
    resize: Resize
    fill: int
    antialias: bool = True


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file, and what computes it.

    Attributes:
        name: of the file, without folders.
        sha256: of the file, as hex digits.
        size_bytes: of the file.
        convention: whose outputs it has: ``detbench``, ``ultralytics``, ...
        runtime: name and version of the program that computes it.
        provider: execution provider or device.
        precision: of the computation.
        threads: CPU threads.
        parameters: number of stored numbers of its layers.
        run: name of the exported run; empty if it was not exported by detbench.
        compression: how it was made smaller or faster than the exported network, such as ``int8 (conv)``; empty if it was not.
        compression_images: number of training images that this took.
        compression_seconds: wall-clock time that this took.
    """

    name: str
    sha256: str
    size_bytes: int
    convention: str
    runtime: str
    provider: str
    precision: str
    threads: int
    parameters: int
    run: str = ""
    compression: str = ""
    compression_images: int = 0
    compression_seconds: float = 0.0


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
        import torch.nn.functional as F

        padding = (0, width - size[1], 0, height - size[0])
        return F.pad(images, padding, value=self.network_input.fill / 255)

    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1]."""
        raise NotImplementedError
