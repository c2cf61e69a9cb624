"""A thousand paired resamples of two runs the size of COCO: seconds, processor seconds, memory; beside hotcoco's.

    python tests/benchmarks/resampling.py --scale M --resamples 1000
    python tests/benchmarks/resampling.py --scale M --peer      # also hotcoco's paired interval, on the same files

Each measurement has a process of its own. ``resamples`` is what the mark speaks of: average precision at all ten IoU
thresholds, of all classes and of each, of both runs, from finished matches. ``compare`` is the whole: both runs matched,
intervals, classes, leave-one-out for BCa and label swaps. Kernels are compiled before the clock runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from synthetic_data import SCALES, draw, write
from evaluators import interpreter

HERE = Path(__file__).resolve().parent
OURS = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[4])
from metrics.compare import compare
from metrics.formats.coco import read_detections, read_truth
from metrics.matching import match
from metrics.resampling import RunRankings, image_weights, named_statistic, replicate
what, folder, resamples = sys.argv[1], sys.argv[2], int(sys.argv[3])
truth = read_truth(f"{folder}/truth.json")
runs = {name: (truth, read_detections(f"{folder}/{file}.json", truth)) for name, file in (("a", "found"), ("b", "other"))}
matches = {name: match(*run) for name, run in runs.items()}
statistic = named_statistic("ap", matches["a"].rule)
replicate(RunRankings(matches["a"]), image_weights(len(truth.catalog.image_ids), 1), [statistic])
wall, busy, said = time.perf_counter(), time.process_time(), {}
if what == "resamples":
    weights = image_weights(len(truth.catalog.image_ids), resamples)
    a, b = (replicate(RunRankings(of), weights, [statistic])[0].values for of in matches.values())
    said = {"low": float(sorted(a - b)[int(0.025 * resamples)]), "high": float(sorted(a - b)[int(0.975 * resamples)])}
else:
    row = compare(runs, resamples=resamples).difference("a", "b")
    said = {"low": row.ci_low, "high": row.ci_high} if row.model_a == "a" else {"low": -row.ci_high, "high": -row.ci_low}
said |= {"wall": time.perf_counter() - wall, "busy": time.process_time() - busy}
print(json.dumps(said | {"MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""
PEER = """
import json, resource, sys, time
import hotcoco
folder, resamples = sys.argv[2], int(sys.argv[3])
truth = hotcoco.COCO(f"{folder}/truth.json")
runs = []
for file in ("other", "found"):
    runs.append(hotcoco.COCOeval(truth, truth.load_res(f"{folder}/{file}.json"), "bbox"))
    runs[-1].evaluate()
wall, busy = time.perf_counter(), time.process_time()
said = hotcoco.compare(*runs, n_bootstrap=resamples, seed=0)["ci"]["AP"]
said = {"low": said["lower"], "high": said["upper"]}
said |= {"wall": time.perf_counter() - wall, "busy": time.process_time() - busy}
print(json.dumps(said | {"MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def two_runs(scale: str, home: Path) -> Path:
    """A folder with truth and the detections of two runs: as drawn, and with other scores and a twentieth left out."""
    folder = home / "data" / f"two-{scale.replace('/', '-')}"
    if (folder / "other.json").exists():
        return folder
    columns = draw(SCALES[scale])
    write(columns, folder)
    rng = np.random.default_rng(0)
    count = len(columns["found_score"])
    kept = np.flatnonzero(rng.random(count) < 0.95)
    other = {name: column[kept] if name.startswith("found") else column for name, column in columns.items()}
    scores = np.asarray(other["found_score"], np.float64) * np.exp(rng.normal(0, 0.1, len(kept)))
    other["found_score"] = np.round(np.clip(scores, 0.001, 1), 5)
    write(other, folder / "beside")
    (folder / "beside" / "found.json").rename(folder / "other.json")
    return folder


def measure(python: Path, script: str, what: str, folder: Path, resamples: int) -> dict[str, Any]:
    """One measurement in a fresh process."""
    command = [str(python), "-c", script, what, str(folder), str(resamples), str(HERE.parents[1])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", default="M", choices=SCALES)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument(
        "--peer", action="store_true", help="also hotcoco, which is installed beside the data"
    )
    parser.add_argument("--home", type=Path, default=Path("~/.cache/detbench-benchmarks").expanduser())
    given = parser.parse_args()
    folder = two_runs(given.scale, given.home)
    rows = [("resamples", Path(sys.executable), OURS), ("compare", Path(sys.executable), OURS)]
    peer = interpreter("hotcoco", given.home) if given.peer else None
    if peer:
        rows.append(("hotcoco", peer, PEER))
    print(
        f"{'':10} {'wall s':>8} {'busy s':>8} {'ms each':>8} {'peak MB':>8}   interval of the difference in AP"
    )
    for what, python, script in rows:
        found = measure(python, script, what, folder, given.resamples)
        each = 1000 * found["wall"] / given.resamples
        interval = f"[{found['low']:+.5f}, {found['high']:+.5f}]"
        print(
            f"{what:10} {found['wall']:8.2f} {found['busy']:8.2f} {each:8.2f} {found['MB']:8.0f}   {interval}",
            flush=True,
        )


if __name__ == "__main__":
    main()
