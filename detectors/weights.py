"""Weights from untrusted files: read without executing code, and loaded completely or not at all."""

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

from detectors.safetensors_metadata import MAX_HEADER
from metrics.errors import InputError, MachineError
from metrics.messages import reason
from metrics.plurals import plural

_WRAPPERS = ("state_dict", "model_state_dict", "model", "weights")
_MAX_SHOWN = 5
_DAMAGED = (
    RuntimeError, EOFError, ValueError, TypeError, AttributeError, AssertionError, LookupError, OSError, zipfile.BadZipFile,
)  # fmt: skip
"""What torch raises on a damaged file, where a pickle may call its functions with any arguments."""
_TORCH = (b"PK", b"\x80")
"""First bytes of a file of `torch.save`: a ZIP archive, or a pickle in the older format."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Differences between the keys of a module and of a file of weights; False if they match.

    Attributes:
        missing: keys of the module that are not in the file.
        unexpected: keys of the file that are not in the module.
        misshapen: ``key: (shape in the file) for (shape in the module)``.
        retyped: ``key: type in the file for type in the module``, where only one of them is an integer type.
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
        return "; ".join(f"{len(keys)} {kind}: {_some(keys)}" for kind, keys in parts.items() if keys)


def load_weights(
    module: nn.Module,
    path: str | Path,
    rename: Callable[[str], str | None] | None = None,
    unused: Collection[str] = (),
) -> None:
    """Load all parameters and buffers of `module` from a file; on an error the module is unchanged.

    Args:
        module: is changed.
        path: see `read_weights`.
        rename: maps a key of the file to one of the module; None drops it.
        unused: keys that the file can have in addition.

    Raises:
        InputError: the file cannot be read safely, or its keys or shapes do not match; the message lists the differences.
    """
    load_state(module, read_weights(path), str(path), rename, unused)


def load_state(
    module: nn.Module,
    state: Mapping[str, Tensor],
    origin: str,
    rename: Callable[[str], str | None] | None = None,
    unused: Collection[str] = (),
) -> None:
    """Like `load_weights`, for tensors in memory; `origin` names their source in errors."""
    if rename is not None:
        state = {new: tensor for key, tensor in state.items() if (new := rename(key)) is not None}
    known = module.state_dict()
    state = {key: tensor for key, tensor in state.items() if key in known or key not in unused}
    # Older files lack BatchNorm's count of batches, which only the cumulative average needs.
    state |= {
        key: old for key, old in known.items() if key.endswith("num_batches_tracked") and key not in state
    }
    if mismatch := difference(known, state):
        raise InputError(
            f"{origin}: these weights do not fit: {mismatch}; they are of another network or class count"
        )
    module.load_state_dict(dict(state))


def published(weights: WeightsEnum, where: str) -> Mapping[str, Tensor]:
    """Weights published by torchvision, from its cache or downloaded.

    Args:
        weights: torchvision's entry.
        where: setting that named them, for the error message.

    Raises:
        MachineError: they are not in the cache and cannot be downloaded.
    """
    try:
        state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise MachineError(
            f"{where}: cannot be downloaded ({reason(error)}); without a network connection, download "
            f"{weights.url} on another machine and give the file"
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
    """Read named tensors from a file to the CPU, without executing code in the file.

    Args:
        path: safetensors, or a file of `torch.save` with tensors by name, possibly under ``state_dict`` or a similar key
            next to other plain data. The prefix ``module.`` of data-parallel training is dropped.

    Raises:
        InputError: the file does not exist, is a Git-LFS pointer, a pickle with more than plain data, damaged or truncated,
            or contains no tensors, NaN or infinity.
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
            f"{path}: {plural(len(broken), 'tensor holds', 'tensors hold')} NaN or infinity: {_some(broken)}; "
            "the training that wrote them diverged: use an earlier checkpoint"
        )
    return state


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: damaged safetensors ({reason(error)}): its header does not match its content; download or save it again"
        ) from None


def _is_torch(path: Path, start: bytes) -> bool:
    """Decided by the first bytes.

    Safetensors begin with the length of their JSON header in eight bytes, of which the first may be those of a pickle or
    an archive, too.
    """
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= MAX_HEADER:
        return False
    return start.startswith(_TORCH) or path.suffix != ".safetensors"


def _read_torch(path: Path, start: bytes) -> dict[str, Tensor]:
    if not start.startswith(_TORCH):
        raise InputError(
            f"{path}: damaged, or not a file of weights: it begins with {start[:16]!r}, unlike safetensors and files of "
            "torch.save; download or save it again"
        )
    try:
        # The warnings are about pickles that torch did not write; it refuses or reads them. An open file, unlike a
        # path, has no suffix from which torch could guess another format.
        with warnings.catch_warnings(action="ignore"), path.open("rb") as file:
            content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: holds more than plain tensors{_objects(path)}, and reading it would run its code; "
            "save its state_dict as safetensors where you trust it"
        ) from None
    except _DAMAGED as error:
        raise InputError(
            f"{path}: damaged or truncated, or not a file of weights ({reason(error)}); download it again"
        ) from None
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected tensors by name (a state_dict), got {type(content).__name__}")
    if other := [str(key) for key, value in content.items() if not _is_plain(value)]:
        raise InputError(f"{path}: expected only plain tensors, got something else under: {_some(other)}")
    return {str(key): tensor for key, tensor in content.items()}


def _objects(path: Path) -> str:
    """Names of the code that a file of `torch.save` refers to; empty if they are unknown, as in the older format."""
    try:
        with warnings.catch_warnings(action="ignore"):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:
        return ""
    return f" ({_some(names)})" if names else ""


def _is_plain(value: object) -> bool:
    """Whether a value is a tensor that is neither sparse nor without data (meta)."""
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _some(keys: Collection[str]) -> str:
    shown = ", ".join(sorted(keys)[:_MAX_SHOWN])
    return shown if len(keys) <= _MAX_SHOWN else f"{shown}, ..."
