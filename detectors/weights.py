"""Weights from files that others made: read without running code, and loaded whole or not at all."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torchvision.models import WeightsEnum

from metrics.errors import InputError, MachineError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")
_SHOWN = 5
_TORCH = (b"PK", b"\x80")
"""What a file of `torch.save` begins with: a ZIP archive; in its older form a pickle."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What sets the keys of a module and of a file of weights apart; empty if they fit.

    Attributes:
        missing: keys that the module has and the file lacks.
        unexpected: keys that the file has and the module lacks.
        misshapen: ``key: (shape in the file) for (shape in the module)``.
        retyped: ``key: type in the file for type in the module``, where one is of whole numbers, the other not.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]
    retyped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshapen or self.retyped)

    def __str__(self) -> str:
        parts = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape": self.misshapen,
            "of another type": self.retyped,
        }
        return "; ".join(f"{len(keys)} {what}: {_some(keys)}" for what, keys in parts.items() if keys)


def load_weights(
    module: nn.Module,
    path: str | Path,
    rename: Callable[[str], str | None] | None = None,
    unused: Collection[str] = (),
) -> None:
    """Load all parameters and buffers of `module` from a file, or raise and leave it as it was.

    Args:
        module: what to load into.
        path: see `read_weights`.
        rename: from a key of the file to the module's; None drops it.
        unused: keys that the file may have although the module lacks them.

    Raises:
        InputError: the file cannot be read safely, or its keys or shapes are not the module's; the message has the
            difference.
    """
    load_state(module, read_weights(path), str(path), rename, unused)


def load_state(
    module: nn.Module,
    state: Mapping[str, Tensor],
    origin: str,
    rename: Callable[[str], str | None] | None = None,
    unused: Collection[str] = (),
) -> None:
    """`load_weights` for tensors that are already read; `origin` names their source in errors."""
    if rename is not None:
        state = {new: tensor for key, tensor in state.items() if (new := rename(key)) is not None}
    known = module.state_dict()
    state = {key: tensor for key, tensor in state.items() if key in known or key not in unused}
    # Older files lack BatchNorm's count of batches, which only its cumulative average reads.
    state |= {
        key: old for key, old in known.items() if key.endswith("num_batches_tracked") and key not in state
    }
    if found := difference(known, state):
        raise InputError(
            f"{origin}: these weights do not fit: {found}; they are of another network or class count"
        )
    module.load_state_dict(dict(state))


def published(weights: WeightsEnum, where: str) -> Mapping[str, Tensor]:
    """Weights that torchvision publishes, from its cache on this machine or else from the network.

    Args:
        weights: one of torchvision's.
        where: said first if it fails: the setting that asked for them.

    Raises:
        MachineError: they are not in the cache, and there is no network.
    """
    try:
        state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise MachineError(
            f"{where}: cannot be downloaded ({error}); without network fetch "
            f"{weights.url} elsewhere and give the file"
        ) from None
    return state


def difference(known: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Difference:
    """Compare the keys, shapes and types of a module's state with those of a file."""
    return Difference(
        missing=tuple(key for key in known if key not in state),
        unexpected=tuple(key for key in state if key not in known),
        misshapen=tuple(
            f"{key}: {tuple(tensor.shape)} for {tuple(known[key].shape)}"
            for key, tensor in state.items()
            if key in known and tensor.shape != known[key].shape
        ),
        retyped=tuple(
            f"{key}: {_type(tensor)} for {_type(known[key])}"
            for key, tensor in state.items()
            if key in known and tensor.is_floating_point() != known[key].is_floating_point()
        ),
    )


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Named tensors from a file, on the CPU; nothing in the file is run.

    Args:
        path: safetensors, or what `torch.save` wrote: tensors by name, perhaps under ``state_dict`` or the like
            beside other plain data. The ``module.`` of data-parallel training is dropped.

    Raises:
        InputError: no such file; a Git-LFS pointer; a pickle of anything but plain data; damaged or truncated; no
            tensors; NaN or infinity among the numbers.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise InputError(
            f"{path}: cannot read the weights: {error.strerror or error}; check the path"
        ) from None
    if start.startswith(b"version https://git-lfs"):
        raise InputError(
            f"{path}: this is a Git-LFS pointer, not the weights; fetch them with `git lfs pull`"
        )
    state = _read_torch(path, start) if _is_torch(path, start) else _read_safetensors(path)
    state = {key.removeprefix("module."): tensor for key, tensor in state.items()}
    if broken := [
        key for key, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()
    ]:
        raise InputError(
            f"{path}: {len(broken)} tensors hold NaN or infinity: {_some(broken)}; "
            "the training that wrote them had diverged: take an earlier checkpoint"
        )
    return state


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: damaged safetensors ({error}): its header does not fit its content; fetch or save it again"
        ) from None


def _is_torch(path: Path, start: bytes) -> bool:
    """By the first bytes, whatever the name: safetensors begin with the length of their JSON header."""
    return start.startswith(_TORCH) or (path.suffix != ".safetensors" and start[8:9] != b"{")


def _read_torch(path: Path, start: bytes) -> dict[str, Tensor]:
    if not start.startswith(_TORCH):
        raise InputError(
            f"{path}: damaged, or no file of weights: begins with {start[:16]!r}, and neither safetensors nor what "
            "torch.save writes does; fetch or save it again"
        )
    try:
        # Warnings: of pickles that torch did not write; it refuses or reads them. An open file has no name by which
        # torch could take it for something else.
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("\n")[0]
        raise InputError(
            f"{path}: holds more than plain tensors, and reading it would run its code ({reason}); "
            "save its state_dict as safetensors where you trust it"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, OSError, zipfile.BadZipFile) as error:
        reason = str(error).split("\n")[0]
        raise InputError(
            f"{path}: damaged or truncated, or no file of weights ({reason}); fetch it again"
        ) from None
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected tensors by name (a state_dict), got {type(content).__name__}")
    if strangers := [str(key) for key, value in content.items() if not _is_plain(value)]:
        raise InputError(f"{path}: expected only plain tensors, got something else under: {_some(strangers)}")
    return {str(key): tensor for key, tensor in content.items()}


def _is_plain(value: object) -> bool:
    """Sparse tensors, and those without numbers (meta), are not."""
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _some(keys: Collection[str]) -> str:
    shown = ", ".join(sorted(keys)[:_SHOWN])
    return shown if len(keys) <= _SHOWN else f"{shown}, ..."
