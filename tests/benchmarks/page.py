"""Processor time of the page of one run with 100 detections per image, without the time of imports.

    python -m tests.benchmarks.page
    python -m tests.benchmarks.page --against REVISION     # also of another revision, in turn, and the ratio

Each page is written in a fresh process, where it is the first one, and then several times more, of which the best counts.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
LATER = 5
"""Pages that are written after the first one."""


def main() -> None:
    """Print seconds of the first page and of the best later page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--processes", type=int, default=3, help="of each revision")
    parser.add_argument("--against", metavar="REVISION", help="of git, to compare with")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(options.measure)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = write_run(folder, options.images)
        trees = {"this tree": ROOT}
        if options.against:
            trees[options.against] = unpack(options.against, folder / "other")
        best = {label: [np.inf, np.inf] for label in trees}
        for _ in range(options.processes):
            for label, tree in trees.items():
                best[label] = np.minimum(best[label], child(tree, run)).tolist()
        for label, (first, later) in best.items():
            print(f"{label:>16}: {first:5.2f} s the first page, {later:5.2f} s a later one")
        if options.against:
            (first, later), (first_other, later_other) = best.values()
            print(f"{'ratio':>16}: {first / first_other:5.2f}   {later / later_other:22.2f}")


def write_run(folder: Path, images: int) -> Path:
    """A synthetic run on disk: the detections of the page's tests, and background up to 100 detections per image."""
    sys.path.append(str(ROOT / "tests" / "reports"))
    from synthetic_runs import found_in, run_in, truth_of

    from metrics.tables import DetectionTable

    truth = truth_of(images, ("round", "long", "odd", "flat", "wide"))
    found, rng = found_in(truth, 0.6, 0), np.random.default_rng(0)
    builder = DetectionTable.builder(truth.catalog)
    for at, image in enumerate(truth.catalog.image_ids):
        rows = np.flatnonzero(found.image == at)
        more = 100 - len(rows)
        corner = rng.uniform(0, 200, (more, 2))
        background = np.c_[corner, corner + rng.uniform(10, 110, (more, 2))].round(1)
        builder.add(
            image,
            np.r_[found.boxes[rows], background],
            np.r_[found.score[rows], rng.beta(1, 20, more).round(4)],
            np.r_[found.label[rows], rng.integers(0, 5, more)],
        )
    return run_in(folder, truth, "ssd", 0.6, found=builder.build()).path


def measure(run: Path) -> tuple[float, float]:
    """Processor seconds of the first page in this process, and the fewest of a later one."""
    import matplotlib.backends.backend_svg  # noqa: F401

    from reports.pages import write_report
    from reports.records.run import RunFolder

    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(1 + LATER):
            opened, began = RunFolder.open(run), time.process_time()
            write_report([opened], folder)
            seconds.append(time.process_time() - began)
    return seconds[0], min(seconds[1:])


def unpack(revision: str, folder: Path) -> Path:
    """The files of a revision of this repository, in `folder`."""
    packed = subprocess.run(["git", "-C", ROOT, "archive", revision], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def child(tree: Path, run: Path) -> tuple[float, float]:
    """`measure` in a fresh process with the packages of `tree`."""
    command = [sys.executable, "-P", str(Path(__file__).resolve()), "--measure", str(run)]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    # Kernels are compiled by the first process of a tree, whose first page therefore does not count as the fewest seconds.
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    first, later = json.loads(done.stdout)
    return first, later


if __name__ == "__main__":
    main()
