"""Damage valid files at random and read them: every reader reads each input, or refuses it as invalid.

    python -m tests.benchmarks.fuzz --minutes 60
    python -m tests.benchmarks.fuzz --only "truth via_2" --seed 7

An input that makes a reader crash or hang is kept in ``fuzz-failures/`` with its traceback. The input that is being read is
in ``fuzz-failures/current``, so that it is known even if the whole process dies.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from fuzzed import Target, inputs, limited, targets

from metrics.errors import InputError, MachineError, exit_code

FOLDER = Path("fuzz-failures")
REFUSED = (InputError.exit_code, MachineError.exit_code)


def fuzz(target: Target, seconds: float, seed: int, found: Counter[str]) -> tuple[int, int]:
    """Damage the input of one target for some processor time; the number of inputs, and of those that were read."""
    tried = read = 0
    end = time.process_time() + seconds
    with tempfile.TemporaryDirectory() as name:
        for file, content in inputs(target, Path(name), seed):
            (FOLDER / "current").write_bytes(content)
            tried += 1
            try:
                with limited():
                    target.read(Path(name))
                read += 1
            except Exception as error:
                if exit_code(error) not in REFUSED:
                    _keep(target, file, content, error, found)
            if time.process_time() > end:
                return tried, read
    raise AssertionError("unreachable")


def _keep(target: Target, file: Path, content: bytes, error: Exception, found: Counter[str]) -> None:
    """Keep the first input of each kind of failure: the kind is the place in our code where it left it."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename
    ]
    kind = f"{type(error).__name__} {Path(frames[-1].filename).name}:{frames[-1].lineno}"
    found[kind] += 1
    if found[kind] > 1:
        return
    stem = re.sub(r"\W+", "-", f"{target.name} {kind}")
    (FOLDER / f"{stem}{file.suffix}").write_bytes(content)
    text = "".join(traceback.format_exception(error))
    (FOLDER / f"{stem}.txt").write_text(f"{target.name}: {file.name}\n{text}")
    print(f"  {kind}: {str(error)[:100]!r}", flush=True)


def main() -> int:
    """Share the time among all targets; exit code 1 if there was a failure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="processor minutes of all targets together"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of targets; all by default")
    options = parser.parse_args()
    if unknown := set(options.only or ()) - set(targets()):
        parser.error(f"--only: no target {', '.join(sorted(unknown))}; they are {', '.join(targets())}")
    chosen = {
        name: target for name, target in targets().items() if options.only is None or name in options.only
    }
    FOLDER.mkdir(exist_ok=True)
    found: Counter[str] = Counter()
    total = 0
    for name, target in chosen.items():
        tried, read = fuzz(target, 60 * options.minutes / len(chosen), options.seed, found)
        total += tried
        print(f"{name}: {tried:,} inputs, {read:,} read, {tried - read:,} refused", flush=True)
    (FOLDER / "current").unlink(missing_ok=True)
    print(f"{total:,} inputs of {len(chosen)} readers, {len(found)} kinds of failure")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
