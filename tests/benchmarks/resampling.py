"""Time and memory of a paired bootstrap of two runs of the size of COCO.

    python tests/benchmarks/resampling.py --scale M --resamples 1000
    python tests/benchmarks/resampling.py --scale M --peer      # also hotcoco's (too narrow) interval, on the same files

Each row is measured in its own process. `resamples` is average precision on each resample, of all classes together
and of each class, for both runs, from existing matches. `compare` is the whole comparison: matching of both runs,
intervals, classes and label swaps. Reading and compiling are not counted. Agreement with hotcoco's interval is no test: it
counts each image of a resample once, so its interval is that of subsets of 63 % of the images.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.pop(0)  # this folder, whose files may hide packages
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.processes import (
    HOME,
    OURS,
    ProcessFailed,
    generate_data,
    interpreter,
    run_script,
)
from tests.benchmarks.synthetic_data import SCALES


def main() -> None:
    """Read the command line, measure, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", default="M", choices=SCALES, help="size of the data")
    parser.add_argument("--resamples", type=int, default=1000, help="number of resamples")
    parser.add_argument("--peer", action="store_true", help="measure hotcoco, too; it is installed in --home")
    parser.add_argument("--home", type=Path, default=HOME, help="folder for environments and data")
    args = parser.parse_args()
    folder = generate_data(args.scale, args.home, perturbed=True)
    rows = [("resamples", OURS), ("compare", OURS)] + [("hotcoco", "hotcoco")] * args.peer
    print(
        f"{'':10} {'wall s':>8} {'cpu s':>8} {'ms each':>8} {'peak MB':>8}   95 % interval of the difference in AP"
    )
    for method, evaluator in rows:
        python = interpreter(evaluator, args.home)
        if python is None:
            continue
        try:
            run = run_script(python, "resampling_run.py", method, str(folder), str(args.resamples))
        except ProcessFailed as error:
            sys.exit(f"{method}: {error}")
        wall, cpu, low, high = (run.result[name] for name in ("wall", "cpu", "low", "high"))
        each = 1000 * wall / args.resamples
        times = f"{wall:8.2f} {cpu:8.2f} {each:8.2f} {run.peak_mb:8.0f}"
        print(f"{method:10} {times}   [{low:+.5f}, {high:+.5f}]", flush=True)


if __name__ == "__main__":
    main()
