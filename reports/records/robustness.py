"""The record of a run's robustness: its AP on corrupted and shifted images, in ``robustness.json`` of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from metrics.atomic_files import atomic_write
from reports.records.json_record import FiniteOrNone, FrozenModel, Record

FILE = "robustness.json"


class CorruptedValue(FrozenModel):
    """A run on images with one corruption."""

    corruption: str
    severity: int = Field(ge=0, le=5)
    """From 1 to 5; 0 is clean."""
    ap: FiniteOrNone
    ap50: FiniteOrNone
    replicates: tuple[FiniteOrNone, ...] = ()
    """AP on resamples of the images, which are the same in all cells and in all runs on the same images."""


class ShiftedValue(FrozenModel):
    """A run on images whose objects are larger or smaller, or that are brighter or darker."""

    shift: str
    factor: float = Field(gt=0)
    """1 is the image as it is."""
    ap: FiniteOrNone
    ap50: FiniteOrNone
    replicates: tuple[FiniteOrNone, ...] = ()
    """As in `CorruptedValue`."""


class RobustnessRecord(Record):
    """The values of a run under corruptions and shifts; it can be unfinished."""

    KIND: ClassVar = "record of robustness"
    REMEDY: ClassVar = "measure it again with `bench robustness`"

    MIGRATIONS: ClassVar = {1: lambda document: {**document, "schema_version": 2}}  # version 2 has shifts

    schema_version: Literal[2] = 2
    version: int = Field(ge=1)
    """Version of the corruptions: values of different versions cannot be compared."""
    images: str
    """Hex digest of the truth and the clean images."""
    clean: CorruptedValue
    cells: tuple[CorruptedValue, ...] = ()
    shifts: tuple[ShiftedValue, ...] = ()

    def value(self, corruption: str, severity: int) -> CorruptedValue | None:
        """The values of a cell; None if it was not measured."""
        return next((c for c in self.cells if (c.corruption, c.severity) == (corruption, severity)), None)

    def shifted(self, shift: str, factor: float) -> ShiftedValue | None:
        """The values of a shift by a factor; None if it was not measured."""
        return next((v for v in self.shifts if (v.shift, v.factor) == (shift, factor)), None)


def load_robustness(folder: Path | None) -> RobustnessRecord | None:
    """Read the record of the run in `folder`; None if there is none.

    Raises:
        InputError: damaged, or of a newer version.
    """
    if folder is None or not (folder / FILE).is_file():
        return None
    return RobustnessRecord.load(folder / FILE)


def save_robustness(folder: Path, record: RobustnessRecord) -> None:
    """Write the record of the run in `folder`."""
    atomic_write(folder / FILE, record.to_json())
