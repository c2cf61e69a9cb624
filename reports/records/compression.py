"""The record of a compression: every candidate with its numbers on validation images, and the one that was chosen."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from reports.records.json_record import FiniteOrNone, FrozenModel, Record

SCHEMA_VERSION: Literal[1] = 1
"""Version of `CompressionRecord`; incremented when the meaning of a field changes."""

ORIGINAL = "float"
"""Name of the candidate that is the exported network itself, which is shown for comparison and never chosen."""


class CandidateFacts(FrozenModel):
    """One way to compress a network, measured on validation images."""

    name: str
    """Of its set of operators, or `ORIGINAL`."""
    summary: str
    """What it contains, in words."""
    operators: int = Field(ge=0)
    """Number of operators that are quantised."""
    ap: FiniteOrNone
    """AP on the validation images, as a fraction."""
    latency_ms: float = Field(gt=0)
    """Median milliseconds of the graph for one image, without reading, resizing and NMS; candidates were timed in turn."""
    size_bytes: int = Field(ge=0)
    """Of its file."""
    sha256: str
    """Of its file, as hex digits."""


class CompressionRecord(Record):
    """How a compressed file was made of a run. In JSON every number is finite; null means "not defined"."""

    KIND: ClassVar = "record of a compression"
    REMEDY: ClassVar = "compress again"

    schema_version: Literal[1] = SCHEMA_VERSION
    run: str
    """Name of the run."""
    method: str
    """``int8``."""
    cause: str
    """Digest of everything that the file depends on: weights, images, settings, versions."""
    chosen: str
    """Name of the candidate in the file."""
    calibration_images: int = Field(ge=0)
    """Number of training images on which ranges of activations were measured."""
    calibration_seconds: float = Field(ge=0)
    """Wall-clock time of measuring the ranges."""
    validation_images: int = Field(ge=1)
    tolerance: float = Field(ge=0)
    """Candidates that are slower than the fastest by at most this share were considered."""
    max_drop: float = Field(ge=0)
    """Candidates whose AP is lower than the network's by more than this were not considered, if there were others."""
    threads: int = Field(ge=1)
    """CPU threads of the timing."""
    candidates: tuple[CandidateFacts, ...]
    """The network itself first, then in the order of their names' definition."""

    @property
    def original(self) -> CandidateFacts:
        """The exported network."""
        return next(each for each in self.candidates if each.name == ORIGINAL)

    @property
    def winner(self) -> CandidateFacts:
        """The chosen candidate."""
        return next(each for each in self.candidates if each.name == self.chosen)
