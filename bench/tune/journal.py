"""Journal file of a study: Optuna's format, with lines that another program damaged refused by their number."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from metrics.errors import InputError, of_system


def open_journal(file: Path) -> JournalStorage:
    """Open the journal of a study, or create it.

    Raises:
        InputError: a line is not one of Optuna's journal.
        MachineError: the folder is not writable.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(_Journal(file))
    except OSError as error:
        raise of_system(error, file, "cannot be written") or error from None
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: a line lacks what Optuna wrote there; {_REMEDY}") from None


_REMEDY = "restore the file, or start another study with --study NAME"


class _Journal(JournalFileBackend):
    """Backend that knows where a journal is damaged.

    A last line without its end was being written when a process was killed or the disk was full: its operation never took
    place. It is removed before the next one is written, which would otherwise be appended to it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._writing = JournalFileSymlinkLock(str(file))
        super().__init__(str(file), lock_obj=self._writing)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # Optuna: Generator
        number = log_number_from + 1
        try:
            for operation in super().read_logs(log_number_from):
                if not isinstance(operation, dict) or not {"op_code", "worker_id"} <= operation.keys():
                    raise ValueError
                yield operation
                number += 1
        except ValueError:
            raise InputError(
                f"{self._file}:{number}: is not a line of Optuna's journal; remove it if another program wrote it, "
                f"otherwise {_REMEDY}"
            ) from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        text = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs)
        with self._locked(), self._file.open("r+b") as file:
            file.truncate(_complete_bytes(file))
            file.seek(0, os.SEEK_END)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._writing.acquire()
        try:
            yield
        finally:
            self._writing.release()


def _complete_bytes(file: BinaryIO, chunk: int = 4096) -> int:
    """Number of bytes of a binary file up to the end of its last complete line."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(end - chunk, 0)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
