"""Compare evaluators by time, processor time and memory; each runs in fresh processes, in turns.

    python tests/benchmarks/evaluators.py --scale M dense --mode array json
    python tests/benchmarks/evaluators.py --slope              # growth of our time over four sizes

The first call installs an environment for each evaluator and generates the data (both in --home); an evaluator that
cannot be installed is skipped. All columns are medians over rounds, in seconds: `load` is reading truth and detections,
`total` is load + evaluate, `x` is total divided by that of the fastest other evaluator; `cpu` and `MB` are processor
time and peak memory of the whole process, and `other load` is the mean number of cores that other programs used
meanwhile. They disturb wall time more than processor time.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import linear_regression, median
from typing import Any

sys.path.pop(0)  # this folder, whose files may hide packages
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.processes import (
    DROP_IN,
    HOME,
    OURS,
    PEERS,
    ProcessFailed,
    generate_data,
    interpreter,
    run_script,
)
from tests.benchmarks.synthetic_data import SCALES

SLOW = {"faster-coco-eval", "pycocotools"}
"""Ten to a thousand times slower than the others, so measured only when named in --peers."""
COLUMNS = ("import", "load", "evaluate", "total", "x", "wall", "cpu", "MB", "other load")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", nargs="+", default=["M"], choices=SCALES, help="sizes of the data")
    parser.add_argument(
        "--mode", nargs="+", default=["array"], choices=["array", "json"], help="input from memory or files"
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=[DROP_IN, *PEERS],
        help="other evaluators; by default all but the slow ones and our own replacement of COCOeval",
    )
    parser.add_argument("--rounds", type=int, default=5, help="measured runs of each evaluator")
    parser.add_argument("--home", type=Path, default=HOME, help="folder for environments and data")
    parser.add_argument("--slope", action="store_true", help="measure only detbench, on four sizes")
    args = parser.parse_args(arguments)
    if args.slope:
        for mode in args.mode:
            measure_growth(args.home, args.rounds, mode)
        return
    peers = [peer for peer in PEERS if peer not in SLOW] if args.peers is None else args.peers
    installed = {evaluator: interpreter(evaluator, args.home) for evaluator in [OURS, *peers]}
    pythons = {evaluator: python for evaluator, python in installed.items() if python}
    for scale in args.scale:
        for mode in args.mode:
            compare(scale, mode, pythons, args.home, args.rounds)


def compare(
    scale: str, mode: str, pythons: dict[str, Path], home: Path, rounds: int
) -> dict[str, dict[str, float]]:
    """Run each evaluator once a round, print a table, and return the medians of each evaluator."""
    folder = generate_data(scale, home)
    pythons = dict(pythons)
    runs: dict[str, list[dict[str, Any]]] = {evaluator: [] for evaluator in pythons}
    for number in range(rounds + 1):  # the first round only warms the file cache
        for evaluator, python in list(pythons.items()):
            try:
                run = run_once(evaluator, python, mode, scale, folder)
            except ProcessFailed as error:
                print(f"{evaluator}: skipped: {error}")
                del pythons[evaluator]
            else:
                runs[evaluator] += [run] * (number > 0)
    medians = {
        evaluator: {name: median(run[name] for run in own) for name in COLUMNS if name != "x"}
        for evaluator, own in runs.items()
        if own
    }
    peers = [row for evaluator, row in medians.items() if evaluator not in (OURS, DROP_IN)]
    for row in medians.values():
        row["x"] = row["total"] / min(peer["total"] for peer in peers) if peers else math.nan
    print(f"\n{scale}, from {mode}: medians of {rounds} runs, in seconds")
    print(f"{'':24}" + "".join(f"{name:>11}" for name in COLUMNS))
    for evaluator, row in sorted(medians.items(), key=lambda item: item[1]["total"]):
        cells = (f"{row[name]:11.0f}" if name == "MB" else f"{row[name]:11.3f}" for name in COLUMNS)
        print(f"{evaluator:24}" + "".join(cells))
    if OURS in medians:
        for evaluator, own in runs.items():
            if own and evaluator != OURS:
                print(f"{evaluator:24}twelve numbers: {_difference(own[0]['stats'], runs[OURS][0]['stats'])}")
    if peers and OURS in medians:
        memory = medians[OURS]["MB"] / min(peer["MB"] for peer in peers)
        print(f"detbench / fastest other {medians[OURS]['x']:.2f}, peak memory / smallest other {memory:.2f}")
    sys.stdout.flush()
    return medians


def run_once(evaluator: str, python: Path, mode: str, scale: str, folder: Path) -> dict[str, Any]:
    """Run one process; return the columns of the table except `x`, and `stats`: the twelve numbers."""
    max_dets = "1,100,3000" if scale.startswith("dense") else "1,10,100"
    run = run_script(python, "evaluator_run.py", evaluator, mode, str(folder), max_dets)
    phases = run.result["phases"]
    load = phases["truth"] + phases["detections"]
    return {
        **phases,
        "load": load,
        "total": load + phases["evaluate"],
        "stats": run.result["stats"],
        "wall": run.wall,
        "cpu": run.cpu,
        "MB": run.peak_mb,
        "other load": run.other_load,
    }


def measure_growth(home: Path, rounds: int, mode: str) -> None:
    """Print the exponent with which our time grows with the number of detections: 1 is linear."""
    sizes, times = [], []
    for name in ("M/2", "M", "2M", "4M"):
        row = compare(name, mode, {OURS: Path(sys.executable)}, home, rounds)[OURS]
        sizes.append(math.log(SCALES[name].images * SCALES[name].detections))
        times.append(math.log(row["total"]))
    exponent = linear_regression(sizes, times).slope
    print(f"time grows with the number of detections to the power of {exponent:.2f}")


def _difference(stats: list[float], ours: list[float]) -> str:
    # In dense scenes the first number differs: the reference computes it at 100 detections per image.
    gaps = [abs(a - b) for a, b in zip(stats, ours, strict=True)]
    differing = [index for index, gap in enumerate(gaps) if gap > 1e-12]
    return f"differ at {differing} by up to {max(gaps):.1e}" if differing else "equal"


if __name__ == "__main__":
    main()
