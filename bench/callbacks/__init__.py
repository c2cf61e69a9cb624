"""Callbacks that follow the progress of runs, such as experiment trackers; one file each, named as the user names it.

A callback is a subclass of `Callback`; `@callback` registers it under the name of its file. Other distributions add theirs by
an entry point of the group ``detbench.callbacks``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from metrics.errors import DetbenchError, InputError
from metrics.messages import reason
from metrics.registry import Registry

C = TypeVar("C", bound="type[Callback]")


@dataclass(frozen=True, slots=True)
class StartedRun:
    """A run, or a trial of a study, that starts or continues.

    Attributes:
        name: of the run; the same when it is continued. Of a trial ``<study>/<folder of the trial>``.
        folder: of the run, where a callback may keep files; its name ends in ``.partial`` until the run is finished.
        settings: all settings as a tree of plain values.
        step: updates of the weights that an earlier process made, after which this one continues; 0 at the start.
        epoch: completed epochs of an earlier process.
        steps: updates of the whole training; 0 if nothing is trained, or a time ends training and not a number of updates.
        resumed: whether an earlier process did a part of the run.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    epoch: int = 0
    steps: int = 0
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run, or a trial of a study, that is finished.

    Attributes:
        folder: with all files of the run.
        values: headline measures by short name (`ap`, `ap50`, ...); of a trial the values of its objectives. NaN where
            undefined.
    """

    folder: Path
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run, or a trial of a study, that ended without a result.

    Attributes:
        kind: ``stopped`` by a signal, so that the same command continues it; ``pruned`` by the study; ``failed`` by an error.
        reason: one line.
    """

    kind: Literal["stopped", "pruned", "failed"]
    reason: str


class Callback:
    """A callback that follows the progress of a run. Each run makes its own object; all methods do nothing unless overridden.

    Methods are called in the main process only, between steps: they delay the training, and change nothing of it. An exception
    does not end it, see `bench.training.run_events`.
    """

    def run_started(self, run: StartedRun) -> None:
        """The run starts or continues, before the first step; in a continued run, steps after `run.step` were not logged."""

    def step_logged(self, step: int, values: Mapping[str, float]) -> None:
        """Every `train.log_every` steps: `loss`, its terms and `lr` of update number `step`, counted from 1."""

    def epoch_ended(self, step: int, row: Mapping[str, float | None]) -> None:
        """An epoch was trained, validated where it is due, and saved; `row` is its row of ``history.csv``.

        Also called after each validation within an epoch (`train.validations`), where ``row["epoch"]`` is not a whole number.
        """

    def best_weights_changed(self, step: int, weights: Path) -> None:
        """A validation found the best weights so far, saved in the file `weights`; called before its `epoch_ended`."""

    def run_finished(self, run: FinishedRun) -> None:
        """All files of the run are written; the last call."""

    def run_failed(self, run: FailedRun) -> None:
        """The run ended without a result; the last call in this process."""


MakeCallback = Callable[[], Callback]

CALLBACKS: Registry[type[Callback]] = Registry("callback", "bench.callbacks")


def callback(name: str) -> Callable[[C], C]:
    """Register a subclass of `Callback` under the name of its file, or of its entry point."""

    def register(kind: C) -> C:
        CALLBACKS.register(name, kind)
        return kind

    return register


def find_callbacks(names: Sequence[str]) -> dict[str, MakeCallback]:
    """The callbacks of these names.

    Raises:
        UnknownName: there is none of that name.
        InputError: the module of a callback cannot be imported.
        MachineError: a callback needs a package that is missing.
    """
    found: dict[str, MakeCallback] = {}
    for name in names:
        try:
            found[name] = CALLBACKS[name]
        except DetbenchError:
            raise
        except Exception as error:
            raise InputError(
                f"--callback {name}: {CALLBACKS.modules().get(name)} cannot be imported ({reason(error)}); "
                "install what it needs, or leave the callback out"
            ) from error
    return found
