"""Conditions of a timing: the machine, other work on it, sleep, and clock changes."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple

import psutil
import torch

from bench.process.locks import LockHeld, hold, is_held
from bench.runs.provenance import cpu_name, device_name, package_versions
from metrics.errors import MachineError
from reports.records.timing import Machine

CLOCK_JUMP = 0.5
"""Deviation in seconds of the wall clock from the timer above which the wall clock was changed."""

SUSPENSION = 0.05
"""Deviation in seconds of the clock that counts sleep above which the machine was suspended."""

CROWDED = 0.1
"""Share of our processors that other processes may use without invalidating a timing."""

_PACKAGES = ("torch", "torchvision", "numpy", "pillow")


def machine_of(device: torch.device, threads: int) -> Machine:
    """The machine in its current state, for work with `threads` threads of torch."""
    versions = package_versions()
    packages = {"python": platform.python_version()} | {n: versions[n] for n in _PACKAGES if n in versions}
    driver = power = ""
    numerics = {"float32 matmul": torch.get_float32_matmul_precision()}
    if device.type == "cuda":
        driver, power = [*query_gpu(device, "driver_version", "power.limit"), "", ""][:2]
        packages |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}  # type: ignore[no-untyped-call]
        numerics["cudnn TF32"] = str(torch.backends.cudnn.allow_tf32)
    return Machine(
        cpu=cpu_name(),
        cores=len(_processors()),
        threads=threads,
        governor=governor(),
        platform=f"{platform.system()} {platform.machine()}",
        device=device_name(str(device)),
        driver=driver,
        power_limit=power,
        packages=packages,
        numerics=numerics,
    )


def governor(root: Path = Path("/sys/devices/system/cpu")) -> str:
    """CPU frequency governors, such as ``performance``, separated by commas; empty if the system does not report them."""
    names = set()
    for file in root.glob("cpu[0-9]*/cpufreq/scaling_governor"):
        try:
            names.add(file.read_text().strip())
        except OSError:
            continue
    return ", ".join(sorted(names))


def query_gpu(device: torch.device, *fields: str) -> list[str]:
    """Fields of a device that ``nvidia-smi`` reports; empty if it is missing or fails."""
    uuid = torch.cuda.get_device_properties(device).uuid
    return _nvidia_smi(f"--id=GPU-{uuid}", f"--query-gpu={','.join(fields)}")


def other_gpu_processes(device: torch.device) -> int:
    """Number of other processes that compute on a device; 0 if unknown."""
    uuid = torch.cuda.get_device_properties(device).uuid
    pids = _nvidia_smi(f"--id=GPU-{uuid}", "--query-compute-apps=pid")
    return len(set(pids) - {str(os.getpid())})


def state_of(device: torch.device) -> str:
    """Current clock rates and temperature of an accelerator; empty for the CPU or if unknown."""
    if device.type != "cuda":
        return ""
    return ", ".join(query_gpu(device, "clocks.sm", "clocks.mem", "temperature.gpu"))


def _nvidia_smi(*arguments: str) -> list[str]:
    try:
        done = subprocess.run(
            ("nvidia-smi", *arguments, "--format=csv,noheader"),
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [part.strip() for part in done.stdout.replace("\n", ",").split(",") if part.strip()]


class ClockReadings(NamedTuple):
    """All clocks at one moment, in seconds.

    Attributes:
        timer: clock used for timing; does not advance while the machine is suspended.
        boot: clock that advances during suspension.
        wall: wall clock, which can be changed.
        busy: processor time of all processes, on the processors available to this one.
        own: processor time of this process.
    """

    timer: float
    boot: float
    wall: float
    busy: float
    own: float


@dataclass(frozen=True, slots=True)
class Disturbances:
    """Disturbances between two readings.

    Attributes:
        suspended_seconds: time of suspension.
        clock_jump_seconds: change of the wall clock, forward or back; 0 below half a second.
        other_cores: average number of processors that other processes used; None if unknown.
    """

    suspended_seconds: float
    clock_jump_seconds: float
    other_cores: float | None


def read_clocks() -> ClockReadings:
    """Read all clocks."""
    boot = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.perf_counter()
    times = psutil.cpu_times(percpu=True)
    busy = sum(
        of.user + of.nice + of.system + getattr(of, "irq", 0) + getattr(of, "softirq", 0) + getattr(of, "steal", 0)
        for at, of in enumerate(times)
        if at in _processors()
    )  # fmt: skip
    return ClockReadings(time.perf_counter(), boot, time.time(), busy, time.process_time())


def disturbances(before: ClockReadings, after: ClockReadings) -> Disturbances:
    """Disturbances from `before` to `after`."""
    timed = after.timer - before.timer
    elapsed = after.boot - before.boot
    suspended = elapsed - timed
    jump = (after.wall - before.wall) - elapsed
    others = (after.busy - before.busy) - (after.own - before.own)
    return Disturbances(
        suspended if suspended > SUSPENSION else 0.0,
        jump if abs(jump) > CLOCK_JUMP else 0.0,
        max(others, 0.0) / timed if timed > 0 else None,
    )


def is_crowded(cores: int, threads: int, other_cores: float) -> bool:
    """Whether other processes used more than the free processors, by more than a tenth of ours."""
    return other_cores > max(cores - threads, 0) + CROWDED * min(threads, cores)


@contextmanager
def exclusive_timing(folder: Path | None = None) -> Iterator[None]:
    """Block that only one process of this machine can be in at a time.

    Args:
        folder: folder of the lock; the folder for temporary files by default.

    Raises:
        MachineError: another process is in such a block.
    """
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    with ExitStack() as stack:
        try:
            stack.enter_context(hold(Path(folder or gettempdir()) / f"detbench-timing-{user}.lock"))
        except LockHeld as held:
            raise MachineError(
                f"another `bench profile` is running on this machine ({held.owner}), and each would distort the other; "
                "wait for it to end"
            ) from None
        yield


def active_runs(folders: Sequence[Path]) -> list[str]:
    """Names of the runs in `folders` that are in progress, according to their locks."""
    return [
        lock.parent.name.removesuffix(".partial")
        for folder in dict.fromkeys(folders)
        for lock in sorted(folder.glob("*.partial/.lock"))
        if is_held(lock)
    ]


def load() -> float | None:
    """Load average over one minute; None if the system has none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def peak_memory(read: Callable[[], str] = lambda: Path("/proc/self/status").read_text()) -> int:
    """Peak resident memory of this process in bytes.

    Read from the kernel, because `resource` also counts the parent's memory before the fork.
    """
    try:
        for line in read().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    info = psutil.Process().memory_info()
    return int(getattr(info, "peak_wset", info.rss))


def _processors() -> frozenset[int]:
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))
