"""Record of an exported detector, which is stored in its ONNX file: how images enter it, and how its outputs are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from detectors.candidates import CandidatesConfig
from detectors.components import ComponentsConfig
from detectors.config import Config
from detectors.nms import NMSConfig
from metrics.errors import InputError

KEY = "detbench"
"""Name of the record in the metadata of an ONNX file."""

FORMAT: Literal[1] = 1
"""Version of `ExportRecord` and of the graph's outputs; incremented when the meaning of either changes."""

Outputs = Literal["candidates", "detections", "probabilities"]


class CompressionFacts(Config):
    """How a file was made smaller or faster than the exported network."""

    method: str
    """Of compression: ``int8``."""
    operators: str = ""
    """Name of the set of operators that it applies to; see `detectors.compression.operator_sets`."""
    images: Annotated[int, Field(ge=0)] = 0
    """Number of training images on which ranges of activations were measured."""
    seconds: Annotated[float, Field(ge=0)] = 0.0
    """Wall-clock time of measuring the ranges."""


class ExportRecord(Config):
    """What a reader of an exported file needs to know. Input: ``images`` (B, 3, H, W) float32, RGB in [0, 1].

    The network's normalisation is part of the graph.
    """

    format: Literal[1] = FORMAT
    outputs: Outputs
    """`candidates`: ``boxes`` (B, A, 4), or (B, A, C, 4) where each class has its own, xyxy in pixels of the input, and
    ``scores`` (B, A, C), both before NMS. `detections`: ``boxes`` (B, D, 4), ``scores`` (B, D) and ``labels`` (B, D) int64 after
    NMS, by decreasing score, padded with label -1. `probabilities`: ``probabilities`` (B, 1 + C, H, W) of background and each
    class, whose connected components are the detections."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of their labels."""
    size: tuple[int, int]
    """(height, width) of the input."""
    any_size: bool = False
    """Whether the input may have another size; `size` is that of the run."""
    resize: Literal["letterbox", "stretch"]
    """How an image gets the size of the input: `letterbox` keeps the aspect ratio and pads on both sides, `stretch` does not."""
    fill: int
    """Grey value of the padding, 0 to 255."""
    levels: tuple[int, ...] = ()
    """candidates: number of priors of each level at `size`; they sum to A. With `any_size`, the output ``levels`` has them."""
    candidates: CandidatesConfig | None = None
    """Selection of candidates before NMS."""
    nms: NMSConfig
    """NMS: to be applied to candidates, or applied to detections."""
    components: ComponentsConfig | None = None
    """probabilities: which connected components are detections."""
    variant: str
    run: str = ""
    """Name of the exported run."""
    weights: str = ""
    """SHA-256 of the run's weights, as hex digits."""
    parameters: int = Field(ge=0)
    """Number of parameters of the network."""
    version: str = ""
    """Version of detbench that wrote the file."""
    compression: CompressionFacts | None = None
    """None for the network as it was trained."""


def read_record(metadata: Mapping[str, str], origin: str) -> ExportRecord | None:
    """The record in the metadata of an ONNX file; None if detbench did not export it.

    Args:
        metadata: of the file.
        origin: name of the file in error messages.

    Raises:
        InputError: the record is of an unknown version, or damaged.
    """
    if KEY not in metadata:
        return None
    try:
        return ExportRecord.model_validate_json(metadata[KEY])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "not JSON"
        raise InputError(
            f"{origin}: the record of its export cannot be read ({where}: {first['msg']}); export again with this version, or use the "
            "version that wrote it"
        ) from None
