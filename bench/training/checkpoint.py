"""The state of a training on disk: whole or absent, read without running code, enough to go on bit for bit."""

from __future__ import annotations

import pickle
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from metrics.errors import InputError
from reports.records.atomic_files import atomic_write_by

STATE = "state.pt"
VERSION = 1

Tensors = dict[str, Tensor]


@dataclass
class Position:
    """How far a training is. Randomness is drawn anew for each batch from seed, epoch and batch: none is kept.

    Attributes:
        epoch: epochs that are done.
        batch: batches that are done of the next one.
        step: updates of the weights that are done, those left out for a loss that was not finite included.
        images_seen: training images shown.
        seconds: of training, over all processes that worked on it one after the other.
        parts: into how many parts each batch is divided, because it did not fit into memory whole.
        skipped: steps in a row that were left out.
        best_epoch: epochs that were done when the best weights were kept; 0 where there are none.
        best_ap: validation AP of the best weights.
        sums: of each term of the loss over the batches of this epoch.
        rows: of the history, one for each epoch that is done.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    images_seen: int = 0
    seconds: float = 0.0
    parts: int = 1
    skipped: int = 0
    best_epoch: int = 0
    best_ap: float | None = None
    sums: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, float | None]] = field(default_factory=list)


def save_state(folder: Path, position: Position, states: dict[str, Any]) -> None:
    """Write the state of a training; the one before is there until this one is on the disk.

    Args:
        folder: the `checkpoint` of a run.
        position: how far it is.
        states: ``state_dict()`` of whatever has one: detector, average, optimizer, scaler.
    """
    whole = {"version": VERSION, "position": asdict(position), "states": states}
    atomic_write_by(folder / STATE, lambda path: torch.save(whole, path))


def load_state(folder: Path) -> tuple[Position, dict[str, Any]] | None:
    """What `save_state` wrote, tensors on the CPU; None where nothing was saved.

    Raises:
        InputError: the file is damaged, holds code, or is of another version.
    """
    file = folder / STATE
    if not file.is_file():
        return None
    try:
        whole = torch.load(file, map_location="cpu", weights_only=True)
        if whole["version"] != VERSION:
            raise InputError(f"{file}: of version {whole['version']}, expected {VERSION}; {_MEND}")
        known = {entry.name for entry in fields(Position)}
        position = Position(**{name: value for name, value in whole["position"].items() if name in known})
        return position, whole["states"]
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
        raise InputError(f"{file}: damaged, or not a checkpoint; {_MEND}") from error


_MEND = "begin this run anew with --fresh"


def save_weights(path: Path, module: nn.Module) -> None:
    """Write a module's state as safetensors, whole or not at all."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    atomic_write_by(path, lambda temporary: save_file(state, temporary))


def load_weights(path: Path, module: nn.Module) -> None:
    """Read what `save_weights` wrote into a module of the same shape."""
    module.load_state_dict(load_file(path))


def best_weights(folder: Path, epoch: int) -> Path:
    """Where the weights of that many epochs are kept while they are the best.

    The epoch is in the name, so that a process killed between these weights and the state that speaks of them
    leaves the older state its own weights.
    """
    return folder / f"best-{epoch:05d}.safetensors"


def drop_other_weights(folder: Path, epoch: int) -> None:
    """Remove the best weights of all other epochs."""
    for path in folder.glob("best-*.safetensors"):
        if path != best_weights(folder, epoch):
            path.unlink(missing_ok=True)
