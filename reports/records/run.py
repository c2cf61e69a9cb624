"""What a finished run leaves: `RunResult`, its schema, and `RunFolder`, where it lies beside truth and detections.

Nothing here runs code that a file brings along: JSON, CSV and Parquet are read, and checked, and nothing else.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import AwareDatetime, Field

from metrics.errors import InputError
from metrics.matching import Matches, MatchRule, match
from metrics.tables import AnnotationTable, DetectionTable
from reports.records.atomic_files import atomic_write, atomic_write_by
from reports.records.json_record import FiniteOrNone, FrozenModel, Record, Settings, find_folder

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION: Literal[1] = 1
"""The version that `RunResult` describes; a change in the meaning of any field raises it."""


class DataFacts(FrozenModel):
    """The images that a run was evaluated on."""

    name: str
    """What the user calls the data set."""
    format: str
    """The reader's name: shapes, coco, voc, yolo, ..."""
    split: str
    """train, val or test."""
    fingerprint: str
    """Hex digest of the split's truth: two runs can be compared where it is the same."""
    images: int = Field(ge=0)
    objects: int = Field(ge=0)
    """Annotated objects, crowds and ignored ones included."""
    classes: int = Field(ge=0)
    notes: tuple[str, ...] = ()
    """What was dropped, clipped or odd, with counts."""


class Budget(FrozenModel):
    """What a run was given. None where it is not known: detections that were made elsewhere."""

    epochs: FiniteOrNone = None
    """Passes over the training images."""
    images_seen: int | None = None
    """Training images shown, all epochs together."""
    train_seconds: FiniteOrNone = None
    """Wall clock of training, validation between epochs included."""
    total_seconds: FiniteOrNone = None
    """Wall clock from command to result."""
    parameters: int | None = None
    """Numbers in the network that training may change, and those it may not."""
    trials: int | None = None
    """Settings that were tried on validation data before these were chosen."""


class Environment(FrozenModel):
    """Where a run ran. Empty or None where it is not known."""

    python: str = ""
    packages: dict[str, str] = Field(default_factory=dict)
    """Version of each distribution that can move a number: detbench, torch, torchvision, numpy, ..."""
    platform: str = ""
    """Operating system and architecture."""
    device: str = ""
    """What computed: cpu, or the accelerator's name."""
    cpu: str = ""
    threads: int | None = None
    commit: str | None = None
    """Commit of the checkout that ran; None outside one."""
    dirty: bool | None = None
    """Whether that checkout had changes that are in no commit."""


class RunResult(Record):
    """A run: what it was, what it scored, and its cause.

    Frozen, closed to unknown keys. In JSON every number is finite; null says "not defined" or "not known".
    """

    KIND: ClassVar = "run's result"
    REMEDY: ClassVar = "run again"

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str = Field(min_length=1)
    """Names the run; no two runs of a comparison share it. The folder's name."""
    variant: str = Field(min_length=1)
    """The detector's name, or what the user calls detections that were made elsewhere."""
    variant_source: str = ""
    """Its paper, or where its detections come from."""
    data: DataFacts
    seed: int | None = None
    """None where there was none, or nobody knows it."""
    config: Settings = Field(default_factory=dict)
    """Every setting after defaults, presets, files and ``--set``: a tree whose dotted paths ``--set`` takes."""
    budget: Budget = Budget()
    headline: dict[str, FiniteOrNone] = Field(default_factory=dict)
    """COCO's twelve numbers by short name (ap, ap50, ..., ar_large), as fractions."""
    environment: Environment = Environment()
    command: str = ""
    """What would make this run again."""
    warnings: tuple[str, ...] = ()
    started: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    status: Literal["complete", "partial"] = "complete"


class RunFolder:
    """A run on disk. `result` is read when it is opened, the tables when they are first used.

    Args:
        path: the folder.
        result: the contents of `result.json`.
        truth: the table of objects, where it is in memory already.
        detections: the table of detections, likewise.
        matches: `detections` matched with `truth`, likewise.
    """

    RESULT = "result.json"
    TRUTH = "truth.parquet"
    DETECTIONS = "detections.parquet"
    HISTORY = "history.csv"

    def __init__(
        self,
        path: Path,
        result: RunResult,
        truth: AnnotationTable | None = None,
        detections: DetectionTable | None = None,
        matches: Matches | None = None,
    ) -> None:
        self.path = path
        self.result = result
        self._matches = matches
        if truth is not None:
            self.truth = truth
        if detections is not None:
            self.detections = detections

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the run in the folder `path`, or in the folder of the `result.json` that `path` is.

        Raises:
            InputError: there is no finished run, or its result cannot be read.
        """
        absent = ", so no run was finished here; run the same command again and it goes on where it stopped"
        folder = find_folder(path, cls.RESULT, "a run", absent)
        return cls(folder, RunResult.load(folder / cls.RESULT))

    def replace(self, path: Path | None = None, result: RunResult | None = None) -> RunFolder:
        """Return the run with another path or result; tables and matches that are in memory are kept."""
        known = {
            name: table for name in ("truth", "detections") if (table := self.__dict__.get(name)) is not None
        }
        return RunFolder(path or self.path, result or self.result, matches=self._matches, **known)

    def matches(self, rule: MatchRule | None = None) -> Matches:
        """Match the detections with the truth; the matches under the last rule are kept.

        Args:
            rule: COCO's by default.
        """
        rule = rule or MatchRule()
        if self._matches is None or self._matches.rule != rule:
            self._matches = match(self.truth, self.detections, rule)
        return self._matches

    @cached_property
    def truth(self) -> AnnotationTable:
        """The objects of the split that was evaluated."""
        return AnnotationTable.load(self._file(self.TRUTH))

    @cached_property
    def detections(self) -> DetectionTable:
        """The detections in these images."""
        return DetectionTable.load(self._file(self.DETECTIONS))

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row per epoch: ``epoch`` (epochs done, from 1), ``loss``, its terms, ``lr``, ``val_ap``, ``val_ap50``.

        No rows and no columns where nothing was trained.
        """
        import pandas as pd

        file = self.path / self.HISTORY
        if not file.is_file():
            return pd.DataFrame()
        try:
            return pd.read_csv(file)
        except (ValueError, OSError) as error:
            raise InputError(
                f"{file}: cannot be read as a table ({error}); delete it or run again"
            ) from error

    def _file(self, name: str) -> Path:
        file = self.path / name
        if not file.is_file():
            raise InputError(f"{self.path}: holds no {name}; run again, or evaluate its detections anew")
        return file


def save_result(
    folder: str | Path,
    result: RunResult,
    truth: AnnotationTable | None = None,
    detections: DetectionTable | None = None,
    history: pd.DataFrame | None = None,
    matches: Matches | None = None,
) -> RunFolder:
    """Write a run into `folder` (made where missing) and open it.

    Each file is whole or absent, and `result.json` comes last: a folder with one holds a finished run. A table that is
    None is not written, and one that is there already is kept. The run that is returned holds the tables and matches
    that were given, so that a report on it neither reads them again nor matches them again.
    """
    folder = Path(folder)
    if truth is not None:
        atomic_write_by(folder / RunFolder.TRUTH, truth.save)
    if detections is not None:
        atomic_write_by(folder / RunFolder.DETECTIONS, detections.save)
    if history is not None:
        atomic_write(folder / RunFolder.HISTORY, history.to_csv(index=False, lineterminator="\n"))
    atomic_write(folder / RunFolder.RESULT, result.to_json())
    return RunFolder(folder, result, truth, detections, matches)
