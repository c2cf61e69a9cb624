"""Resample two runs with one method; `resampling.py` starts it with the Python of the method's environment.

    python tests/benchmarks/resampling_run.py {resamples,compare,hotcoco} FOLDER RESAMPLES RESULT.json

The result has `wall` and `cpu`, the seconds of the method without imports, reading and compiling, and the 95 % interval
of the difference in average precision (`low`, `high`).
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

Interval = tuple[float, float]
Times = tuple[float, float]
"""Wall and processor time, in seconds."""


def resamples(folder: str, count: int) -> tuple[Interval, Times]:
    """Average precision of both runs on each resample, from existing matches."""
    from metrics.resampling import RunRankings, image_weights, replicate

    runs, matches, statistic = _runs(folder)
    start = _now()
    weights = image_weights(len(runs["a"][0].catalog.image_ids), count)
    a, b = (replicate(RunRankings(matches[name]), weights, [statistic])[0].values for name in "ab")
    differences = sorted((a - b).tolist())
    interval = differences[int(0.025 * count)], differences[int(0.975 * count)]
    return interval, _since(start)


def compare(folder: str, count: int) -> tuple[Interval, Times]:
    """The whole comparison: matching, intervals, classes, label swaps."""
    import metrics.compare

    runs, _, _ = _runs(folder)
    start = _now()
    row = metrics.compare.compare(runs, resamples=count).difference("a", "b")
    interval = (row.ci_low, row.ci_high) if row.model_a == "a" else (-row.ci_high, -row.ci_low)
    return interval, _since(start)


def hotcoco(folder: str, count: int) -> tuple[Interval, Times]:
    """Hotcoco's interval, from existing matches: of resamples in which each image counts once."""
    import hotcoco

    truth = hotcoco.COCO(f"{folder}/truth.json")
    runs = []
    for file in ("perturbed.json", "detections.json"):
        runs.append(hotcoco.COCOeval(truth, truth.load_res(f"{folder}/{file}"), "bbox"))
        runs[-1].evaluate()
    start = _now()
    found = hotcoco.compare(*runs, n_bootstrap=count, seed=0)["ci"]["AP"]
    return (found["lower"], found["upper"]), _since(start)


def _runs(folder: str) -> tuple[Any, Any, Any]:
    """Runs `a` and `b`, their matches, and average precision; the kernels are compiled by then."""
    from metrics.formats.coco import read_detections, read_truth
    from metrics.matching import match
    from metrics.resampling import RunRankings, image_weights, named_statistic, replicate

    truth = read_truth(f"{folder}/truth.json")
    files = {"a": "detections.json", "b": "perturbed.json"}
    runs = {name: (truth, read_detections(f"{folder}/{file}", truth)) for name, file in files.items()}
    matches = {name: match(*run) for name, run in runs.items()}
    statistic = named_statistic("ap", matches["a"].rule)
    replicate(RunRankings(matches["a"]), image_weights(len(truth.catalog.image_ids), 1), [statistic])
    return runs, matches, statistic


def _now() -> Times:
    return time.perf_counter(), time.process_time()


def _since(start: Times) -> Times:
    wall, cpu = _now()
    return wall - start[0], cpu - start[1]


METHODS = {"resamples": resamples, "compare": compare, "hotcoco": hotcoco}


def main() -> None:
    """Read the command line, resample, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("folder", help="folder of a synthetic data set with perturbed.json")
    parser.add_argument("resamples", type=int, help="number of resamples")
    parser.add_argument("result", help="JSON file to write")
    args = parser.parse_args()
    (low, high), (wall, cpu) = METHODS[args.method](args.folder, args.resamples)
    with open(args.result, "w") as file:
        json.dump({"low": low, "high": high, "wall": wall, "cpu": cpu}, file)


if __name__ == "__main__":
    main()
