"""The smallest runs: a few synthetic images, a narrow network, one or two epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.runs.context import RunContext
from bench.runs.run import run
from bench.settings.config import RunConfig
from bench.settings.resolution import resolve
from reports.records.run import RunFolder

TINY: Mapping[str, Any] = {
    "data.train": 12,
    "data.val": 4,
    "data.test": 6,
    "data.size": "64,64",
    "data.scale": "12,40",
    "data.objects": "1,3",
    "image.size": "64,64",
    "train.epochs": 2,
    "train.batch": 4,
    "backbone.base_channel": 4,
    "device": "cpu",
    "threads": 1,
}

NARROW: Mapping[str, Mapping[str, Any]] = {
    "ssd": {"neck_channels": 8},
    "retinanet": {"head.channels": 8, "head.convs": 1},
    "fcos": {"head.channels": 8, "head.convs": 1},
    "faster_rcnn": {"head.channels": 8, "regions.hidden": 16},
    "cascade_rcnn": {"head.channels": 8, "regions.hidden": 16},
}


def tiny_sets(variant: str = "ssd", **more: Any) -> list[str]:
    """Values for ``--set``; in `more`, ``__`` stands for a dot: ``train__epochs=1``."""
    given = {**TINY, **NARROW.get(variant, {})} | {name.replace("__", "."): v for name, v in more.items()}
    if any(name.startswith("train.budget.") for name in given):
        del given["train.epochs"]
    return [
        f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in given.items()
    ]


def tiny_config(variant: str = "ssd", sets: Sequence[str] = (), **more: Any) -> RunConfig:
    """Settings of a tiny run."""
    return resolve(variant, sets=[*tiny_sets(variant, **more), *sets])


def finished_run(out: Path, variant: str = "ssd", **more: Any) -> RunFolder:
    """A tiny run of one epoch and two feature levels, without a page; `more` as in `tiny_sets`."""
    settings = {"train__epochs": 1, "levels": 2, **more}
    return run(tiny_config(variant, **settings), out, context=RunContext(page=False))
