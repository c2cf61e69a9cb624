"""Rows of a training's history: what was trained since the last row, and its validation."""

from __future__ import annotations

from collections.abc import Mapping

from bench.settings.config import RunConfig
from bench.training.checkpoint import Position
from bench.training.training_result import Row
from detectors.registry import VARIANTS


def history_row(
    config: RunConfig,
    position: Position,
    epoch: float,
    seconds: float,
    terms: Mapping[str, float],
    measures: Mapping[str, float],
) -> Row:
    """The row at a position.

    Args:
        config: settings of the run.
        position: of the training.
        epoch: passes over the training images until there.
        seconds: of the training until there.
        terms: mean of each term of the loss since the last row.
        measures: of the validation; empty without one.
    """
    row: Row = {
        "epoch": epoch,
        "images_seen": position.images_seen,
        "seconds": round(seconds, 3),
        "step_seconds": round(position.step_seconds, 3),
        "loss": sum(terms.values()),
        **terms,
        "lr": config.train.lr * position.factor,
        "val_ap": measures.get("ap"),
        "val_ap50": measures.get("ap50"),
    }
    if VARIANTS[config.variant].selection == "miou":
        row["val_miou"] = measures.get("miou")
    return row
