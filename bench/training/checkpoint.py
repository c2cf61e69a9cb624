"""Checkpoints of a training: written atomically, read without executing code, sufficient to resume bit for bit."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from detectors.safetensors_metadata import sort_metadata
from metrics.atomic_files import atomic_write_by
from metrics.errors import InputError
from metrics.messages import reason

STATE = "state.pt"
VERSION = 3

Tensors = dict[str, Tensor]


@dataclass
class Position:
    """Position of a training. It has no state of random generators, which are seeded for each batch.

    Attributes:
        epoch: completed epochs.
        batch: completed batches of the current epoch.
        step: completed updates of the weights, including those skipped for a loss that is not finite.
        images_seen: training images so far.
        seconds: training time so far, summed over interruptions.
        step_seconds: the part of it that was spent on updates, with loading, without validation and saving.
        factor: learning rate of the last update, as a fraction of the highest.
        precision: that `train.precision=auto` chose; empty for other settings.
        precision_seconds: seconds of a step by precision, from which it was chosen.
        parts: number of parts into which each batch is divided to fit into memory.
        pass_bytes: peak memory of a forward and backward pass by number of images, from which ``train.micro_batch=auto`` chose.
        skipped: consecutive steps that were skipped.
        best_step: completed updates at the best weights; 0 if there are none.
        best_epoch: passes over the training images at the best weights; 0 if there are none.
        stale: validations since the best weights.
        best_value: of the best weights by the measure that chooses them, see `detectors.registry.Variant.selection`.
        best_score: their score threshold with the best F1 on the validation images, at an IoU of 0.5.
        shares: shares of the training after which it was validated, see `train.validations`.
        row_step: completed updates at the last row of the history.
        sums: sum of each term of the loss over the updates since then.
        rows: history, one row per completed epoch, and one per validation within an epoch.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0
    factor: float = 1.0
    precision: str = ""
    precision_seconds: dict[str, float] = field(default_factory=dict)
    parts: int = 1
    pass_bytes: dict[int, int] = field(default_factory=dict)
    skipped: int = 0
    best_step: int = 0
    best_epoch: float = 0
    stale: int = 0
    best_value: float | None = None
    best_score: float | None = None
    shares: int = 0
    row_step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, float | None]] = field(default_factory=list)


def save_state(folder: Path, position: Position, states: dict[str, Any]) -> None:
    """Write the state of a training; it replaces the previous one atomically.

    Args:
        folder: folder `checkpoint` of a run.
        position: current position.
        states: ``state_dict()`` of detector, average, optimizer and scaler.
    """
    whole = {"version": VERSION, "position": asdict(position), "states": states}
    _write_tensors(folder / STATE, lambda path: torch.save(whole, path))


def load_state(folder: Path) -> tuple[Position, dict[str, Any]] | None:
    """The state that `save_state` wrote, with tensors on the CPU; None if there is none.

    Raises:
        InputError: the file is damaged, contains code, or has another version, or its best weights are missing.
    """
    file = folder / STATE
    if not file.is_file():
        return None
    try:
        whole = torch.load(file, map_location="cpu", weights_only=True)
        if whole["version"] != VERSION:
            raise InputError(f"{file}: version {whole['version']}, expected {VERSION}; {_REMEDY}")
        known = {entry.name for entry in fields(Position)}
        position = Position(**{name: value for name, value in whole["position"].items() if name in known})
        states = whole["states"]
    except (
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        OSError,
        pickle.UnpicklingError,
    ) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: damaged, or not a checkpoint; {_REMEDY}") from error
    if position.best_step and not best_weights(folder, position.best_step).is_file():
        raise InputError(
            f"{best_weights(folder, position.best_step)}: missing, but {file.name} needs it; {_REMEDY}"
        )
    return position, states


_REMEDY = "start this run again with --fresh"


def save_weights(path: Path, module: nn.Module, metadata: Mapping[str, str] | None = None) -> None:
    """Write the state of a module as safetensors, atomically; equal states and metadata make equal bytes.

    Args:
        path: of the file.
        module: its parameters and buffers are written.
        metadata: see `detectors.safetensors_metadata.make_metadata`.
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}

    def write(temporary: Path) -> None:
        save_file(state, temporary, dict(metadata) if metadata else None)
        sort_metadata(temporary)

    _write_tensors(path, write)


def _write_tensors(path: Path, write: Callable[[Path], object]) -> None:
    """`atomic_write_by` for writers that report a full disk with errors of their own."""

    def reported(temporary: Path) -> None:
        try:
            write(temporary)
        except (RuntimeError, SafetensorError) as error:
            raise OSError(reason(error)) from error

    atomic_write_by(path, reported)


def load_weights(path: Path, module: nn.Module) -> None:
    """Load a file that `save_weights` wrote into a module of the same structure."""
    module.load_state_dict(load_file(path))


def best_weights(folder: Path, step: int) -> Path:
    """Path of the weights after `step` updates, if they are the best.

    The name contains the step, so that a process killed after writing these weights and before writing the state
    leaves the weights of the older state intact.
    """
    return folder / f"best-{step:07d}.safetensors"


def drop_other_weights(folder: Path, step: int) -> None:
    """Remove the best weights of other steps."""
    for path in folder.glob("best-*.safetensors"):
        if path != best_weights(folder, step):
            path.unlink(missing_ok=True)
