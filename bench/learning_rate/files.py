"""Files of a learning-rate finder: settings for a run, a figure, and the table of steps."""

from __future__ import annotations

import math
from pathlib import Path

from bench.data.types import Split
from bench.learning_rate.range_test import FEWEST, RangeTest, RateRange
from bench.runs.folders import digest, slug
from bench.runs.provenance import settings_by_content
from bench.settings import toml
from bench.settings.config import RunConfig
from metrics.atomic_files import atomic_write
from metrics.plurals import plural
from reports.figures.range_test import range_test_figure
from reports.records.csv import to_csv


def summary(result: RangeTest) -> str:
    """Sentences on a range test: the suggested rate and its rule, the rate of the lowest loss, and where the loss diverged."""
    if math.isnan(result.suggestion):
        if not len(result.rate):
            return "No suggestion: the loss of the first step is not finite."
        return (
            f"No suggestion: the loss did not fall after the first {FEWEST} of {plural(len(result.rate), 'step')}; "
            "test other rates with --lowest and --highest."
        )
    ends = "diverged beyond" if result.diverged else "was tested up to"
    return (
        f"Suggested learning rate: {result.suggestion:g}, where the loss falls fastest (steepest descent). "
        f"The loss is lowest at {result.lowest:.2g} (a tenth of that is {result.lowest / 10:.2g}) and {ends} {result.rate[-1]:.2g}."
    )


def save_range_test(
    result: RangeTest, config: RunConfig, split: Split, tested: RateRange, data: str, out: Path
) -> Path:
    """Write ``range-test.csv``, ``learning-rate.png``, ``learning-rate.svg``, and ``learning-rate.toml`` if there is a suggestion.

    Args:
        result: of the test.
        config: settings of the run.
        split: training images.
        tested: the learning rates.
        data: name of the data set.
        out: parent folder.

    Returns:
        The folder ``<variant>-<data>-<digest of data, settings and rates>`` in `out`.
    """
    import pandas as pd

    cause = {
        "data": split.fingerprint,
        "settings": settings_by_content(config.tree()),
        "rates": [tested.lowest, tested.highest, tested.steps],
    }
    folder = out / f"{slug(config.variant)}-{slug(data)}-{digest(cause)}"
    table = pd.DataFrame({"rate": result.rate, "loss": result.loss, "smoothed": result.smoothed})
    atomic_write(folder / "range-test.csv", to_csv(table))
    finding = summary(result)
    title = f"{config.variant} on {data}, {config.train.optimizer}"
    figure = range_test_figure(
        title, finding, result.rate, result.loss, result.smoothed, result.steepest, result.lowest
    )
    atomic_write(folder / "learning-rate.svg", figure.svg)
    atomic_write(folder / "learning-rate.png", figure.png())
    if math.isfinite(result.suggestion):
        head = f"# {finding}\n# Use it with: python -m bench run --variant {config.variant} --config FILE\n"
        atomic_write(folder / "learning-rate.toml", head + toml.write({"train": {"lr": result.suggestion}}))
    return folder
