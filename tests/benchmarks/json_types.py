"""Values of another type in JSON files, in every reader: ``python -m tests.benchmarks.json_types``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzzed import targets
from retyped import failures


def main() -> int:
    """Replace each value of each reader's valid files by values of other types, and print those that end in another error."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of readers")
    options = parser.parse_args()
    failed = []
    for name, target in targets().items():
        if not options.only or any(part in name for part in options.only):
            with tempfile.TemporaryDirectory() as folder:
                found = failures(target, Path(folder))
            failed += found
            print(f"{name}: {len(found)} failures", *found, sep="\n  ", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
