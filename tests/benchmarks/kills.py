"""Kill commands at random moments, run them again, and compare the results with those of an undisturbed command.

    python -m tests.benchmarks.kills --kills 25
    python -m tests.benchmarks.kills run tune --kills 5
    python -m tests.benchmarks.kills tune --each-operation
    python -m tests.benchmarks.kills tune --each-operation --sample 10

Each command runs in a process group of its own, which gets SIGKILL after a random share of the time that it took undisturbed,
again and again until it ends by itself. With ``--each-operation``, the command runs once in this process, its folder is copied
before every file operation, and the command is run again on each copy, or on some of them (``--sample``);
`tests/bench/test_kills.py` does so for a run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from metrics.tables import AnnotationTable, DetectionTable

ROOT = Path(__file__).resolve().parents[2]

SMALL = (
    "data.train=48 data.val=8 data.test=12 data.size=64,64 data.scale=12,40 image.size=64,64 train.batch=4 "
    "backbone.base_channel=4 workers=0 threads=1 train.checkpoint_minutes=0.001 neck_channels=8"
)  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command whose results do not depend on interruptions.

    Attributes:
        words: after ``python -m bench``; ``OUT`` is its folder, ``RUNS`` a folder of two finished runs, ``DATA`` a data set.
        results: what it leaves in its folder, without clocks.
    """

    words: str
    results: Callable[[Path], object]


def run_results(out: Path) -> object:
    """Detections, ground truth and numbers of the runs in a folder."""
    found = {}
    for file in sorted(out.glob("*/result.json")):
        folder = file.parent
        found[folder.name] = (
            json.loads(file.read_text())["headline"],
            DetectionTable.load(folder / "detections.parquet").fingerprint,
            AnnotationTable.load(folder / "truth.parquet").fingerprint,
            (folder / "report.html").is_file(),
        )
    return found, _litter(out)


def study_results(out: Path) -> object:
    """Settings and values of the counted trials, and the chosen settings."""
    found = {}
    for file in sorted(out.glob("*/study.json")):
        study = json.loads(file.read_text())
        found[file.parent.name.rsplit("-", 1)[0]] = (
            sum(trial["state"] == "complete" for trial in study["trials"]),
            (file.parent / "report.html").is_file(),
        )
    return found, _litter(out)


def page_results(out: Path) -> object:
    """All files of a page."""
    return {
        str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()
    }


def data_results(out: Path) -> object:
    """All files of a data set."""
    return page_results(out)


COMMANDS = {
    "run": Command(f"run --variant ssd --epochs 3 --quiet --out OUT --set {SMALL}", run_results),
    "compare": Command("compare RUNS --quiet --out OUT --resamples 200", page_results),
    "tune": Command(
        f"tune --variant ssd --epochs 1 --space train.lr --trials 4 --again 1 --quiet --out OUT --set {SMALL}",
        study_results,
    ),
    "data": Command("data DATA --to yolo OUT/converted --quiet", data_results),
}


def disturbed(
    command: Command,
    places: dict[str, str],
    folder: Path,
    seconds: float,
    rng: random.Random,
    expected: object,
) -> tuple[int, object]:
    """Kill a command at random moments, at most ten times, and let it end; the number of kills, and its results."""
    out = folder / "out"
    kills = 0
    while True:
        process = start(command, {**places, "OUT": str(out)})
        try:
            code = process.wait(rng.uniform(0.05, 1.0) * seconds if kills < 10 else None)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            if (
                command.results(out) == expected
            ):  # the results were complete, and `data --to` refuses to write again
                return kills, expected
            continue
        if code:
            raise RuntimeError(
                f"exit code {code} after {kills} kills: {process.stderr.read() if process.stderr else ''}"
            )
        return kills, command.results(out)


def after_each_operation(
    command: Command, places: dict[str, str], folder: Path, expected: object, sample: int | None = None
) -> tuple[int, int, int]:
    """Run a command again on its folder as it was before each of its file operations.

    Args:
        command: is run.
        places: for `_filled`.
        folder: for its folder and the copies.
        expected: the results of an undisturbed command.
        sample: number of states that are tried, at equal distances; all by default.

    Returns:
        The number of states, of those that were tried, and of those with another result.
    """
    from killed import states_after_kills

    from bench.cli import main as bench
    from metrics import atomic_files

    def run(out: Path) -> None:
        words = [_filled(word, {**places, "OUT": str(out)}) for word in command.words.split()]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
            code = bench(words)
        if code:
            raise RuntimeError(f"exit code {code}: {errors.getvalue()}")

    out = folder / "each"
    out.mkdir(parents=True)
    states = states_after_kills(out, lambda: run(out), folder / "copies")
    tried = states if sample is None else [states[k * len(states) // sample] for k in range(sample)]
    different = 0
    atomic_files._is_alive = lambda pid: False  # the process that was killed is this one
    for state in tried:
        if command.results(state) != expected:  # `data --to` refuses to write a second time
            run(state)
        wrong = command.results(state) != expected
        if wrong:
            print(f"state {state.name}: {command.results(state)}, expected {expected}", flush=True)
        different += wrong
        shutil.rmtree(state)
    return len(states), len(tried), different


def start(command: Command, places: dict[str, str]) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    words = [_filled(word, places) for word in command.words.split()]
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _filled(word: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        word = word.replace(name, value)
    return word


def _litter(out: Path) -> list[str]:
    """Temporary files, and folders of unfinished runs, that a finished command has left."""
    return sorted(
        str(path.relative_to(out))
        for path in out.rglob("*")
        if ".writing-" in path.name or path.name.endswith(".partial")
    )


def _prepare(folder: Path) -> dict[str, str]:
    """Two finished runs, and a COCO data set."""
    sys.path.append(str(ROOT / "tests"))
    from tiny_data import Picture, write_coco

    pictures = [Picture(f"{n:03}", objects=[(n % 2, (4 + n % 20, 6, 30 + n % 20, 30))]) for n in range(60)]
    write_coco(folder / "data" / "annotations.json", pictures, folder / "data" / "images")
    runs = Command(
        f"run --variant ssd fcos --epochs 1 --quiet --out OUT --set {SMALL.replace(' neck_channels=8', '')}",
        run_results,
    )
    process = start(runs, {"OUT": str(folder / "runs")})
    if process.wait():
        raise RuntimeError(process.stderr.read() if process.stderr else "")
    return {"RUNS": str(folder / "runs"), "DATA": str(folder / "data")}


def main() -> int:
    """Print a line per command; exit code 1 if a result differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("commands", nargs="*", help=f"of {', '.join(COMMANDS)}; all by default")
    parser.add_argument("--kills", type=int, default=25, help="of each command")
    parser.add_argument(
        "--each-operation", action="store_true", help="kill before each file operation instead"
    )
    parser.add_argument("--sample", type=int, help="of the states of --each-operation; all by default")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = _prepare(folder)
        for title in options.commands or COMMANDS:
            command = COMMANDS[title]
            began = time.monotonic()
            process = start(command, {**places, "OUT": str(folder / f"{title}-whole")})
            if process.wait():
                raise RuntimeError(process.stderr.read() if process.stderr else "")
            seconds = time.monotonic() - began
            expected = command.results(folder / f"{title}-whole")
            if options.each_operation:
                states, tried, different = after_each_operation(
                    command, places, folder / f"{title}-states", expected, options.sample
                )
                print(f"{title}: {tried} of {states} states, {different} with another result", flush=True)
                failed |= different > 0
                continue
            kills = commands = different = 0
            while kills < options.kills:
                again = folder / f"{title}-again"
                more, results = disturbed(command, places, again, seconds, rng, expected)
                kills, commands = kills + more, commands + 1
                different += results != expected
                shutil.rmtree(again, ignore_errors=True)
            print(
                f"{title}: {kills} kills of {commands} commands, {different} with another result", flush=True
            )
            failed |= different > 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
