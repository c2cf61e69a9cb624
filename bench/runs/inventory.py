"""What a folder of results contains: finished and partial runs, studies and comparisons, and which of them can go."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bench.process.locks import LockHeld, Owner, hold, is_held, owner_of
from bench.runs.comparison import is_comparison
from bench.runs.folders import CHECKPOINT, LOCK, is_partial
from bench.settings import toml
from metrics.errors import InputError
from reports.records.run import RunFolder, RunResult
from reports.records.study import StudyFolder

JOURNAL = "journal.log"
"""Optuna's journal in the folder of a study, which has no record before its end."""

State = Literal["finished", "superseded", "partial", "running", "unreadable", "study", "comparison"]
"""State of a folder. Only superseded and partial ones can be removed."""


@dataclass(frozen=True, slots=True)
class ResultFolder:
    """A folder of results.

    Attributes:
        path: the folder.
        state: what it is.
        size: bytes of its files.
        modified: last change of its files.
        ap: of a finished run.
        owner: the process that works on it.
        superseded_by: name of the newer run.
        reason: why it is unreadable.
    """

    path: Path
    state: State
    size: int
    modified: datetime
    ap: float | None = None
    owner: Owner | None = None
    superseded_by: str = ""
    reason: str = ""

    @property
    def removable(self) -> bool:
        """Whether nothing is lost with it but work in progress, or an older version of a result."""
        return self.state in ("superseded", "partial")


def find_results(folder: Path) -> list[ResultFolder]:
    """The folders of results in `folder`, by name.

    A finished run is superseded by a newer finished run of the same variant, seed, settings and path of the data: they
    differ in the version of the program, or in the contents of the data.

    Args:
        folder: a folder that ``--out`` named, such as ``runs``. Folders in it that hold no results are passed over.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder that --out named")
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    found = [result for path in folders if (result := _result_folder(path)) is not None]
    results = {each.path: RunFolder.open(each.path).result for each in found if each.state == "finished"}
    return [_superseded(each, results) for each in found]


def remove(folders: Iterable[ResultFolder]) -> list[Path]:
    """Remove folders that can be removed, and return their paths.

    A partial run is removed while its lock is held, so that no process continues it meanwhile; one that a process has begun
    to work on is kept.
    """
    removed = []
    for each in folders:
        assert each.removable
        with suppress(LockHeld):
            if each.state == "partial":
                with hold(_lock(each.path)):
                    shutil.rmtree(each.path)
            else:
                shutil.rmtree(each.path)
            removed.append(each.path)
    return removed


def _result_folder(path: Path) -> ResultFolder | None:
    """A folder of results, whose files are only then counted; a run that is superseded is finished here."""
    finished = (path / RunFolder.RESULT).is_file()
    study = (path / StudyFolder.RESULT).is_file() or (path / JOURNAL).is_file()
    partial = is_partial(path) and _is_of_a_run(path)
    if not (partial or finished or study or is_comparison(path)):
        return None
    size, modified = _extent(path)
    if partial:
        lock = _lock(path)
        if is_held(lock):
            return ResultFolder(path, "running", size, modified, owner=owner_of(lock))
        return ResultFolder(path, "partial", size, modified)
    if finished:
        try:
            result = RunFolder.open(path).result
        except InputError as error:
            return ResultFolder(path, "unreadable", size, modified, reason=str(error))
        return ResultFolder(path, "finished", size, modified, ap=result.headline.get("ap"))
    return ResultFolder(path, "study" if study else "comparison", size, modified)


def _is_of_a_run(partial: Path) -> bool:
    """Whether a run or a profile made this folder: other programs also name unfinished files and folders so."""
    return any(partial.glob(".*lock")) or (partial / CHECKPOINT).is_dir() or not any(partial.iterdir())


def _lock(partial: Path) -> Path:
    """The lock of a run, or of a profile, that has this partial folder."""
    return next(iter(sorted(partial.glob(".*lock"))), partial / LOCK)


def _superseded(each: ResultFolder, results: dict[Path, RunResult]) -> ResultFolder:
    mine = results.get(each.path)
    if mine is None:
        return each
    newer = [
        (other.finished, other.name)
        for path, other in results.items()
        if path != each.path and other.finished and mine.finished and other.finished > mine.finished
        if _purpose(path, other) == _purpose(each.path, mine)
    ]
    if not newer:
        return each
    return ResultFolder(
        each.path, "superseded", each.size, each.modified, ap=each.ap, superseded_by=max(newer)[1]
    )


def _purpose(path: Path, result: RunResult) -> tuple[Any, ...]:
    """What a run was made for: equal for two runs of the same command with one version of program and data each."""
    file = path / RunFolder.CONFIG
    if not file.is_file():  # detections of another program: each file is its own
        return (path,)
    return (
        result.variant,
        result.seed,
        json.dumps(result.config, sort_keys=True),
        str(toml.read(file).get("data", {}).get("path")),
    )


def _extent(path: Path) -> tuple[int, datetime]:
    """Bytes and last change of the files below a folder."""
    size, latest = 0, path.stat().st_mtime
    for root, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):  # removed meanwhile
                status = os.stat(os.path.join(root, name), follow_symlinks=False)
                size += status.st_size
                latest = max(latest, status.st_mtime)
    return size, datetime.fromtimestamp(latest, UTC)


def total_size(folders: Sequence[ResultFolder]) -> int:
    """Bytes of all files."""
    return sum(each.size for each in folders)
