"""Opening a data set to look at it: what cannot be read is left out, and warnings become part of the result."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.data.folder_options import FolderOptions
from bench.data.location import locate_data
from bench.data.types import Dataset
from bench.settings.config import RunConfig
from bench.settings.resolution import open_run
from metrics.errors import InputNote, InputWarning
from metrics.notes import Note, note_of


@dataclass(frozen=True, slots=True, eq=False)
class OpenedData:
    """A data set that was opened to be looked at.

    Attributes:
        dataset: the data set, without images that cannot be read.
        settings: of the run whose input the boxes are looked at in.
        reading: the notes that were given, and whether each is a warning.
    """

    dataset: Dataset
    settings: RunConfig
    reading: list[tuple[Note, bool]]


def open_to_look(variant: str, sources: Mapping[str, Any], fast: bool = False) -> OpenedData:
    """Open a data set; warnings are not issued but returned.

    Unreadable images are left out unless the settings say otherwise.

    Args:
        variant: name of the variant.
        sources: as `bench.settings.resolution.open_run` takes them; with the name or path of the data set.
        fast: do not open image files.

    Raises:
        InputError: as `open_run`; the warnings until then are issued.
    """
    format = sources.get("options", {}).get("data.format", "auto")
    lenient = _lenient_settings(sources["data"], format, fast)
    with _recorded() as warned:
        dataset, settings = open_run(
            variant, {**sources, "options": {**sources.get("options", {}), **lenient}}
        )
    reading = [(note, note.text in warned) for note in (*dataset.notes, *settings.notes)]
    return OpenedData(dataset, settings, reading)


def _lenient_settings(path: str, format: str, fast: bool) -> dict[str, Any]:
    """Settings by dotted path: leave out images that cannot be read; with `fast`, do not open image files."""
    if not issubclass(locate_data(path, format).format.options, FolderOptions):
        return {}
    return {"data.allow_missing": True} | ({"data.check": "exists"} if fast else {})


@contextmanager
def _recorded() -> Iterator[set[str]]:
    """Collect the texts of warnings about the input; if the block fails, they and the notes are issued."""
    warned: set[str] = set()
    failed = True
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield warned
            failed = False
    finally:
        warned |= {note_of(one.message).text for one in caught if issubclass(one.category, InputWarning)}
        for one in caught:
            if failed or not issubclass(one.category, InputWarning | InputNote):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
