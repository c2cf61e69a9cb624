"""Evaluators side by side: time, processor time and memory, each run in a fresh process, in turns.

    python tests/benchmarks/evaluators.py --scale M dense --mode array json
    python tests/benchmarks/evaluators.py --slope              # ours, on four sizes: the power of growth

The first run makes a folder (--home) with an environment for each evaluator and the data; an evaluator that cannot be
installed is named and left out. Numbers are medians; ``load`` is truth and detections, ``x`` the ratio of load +
evaluate to the fastest evaluator that is not ours, ``MB`` the peak of the whole process. Since other programs disturb
wall time more than processor time, both are given, and how busy the machine was otherwise.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OURS = "detbench"
PEERS = {
    "hotcoco": "hotcoco==1.3.0",
    "ultrafast-pycocotools": "ultrafast-pycocotools==0.1.14",
    "vernier": "vernier==0.5.4",
    "faster-coco-eval": "faster-coco-eval==1.8.0",
    "pycocotools": "pycocotools==2.0.11",
}
SLOW = {"faster-coco-eval", "pycocotools"}
"""Timed only where they are asked for by name: they take from ten times to a thousand times as long."""


def interpreter(peer: str, home: Path) -> Path | None:
    """The interpreter of an evaluator's own environment, which is made where it is not there; None without it."""
    if peer == OURS:
        return Path(sys.executable)
    python = home / "environments" / peer / "bin" / "python"
    if not (python.parent / "ready").exists():
        print(f"installing {PEERS[peer]} ...", flush=True)
        commands = (
            [sys.executable, "-m", "venv", str(python.parents[1])],
            [str(python), "-m", "pip", "install", "-q", "numpy", PEERS[peer]],
        )
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"  left out: {done.stderr.strip().splitlines()[-1]}")
                return None
        (python.parent / "ready").touch()
    return python


SCALES = ("S", "M/2", "M", "2M", "4M", "L", "L/10", "dense", "dense/10")
"""See `synthetic_data.py`."""


def data(scale: str, home: Path) -> Path:
    """The folder of a data set, which is drawn where it is not there."""
    folder = home / "data" / scale.replace("/", "-")
    if not (folder / "ready").exists():
        print(f"drawing {scale} ...", flush=True)
        # In a process of its own: the peak memory of a process counts from that of the one that began it.
        subprocess.run([sys.executable, str(HERE / "synthetic_data.py"), scale, str(folder)], check=True)
        (folder / "ready").touch()
    return folder


def busy_seconds() -> float:
    """Processor time that the whole machine has used; 0 where the system does not tell."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    return sum(int(fields[place]) for place in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")


def run_once(peer: str, python: Path, mode: str, scale: str, folder: Path) -> dict[str, Any]:
    """One process: its phases, its numbers, wall and processor time, peak memory, and others' share of the machine."""
    cuts = "1,100,3000" if scale.startswith("dense") else "1,10,100"
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        command = [
            str(python),
            str(HERE / "evaluator_run.py"),
            peer,
            mode,
            str(folder),
            cuts,
            str(result),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT) if peer == OURS else ""}
        busy, begin = busy_seconds(), time.perf_counter()
        with open(Path(scratch) / "errors", "w+") as errors:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            wall = time.perf_counter() - begin
            if process.returncode:
                errors.seek(0)
                return {
                    "error": (errors.read().strip().splitlines() or [f"signal {-process.returncode}"])[-1]
                }
        said: dict[str, Any] = json.loads(result.read_text())
    processor = usage.ru_utime + usage.ru_stime
    phases = said["phases"]
    phases["load"] = phases["truth"] + phases["found"]
    phases["both"] = phases["load"] + phases["evaluate"]
    return {
        **phases,
        "stats": said["stats"],
        "wall": wall,
        "processor": processor,
        "MB": usage.ru_maxrss / 1024,
        "others": max(0.0, busy_seconds() - busy - processor) / wall,
    }


HEADS = ("import", "load", "evaluate", "both", "x", "wall", "processor", "MB", "others")


def compare(
    scale: str, mode: str, pythons: dict[str, Path], home: Path, rounds: int
) -> dict[str, dict[str, float]]:
    """Medians of each evaluator over rounds in which each has one turn; printed as a table."""
    folder = data(scale, home)
    runs: dict[str, list[dict[str, Any]]] = {peer: [] for peer in pythons}
    for turn in range(rounds + 1):  # the first round only warms the file cache
        for peer, python in pythons.items():
            run = run_once(peer, python, mode, scale, folder)
            if "error" in run:
                print(f"{peer}: left out: {run['error']}")
            elif turn:
                runs[peer].append(run)
        pythons = {peer: python for peer, python in pythons.items() if turn == 0 or runs[peer]}
    medians = {
        peer: {name: median(run[name] for run in mine) for name in HEADS if name != "x"}
        for peer, mine in runs.items()
        if mine
    }
    others = [row["both"] for peer, row in medians.items() if peer != OURS]
    for row in medians.values():
        row["x"] = row["both"] / min(others) if others else math.nan
    print(f"\n{scale}, from {mode}: medians of {rounds} runs, in seconds")
    print(f"{'':24}" + "".join(f"{head:>10}" for head in HEADS))
    for peer, row in sorted(medians.items(), key=lambda item: item[1]["both"]):
        cells = (f"{row[head]:10.0f}" if head == "MB" else f"{row[head]:10.3f}" for head in HEADS)
        print(f"{peer:24}" + "".join(cells))
    ours = runs.get(OURS)
    for peer, mine in runs.items():
        if ours and mine and peer != OURS:
            gaps = [abs(a - b) for a, b in zip(mine[0]["stats"], ours[0]["stats"], strict=True)]
            # In dense scenes the first number is another: the reference's summary looks for 100 detections there.
            differing = [place for place, gap in enumerate(gaps) if gap > 1e-12]
            print(
                f"{peer:24}twelve numbers: "
                + ("equal" if not differing else f"differ at {differing} by {max(gaps):.1e}")
            )
    if others and OURS in medians:
        leanest = min(row["MB"] for peer, row in medians.items() if peer != OURS)
        print(
            f"ours / fastest {medians[OURS]['x']:.2f}, peak memory ours / leanest {medians[OURS]['MB'] / leanest:.2f}"
        )
    sys.stdout.flush()
    return medians


def slope(home: Path, rounds: int, mode: str) -> None:
    """The power by which our time grows with the number of detections: 1 is linear."""
    sizes, times = [], []
    for scale in ("M/2", "M", "2M", "4M"):
        row = compare(scale, mode, {OURS: Path(sys.executable)}, home, rounds)[OURS]
        sizes.append(math.log(1000 * {"M/2": 250, "M": 500, "2M": 1000, "4M": 2000}[scale]))
        times.append(math.log(row["both"]))
    center = sum(sizes) / len(sizes)
    power = sum((s - center) * t for s, t in zip(sizes, times, strict=True)) / sum(
        (s - center) ** 2 for s in sizes
    )
    print(f"time grows with detections to the power {power:.2f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", nargs="+", default=["M"], choices=SCALES)
    parser.add_argument("--mode", nargs="+", default=["array"], choices=["array", "json"])
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), help="by default all but the slow ones")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--home", type=Path, default=Path("~/.cache/detbench-benchmarks").expanduser())
    parser.add_argument("--slope", action="store_true", help="time ours on four sizes")
    given = parser.parse_args(arguments)
    if given.slope:
        for mode in given.mode:
            slope(given.home, given.rounds, mode)
        return
    peers = [peer for peer in PEERS if peer not in SLOW] if given.peers is None else given.peers
    found = {peer: interpreter(peer, given.home) for peer in [OURS, *peers]}
    pythons = {peer: python for peer, python in found.items() if python}
    for scale in given.scale:
        for mode in given.mode:
            compare(scale, mode, pythons, given.home, given.rounds)


if __name__ == "__main__":
    main()
