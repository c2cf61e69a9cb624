"""Runs on different numbers of training images: those with the most, which are compared, and the others."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from reports.analysis.models import model_settings
from reports.records.run import RunFolder, RunResult

SETTING = "train_images"
"""Name of the setting in the section ``data``."""


def separate_sizes(runs: Sequence[RunFolder]) -> tuple[list[RunFolder], list[RunFolder]]:
    """The runs of each model with the most training images, and those of the same model with fewer, in order.

    Runs are of one model if they differ only in the seed and in ``data.train_images``. Without such runs, the second list is
    empty.
    """
    largest: dict[str, float] = defaultdict(float)
    for run in runs:
        key = size_free_identity(run.result)
        largest[key] = max(largest[key], _limit(run.result))
    most = [_limit(run.result) == largest[size_free_identity(run.result)] for run in runs]
    return (
        [run for run, kept in zip(runs, most, strict=True) if kept],
        [run for run, kept in zip(runs, most, strict=True) if not kept],
    )


def size_free_identity(result: RunResult) -> str:
    """What makes two runs different models, apart from the number of training images and the seed."""
    settings = model_settings(result)
    data = {name: value for name, value in settings.get("data", {}).items() if name != SETTING}
    alone = result.name if not settings and result.seed is None else ""
    return json.dumps([result.variant, {**settings, "data": data}, alone], sort_keys=True, default=str)


def _limit(result: RunResult) -> float:
    """The value of ``data.train_images``; infinite for all images."""
    data: Any = result.config.get("data")
    value = data.get(SETTING) if isinstance(data, dict) else None
    return math.inf if value is None else float(value)
