"""Train two variants on a small synthetic data set, compare them, and write the report.

    python examples/train_and_report.py [FOLDER]

The same as `python -m bench run --variant ssd fcos --set ...`, from Python.
"""

import sys
from pathlib import Path

from bench.runs.run import run
from bench.settings.resolution import resolve
from reports.pages import write_report

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
settings = [
    "data.train=200",
    "data.val=20",
    "data.test=60",
    "train.epochs=5",
    "image.size=96,96",
    "workers=0",
]

finished = []
for variant in ("ssd", "fcos"):
    config = resolve(variant, data="shapes", sets=settings)
    finished.append(run(config, out))  # a finished run is reused, an interrupted one continues
    print(f"{finished[-1].result.name}: AP {finished[-1].result.headline['ap']:.3f}")

page = write_report(finished, out / "comparison")
print("Open", page)
