"""What goes on around a timing: the machine it runs on, what others do on it, and whether its clocks can be believed."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple

import psutil
import torch

from bench.runs.provenance import cpu_name, device_name, package_versions
from metrics.errors import MachineError
from reports.records.timing import Machine

JUMP = 0.5
"""Seconds by which the wall clock may go astray from the others before somebody must have moved it."""

SLEPT = 0.05
"""Seconds that the clock which counts sleep may be ahead before the machine must have slept."""

CROWDED = 0.1
"""Part of our own processors that others may use before they are in the way."""

_PACKAGES = ("torch", "torchvision", "numpy", "pillow")


def machine_of(device: torch.device, threads: int) -> Machine:
    """The machine as it is now, for work with so many threads of torch."""
    versions = package_versions()
    packages = {"python": platform.python_version()} | {n: versions[n] for n in _PACKAGES if n in versions}
    driver = power = ""
    numerics = {"float32 matmul": torch.get_float32_matmul_precision()}
    if device.type == "cuda":
        driver, power = [*ask_gpu(device, "driver_version", "power.limit"), "", ""][:2]
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
    """How the system sets the processors' clock: ``performance``; several with commas; empty where it does not say."""
    found = set()
    for file in root.glob("cpu[0-9]*/cpufreq/scaling_governor"):
        try:
            found.add(file.read_text().strip())
        except OSError:
            continue
    return ", ".join(sorted(found))


def ask_gpu(device: torch.device, *fields: str) -> list[str]:
    """What ``nvidia-smi`` says of a device; nothing where it is absent or does not answer."""
    which = torch.cuda.get_device_properties(device).uuid
    return _nvidia_smi(f"--id=GPU-{which}", f"--query-gpu={','.join(fields)}")


def users_of_gpu(device: torch.device) -> int:
    """How many other processes compute on a device; 0 where nobody can say."""
    which = torch.cuda.get_device_properties(device).uuid
    found = _nvidia_smi(f"--id=GPU-{which}", "--query-compute-apps=pid")
    return len(set(found) - {str(os.getpid())})


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice; torch has no type of its own for that on the CPU."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


def state_of(device: torch.device) -> str:
    """Clocks and temperature of an accelerator now; empty for the CPU, or where nothing can be read."""
    if device.type != "cuda":
        return ""
    return ", ".join(ask_gpu(device, "clocks.sm", "clocks.mem", "temperature.gpu"))


def _nvidia_smi(*words: str) -> list[str]:
    try:
        done = subprocess.run(
            ("nvidia-smi", *words, "--format=csv,noheader"),
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [part.strip() for part in done.stdout.replace("\n", ",").split(",") if part.strip()]


class Readings(NamedTuple):
    """All clocks at one moment, in seconds.

    Attributes:
        timer: the one that times; stands still while the machine sleeps.
        awake_or_not: one that goes on then.
        wall: the one that people see, and may move.
        busy: processors' work by all processes, on the processors that this one may use.
        own: processors' work by this process.
    """

    timer: float
    awake_or_not: float
    wall: float
    busy: float
    own: float


@dataclass(frozen=True, slots=True)
class Around:
    """What happened between two readings.

    Attributes:
        suspended_seconds: how long the machine slept.
        clock_jump_seconds: by how much the wall clock was moved, forward or back; 0 for less than half a second.
        other_cores: processors that others used on average; None where nothing can be said.
    """

    suspended_seconds: float
    clock_jump_seconds: float
    other_cores: float | None


def readings() -> Readings:
    """All clocks now."""
    boot = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.perf_counter()
    times = psutil.cpu_times(percpu=True)
    busy = sum(
        of.user + of.nice + of.system + getattr(of, "irq", 0) + getattr(of, "softirq", 0) + getattr(of, "steal", 0)
        for at, of in enumerate(times)
        if at in _processors()
    )  # fmt: skip
    return Readings(time.perf_counter(), boot, time.time(), busy, time.process_time())


def between(before: Readings, after: Readings) -> Around:
    """What happened from `before` to `after`."""
    passed = after.timer - before.timer
    really = after.awake_or_not - before.awake_or_not
    slept = really - passed
    jump = (after.wall - before.wall) - really
    others = (after.busy - before.busy) - (after.own - before.own)
    return Around(
        slept if slept > SLEPT else 0.0,
        jump if abs(jump) > JUMP else 0.0,
        max(others, 0.0) / passed if passed > 0 else None,
    )


def too_crowded(cores: int, threads: int, other_cores: float) -> bool:
    """Whether others used more processors than we left them, by more than a tenth of ours."""
    return other_cores > max(cores - threads, 0) + CROWDED * min(threads, cores)


@contextmanager
def alone_on_machine(folder: Path | None = None) -> Iterator[None]:
    """No other process may be in such a block at the same time: it would time us, and we it.

    Args:
        folder: where the lock is; by default the machine's folder for temporary files.

    Raises:
        MachineError: another one is.
    """
    if sys.platform == "win32":  # without such locks; the processors' load is looked at all the same
        yield
        return
    import fcntl

    path = Path(folder or gettempdir()) / f"detbench-timing-{os.getuid()}.lock"
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MachineError(
                "another `bench profile` is timing on this machine, and both would be wrong; wait for it to end"
            ) from None
        yield


def at_work(folders: Sequence[Path]) -> list[str]:
    """Names of the runs in `folders` that some process is training right now, by the locks that they hold."""
    if sys.platform == "win32":
        return []
    import fcntl

    working = []
    for folder in dict.fromkeys(folders):
        for lock in sorted(folder.glob("*.partial/.lock")):
            try:
                with lock.open("r") as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                working.append(lock.parent.name.removesuffix(".partial"))
            except OSError:  # it ended while we looked
                continue
    return working


def load() -> float | None:
    """Load average over one minute; None where the system keeps none."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def peak_memory(read: Callable[[], str] = lambda: Path("/proc/self/status").read_text()) -> int:
    """Bytes of the most memory that this process ever had at once.

    The kernel's mark of this program alone: what `resource` says would count the parent's memory before it began.
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
