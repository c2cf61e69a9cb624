"""Child processes of the benchmarks: environments of other packages, synthetic data on disk, time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
HOME = Path("~/.cache/detbench-benchmarks").expanduser()
OURS = "detbench"
DROP_IN = "detbench-cocoeval"
"""Our `COCOeval`, with the annotations and results of pycocotools' `COCO`."""
PEERS = {
    "hotcoco": "hotcoco==1.3.0",
    "ultrafast-pycocotools": "ultrafast-pycocotools==0.1.14",
    "vernier": "vernier==0.5.4",
    "faster-coco-eval": "faster-coco-eval==1.8.0",
    "pycocotools": "pycocotools==2.0.11",
}


class ProcessFailed(RuntimeError):
    """A child process failed; the message is the last line of its standard error."""


class ProcessRun(NamedTuple):
    """Result and resource use of a child process.

    Attributes:
        result: the JSON object that it wrote.
        wall: seconds from start to exit.
        cpu: processor time of all its threads, in seconds.
        peak_mb: maximum resident memory, in MB.
        other_load: mean number of cores that other processes used meanwhile; 0 where the system does not report it.
    """

    result: dict[str, Any]
    wall: float
    cpu: float
    peak_mb: float
    other_load: float


def interpreter(evaluator: str, home: Path) -> Path | None:
    """Python of an evaluator's own environment, which is installed once; None if the installation fails."""
    if evaluator in (OURS, DROP_IN):
        return Path(sys.executable)
    python = home / "environments" / evaluator / "bin" / "python"
    if not (python.parent / "ready").exists():
        print(f"installing {PEERS[evaluator]} ...", flush=True)
        commands = (
            [sys.executable, "-m", "venv", str(python.parents[1])],
            [str(python), "-m", "pip", "install", "-q", "numpy", PEERS[evaluator]],
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"  skipped: {done.stderr.strip().splitlines()[-1]}")
                return None
        (python.parent / "ready").touch()
    return python


def generate_data(scale: str, home: Path, perturbed: bool = False) -> Path:
    """Folder of a synthetic data set, which is generated once; see `synthetic_data.py`."""
    folder = home / "datasets" / (scale.replace("/", "-") + "-perturbed" * perturbed)
    if not (folder / "ready").exists():
        print(f"generating data set {scale} ...", flush=True)
        # In its own process: the peak memory of a child process starts from the memory of its parent.
        command = [sys.executable, "-P", str(FOLDER / "synthetic_data.py"), scale, str(folder)]
        subprocess.run(command + ["--perturbed"] * perturbed, check=True)
        (folder / "ready").touch()
    return folder


def run_script(python: Path, script: str, *arguments: str) -> ProcessRun:
    """Run a script of this folder in a fresh process; its last argument is the JSON file that it writes.

    Raises:
        ProcessFailed: the process failed.
    """
    # `-P` keeps this folder from hiding packages; only our own Python finds detbench, in the working tree.
    ours = python == Path(sys.executable)
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parents[1]) if ours else ""}
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "result.json"
        command = [str(python), "-P", str(FOLDER / script), *arguments, str(output)]
        busy, start = _busy_seconds(), time.perf_counter()
        with open(Path(scratch) / "errors", "w+") as errors:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            wall = time.perf_counter() - start
            if process.returncode:
                errors.seek(0)
                lines = errors.read().strip().splitlines() or [f"signal {-process.returncode}"]
                raise ProcessFailed(lines[-1])
        result = json.loads(output.read_text())
    cpu = usage.ru_utime + usage.ru_stime
    other_load = max(0.0, _busy_seconds() - busy - cpu) / wall
    return ProcessRun(result, wall, cpu, usage.ru_maxrss / 1024, other_load)


def _busy_seconds() -> float:
    """Processor time that the whole machine has used; 0 where the system does not report it."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, irq, softirq = (int(fields[index]) for index in (0, 1, 2, 5, 6))
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
