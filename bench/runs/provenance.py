"""Where a result comes from: versions, commit, device, threads, fingerprints, and the command that made it."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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
)


def environment(device: str | None = None) -> Environment:
    """Versions, machine and commit, as they are now.

    Args:
        device: what computed, as torch names it: ``cpu``, ``cuda:0``; None where torch had no part in it.
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
    """Version of each distribution that can move a number, those that are not installed left out."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def checkout(folder: Path) -> tuple[str | None, bool | None]:
    """Commit of the git checkout around `folder`, and whether files that it tracks are changed.

    Returns:
        None twice where there is no checkout, no commit, or no git.
    """

    def git(*words: str) -> str:
        done = subprocess.run(
            ("git", "-C", str(folder), *words), capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def cpu_name() -> str:
    """The processor's model, or its architecture where the system does not say."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """``cpu``, or the accelerator's own name."""
    import torch

    if torch.device(device).type == "cuda":
        return str(torch.cuda.get_device_name(torch.device(device)))
    return torch.device(device).type


def file_digest(path: str | Path) -> str:
    """sha256 hex of a file's bytes.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def command_line(arguments: Sequence[str], show_paths: bool = False) -> str:
    """The command as one could type it again, without what tells of this machine or its user.

    Args:
        arguments: what followed the program's name.
        show_paths: leave absolute paths as they are.
    """
    shown = [word if show_paths else without_place(word) for word in arguments]
    return " ".join(["python -m bench", *(shlex.quote(word) for word in shown)])


def without_place(text: str, folder: Path | None = None) -> str:
    """`text` with absolute paths made relative to `folder` (the current one), or cut to their last name.

    Also where the path follows ``=``, as in ``--set backbone.weights=/home/me/resnet.pth``.
    """
    name, equals, value = text.rpartition("=")
    if equals and not name.startswith(("/", "~")):
        return f"{name}={without_place(value, folder)}"
    if not (text.startswith("~") or os.path.isabs(text)):
        return text
    path = Path(os.path.normpath(os.path.expanduser(text)))
    folder = folder or Path.cwd()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def settings_without_place(value: Any) -> Any:
    """A tree of settings with the absolute paths in it shortened as by `without_place`."""
    if isinstance(value, Mapping):
        return {key: settings_without_place(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [settings_without_place(inner) for inner in value]
    return (
        without_place(value) if isinstance(value, str) and os.path.isabs(os.path.expanduser(value)) else value
    )


def settings_by_content(value: Any) -> Any:
    """A tree of settings in which each absolute or relative path of a file stands for that file's bytes.

    What decides a result is what is in the file: a copy elsewhere is the same cause, an edited file another.
    """
    if isinstance(value, Mapping):
        return {key: settings_by_content(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [settings_by_content(inner) for inner in value]
    if isinstance(value, str) and value and len(value) < 4096 and "\0" not in value and Path(value).is_file():
        return f"sha256:{file_digest(value)}"
    return value
