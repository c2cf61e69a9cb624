"""What a finished run leaves: `RunResult`, its schema, and `RunFolder`, where it lies beside truth and detections.

Nothing here runs code that a file brings along: JSON, CSV and Parquet are read, and checked, and nothing else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from metrics.errors import InputError
from metrics.tables import AnnotationTable, DetectionTable
from reports.files import write_whole, write_whole_by

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION: Literal[1] = 1
"""The version that `RunResult` describes; a change in the meaning of any field raises it."""

Document = dict[str, Any]
Migration = Callable[[Document], Document]

MIGRATIONS: Mapping[int, Migration] = {}
"""From each older version to the next: ``MIGRATIONS[1]`` turns a document of version 1 into one of version 2."""


def _nan_to_none(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    """Settings as JSON can say them: tuples are lists, paths are text, what is not a finite number is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Path):
        return value.as_posix()
    return _nan_to_none(value)


Measured = Annotated[float | None, BeforeValidator(_nan_to_none)]
"""A number, or None where it is not defined or not known; NaN and infinities become None."""

Settings = Annotated[dict[str, Any], BeforeValidator(_plain), PlainSerializer(_plain)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class DataFacts(_Part):
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


class Budget(_Part):
    """What a run was given. None where it is not known: detections that were made elsewhere."""

    epochs: Measured = None
    """Passes over the training images."""
    images_seen: int | None = None
    """Training images shown, all epochs together."""
    train_seconds: Measured = None
    """Wall clock of training, validation between epochs included."""
    total_seconds: Measured = None
    """Wall clock from command to result."""
    parameters: int | None = None
    """Numbers in the network that training may change, and those it may not."""
    trials: int | None = None
    """Settings that were tried on validation data before these were chosen."""


class Environment(_Part):
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


class RunResult(_Part):
    """A run: what it was, what it scored, and its cause.

    Frozen, closed to unknown keys. In JSON every number is finite; null says "not defined" or "not known".
    """

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
    headline: dict[str, Measured] = Field(default_factory=dict)
    """COCO's twelve numbers by short name (ap, ap50, ..., ar_large), as fractions."""
    environment: Environment = Environment()
    command: str = ""
    """What would make this run again."""
    warnings: tuple[str, ...] = ()
    started: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    status: Literal["complete", "partial"] = "complete"

    def to_json(self) -> str:
        """Sorted, indented, UTF-8, one final newline: the same result is the same bytes."""
        document = self.model_dump(mode="json")
        return json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "result.json") -> Self:
        """Read what `to_json` wrote, by this version of the program or an older one.

        Args:
            text: the document.
            where: how an error names it.

        Raises:
            InputError: not JSON, of a newer version, or not a result; the message names the place.
        """
        return cls._from_document(_parse(text, where), where)

    @classmethod
    def _from_document(cls, document: Document, where: str) -> Self:
        current = migrate(document, where=where)
        try:
            return cls.model_validate(current)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(step) for step in first["loc"])
            more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
            message = f"{where}: {place}: {first['msg']}{more}; the file is damaged or was edited: run again"
            raise InputError(message) from error


def migrate(
    document: Document,
    migrations: Mapping[int, Migration] = MIGRATIONS,
    to: int = SCHEMA_VERSION,
    where: str = "result.json",
) -> Document:
    """A document of an older schema as one of version `to`; `document` is left as it was.

    Raises:
        InputError: its version is missing, newer than `to`, or too old for any migration; the versions are named.
    """
    version = document.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputError(
            f"{where}: schema_version: expected a whole number, got {version!r}; is it a detbench run?"
        )
    if version > to:
        raise InputError(
            f"{where}: has schema version {version}, and this detbench reads up to version {to}; "
            "upgrade detbench, or make the run again with this one"
        )
    oldest = to
    while oldest - 1 in migrations:
        oldest -= 1
    if version < oldest:
        raise InputError(
            f"{where}: has schema version {version}, and this detbench reads versions {oldest} to {to}; "
            "make the run again"
        )
    current = dict(document)
    for step in range(version, to):
        current = {**migrations[step](dict(current)), "schema_version": step + 1}
    return current


class RunFolder:
    """A run on disk. Opening reads `result.json`; the tables are read when they are first asked for.

    Attributes:
        path: the folder.
        result: what it says of itself.
    """

    RESULT = "result.json"
    TRUTH = "truth.parquet"
    FOUND = "detections.parquet"
    HISTORY = "history.csv"

    def __init__(self, path: Path, result: RunResult) -> None:
        self.path = path
        self.result = result

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """The run in the folder `path`, or in the folder of the `result.json` that `path` is.

        Raises:
            InputError: there is no finished run, or its result cannot be read.
        """
        path = Path(path)
        folder = path.parent if path.name == cls.RESULT else path
        file = folder / cls.RESULT
        if not folder.is_dir():
            raise InputError(f"{path}: no such folder; give the folder of a run")
        if not file.is_file():
            raise InputError(
                f"{folder}: holds no {cls.RESULT}, so no run was finished here; "
                "run the same command again and it goes on where it stopped"
            )
        return cls(folder, RunResult.from_json(_read(file), where=str(file)))

    @cached_property
    def truth(self) -> AnnotationTable:
        """What is there, in the split that was evaluated."""
        return AnnotationTable.load(self._file(self.TRUTH))

    @cached_property
    def found(self) -> DetectionTable:
        """What was found there."""
        return DetectionTable.load(self._file(self.FOUND))

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
    found: DetectionTable | None = None,
    history: pd.DataFrame | None = None,
) -> RunFolder:
    """Write a run into `folder` (made where missing) and open it.

    Each file is whole or absent, and `result.json` comes last: where it stands, the run is finished. A table that is
    None is not written; one that stands there already is kept.
    """
    folder = Path(folder)
    if truth is not None:
        write_whole_by(folder / RunFolder.TRUTH, truth.save)
    if found is not None:
        write_whole_by(folder / RunFolder.FOUND, found.save)
    if history is not None:
        write_whole(folder / RunFolder.HISTORY, history.to_csv(index=False, lineterminator="\n"))
    write_whole(folder / RunFolder.RESULT, result.to_json())
    return RunFolder.open(folder)


def _read(file: Path) -> bytes:
    # A result is some kilobytes; whatever is far larger is something else and would only fill the memory.
    limit = 64 * 2**20
    size = file.stat().st_size
    if size > limit:
        raise InputError(
            f"{file}: {size} bytes is no run's result (at most {limit}); give the folder of a run"
        )
    return file.read_bytes()


def _parse(text: str | bytes, where: str) -> Document:
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InputError(f"{where}: is nested too deeply to be a run's result") from None
    except ValueError as error:
        raise InputError(f"{where}: is not JSON ({error}); the file is damaged: run again") from error
    if not isinstance(document, dict):
        raise InputError(f"{where}: expected an object, got {type(document).__name__}; is it a detbench run?")
    return document


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number; a value that is not defined is null")
