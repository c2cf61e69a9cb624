"""Evaluation of a finished run again, with its weights and other settings of prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.data.types import Dataset
from bench.runs.finished_run import require_weights
from bench.settings import toml
from bench.settings.config import RunConfig
from bench.settings.resolution import open_run, resolve
from metrics.errors import InputError
from reports.records.run import RunFolder

_FREE = ("device", "threads", "workers")
"""Settings that may differ and are not of prediction."""


def prediction_settings(
    trained: RunFolder, sets: Sequence[str], options: dict[str, Any] | None = None
) -> tuple[Dataset, RunConfig]:
    """Open the data set of a finished run, and resolve the run's settings with other settings of prediction.

    Give both to `bench.runs.run.run`, with the same `trained`.

    Args:
        trained: a run of a variant that was trained here.
        sets: texts ``a.b=value``, of settings that do not affect training; see `EntryConfig.is_prediction_only`.
        options: other settings by dotted path, from options of the command.

    Raises:
        InputError: the run has no weights, a setting affects training, or no setting has another value.
    """
    for text in sets:
        toml.parse_set(text)  # a mistake on the command line comes first
    require_weights(trained, "so it cannot be evaluated again")
    file, name = trained.path / RunFolder.CONFIG, trained.result.variant
    before = dict(toml.leaves(resolve(name, file=file).tree()))
    dataset, config = open_run(name, {"file": file, "sets": sets, "options": options or {}})
    after = dict(toml.leaves(config.tree()))
    changed = [path for path in after if after[path] != before.get(path) and path not in _FREE]
    for path in changed:
        if not config.is_prediction_only(path):
            raise InputError(
                f"{path}: affects training, so {trained.result.name} cannot predict with another value; "
                f"train again with `bench run --config {file} --set {path}=...`"
            )
    if not changed:
        raise InputError(
            f"{trained.result.name}: no prediction setting has another value; give one, such as "
            "--set nms.iou=0.4 or --set evaluate.flip=true"
        )
    return dataset, config
