"""``bench learning-rate``: find a learning rate by training a few steps with growing rates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options

NAME = "learning-rate"
EXAMPLES = """Examples:

python -m bench learning-rate --variant gfl --data my_images/

python -m bench learning-rate --variant ssd --set train.optimizer=sgd --highest 10
"""


def command(
    variant: options.Variants = None,
    data: options.Data = None,
    format: options.Format = None,
    preset: options.Presets = None,
    config: options.ConfigFile = None,
    set_: options.Sets = None,
    lowest: Annotated[float, typer.Option(metavar="X", help="First learning rate.")] = 1e-6,
    highest: Annotated[
        float,
        typer.Option(metavar="X", help="Last learning rate; the test ends earlier if the loss diverges."),
    ] = 10.0,
    steps: Annotated[int, typer.Option(metavar="N", help="Steps, each with one batch.")] = 100,
    seed: options.Seed = None,
    device: options.Device = None,
    workers: options.Workers = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Parent folder of the results.")] = Path(
        "learning-rates"
    ),
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Find a learning rate: train a few steps, each with a higher rate, until the loss diverges.

    The suggestion is the rate at which the loss falls fastest. Writes settings for `run --config`, a figure and a table; no
    weights are kept.
    """
    from bench.learning_rate.files import save_range_test, summary
    from bench.learning_rate.finder import find_learning_rate
    from bench.learning_rate.range_test import RateRange
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.detector import build_detector
    from bench.settings.resolution import open_run
    from metrics.atomic_files import require_writable

    tested = RateRange(lowest, highest, steps)
    require_writable(out, "--out", folder=True)
    entry = options.chosen_entry(variant, preset, config)
    sources = options.setting_sources(
        data, config, set_, entry.preset, format=format, seed=seed, device=device, workers=workers
    )
    dataset, settings = open_run(entry.variant, sources)
    split = dataset.splits["train"]
    detector = build_detector(settings, len(dataset.classes))
    result = find_learning_rate(detector, split, settings, tested, Progress.auto(quiet))
    folder = save_range_test(result, settings, split, tested, dataset.name, out)
    if json:
        print_json(
            {
                "folder": folder,
                "suggestion": result.suggestion,
                "steepest": result.steepest,
                "lowest": result.lowest,
                "diverged": result.diverged,
                "steps": len(result.rate),
            }
        )
        return
    print(summary(result))
    if math.isfinite(result.suggestion):
        file = folder / "learning-rate.toml"
        print(f"settings: {file}  (python -m bench run --variant {settings.variant} --config {file})")
    print(f"figure: {folder / 'learning-rate.png'}, {folder / 'learning-rate.svg'}")
    print(f"table: {folder / 'range-test.csv'}")
