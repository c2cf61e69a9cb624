"""AP of every assigner that a variant offers, on `shapes`: each is trained once, by the variant's own defaults.

    python -m tests.benchmarks.assigners --out runs --images 500 --epochs 4

Finished runs are reused. AP of a choice that does not learn is below 0.01, where the others of its variant reach 0.1 or more.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from bench.process.progress import Progress
from bench.runs.context import RunContext
from bench.runs.run import run
from bench.settings.resolution import resolve
from detectors.registry import VARIANTS


def main() -> None:
    """Train every choice and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--images", type=int, default=500, help="training images")
    parser.add_argument("--epochs", type=int, default=4, help="passes over them")
    parser.add_argument("--variants", nargs="*", default=[], help="only these variants")
    args = parser.parse_args()
    data = [f"data.train={args.images}", "data.test=150", "data.val=20", f"train.epochs={args.epochs}"]
    context = RunContext(progress=Progress.auto(), page=False)
    print("| variant | assigner | AP | AP50 | training s |\n| --- | --- | --- | --- | --- |", flush=True)
    for name, assigner in choices(args.variants):
        result = run(resolve(name, sets=[*data, f"assigner={assigner}"]), args.out, context=context).result
        ap, ap50, seconds = result.headline["ap"], result.headline["ap50"], result.budget.train_seconds
        print(f"| {name} | {assigner} | {ap:.3f} | {ap50:.3f} | {seconds:.0f} |", flush=True)


def choices(variants: list[str]) -> list[tuple[str, str]]:
    """Every variant with a setting `assigner`, and each of its values."""
    fields = {
        name: VARIANTS[name].config.model_fields.get("assigner") for name in variants or VARIANTS.names()
    }
    return [
        (name, value)
        for name, field in fields.items()
        if field is not None
        for value in get_args(field.annotation)
    ]


if __name__ == "__main__":
    main()
