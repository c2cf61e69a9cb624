"""Files of a search for priors: settings for a run, a figure, and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from bench.anchors.fit import AnchorFit
from bench.runs.folders import digest, slug
from bench.runs.provenance import settings_by_content
from bench.settings import toml
from detectors.anchor_fit import Fit, FitRow
from metrics.atomic_files import atomic_write
from reports.elements.page import Figure
from reports.figures.anchor_fit import Curve, anchor_figure, recall_by_size
from reports.records.csv import to_csv

_DRAWN = 3000


def save_fit(fit: AnchorFit, data: str, out: Path) -> Path:
    """Write ``priors.toml``, ``priors.png``, ``priors.svg``, ``fit.csv`` and ``unreached.csv``, deterministically.

    Args:
        fit: result of the search.
        data: name of the data set.
        out: parent folder.

    Returns:
        The folder ``<variant>-<data>-<digest of data and settings>`` in `out`.
    """
    import pandas as pd

    config = fit.config
    cause = {
        "data": [split.fingerprint for split, _ in fit.splits.values()],
        "settings": settings_by_content(fit.settings()),
    }
    folder = out / f"{slug(config.variant)}-{slug(data)}-{digest(cause)}"
    remarks = [fit.summary(), "Use it with: python -m bench run --config FILE"]
    head = "".join(f"# {line}\n" for text in remarks for line in text.split("\n"))
    atomic_write(folder / "priors.toml", head + toml.write(fit.settings()))
    atomic_write(folder / "fit.csv", to_csv(pd.DataFrame(row.as_dict() for row in rows(fit))))
    columns = ["split", "image", "class", "x", "y", "width", "height", "iou_current", "iou_fitted"]
    atomic_write(folder / "unreached.csv", to_csv(pd.DataFrame(unreached(fit), columns=columns)))
    figure = _figure(fit, data)
    atomic_write(folder / "priors.svg", figure.svg)
    atomic_write(folder / "priors.png", figure.png())
    return folder


class SplitRow(NamedTuple):
    """How well the current or the fitted priors fit a group of a split's objects."""

    split: str
    priors: Literal["current", "fitted"]
    fit: FitRow

    def as_dict(self) -> dict[str, Any]:
        """The columns of ``fit.csv``."""
        values = self.fit._asdict()
        del values["kind"]
        return {"split": self.split, "priors": self.priors, **values}


def rows(fit: AnchorFit) -> list[SplitRow]:
    """Fit of all objects, by size, by level and by class, for each split and with the current and the fitted priors."""
    table = []
    for name, (split, inputs) in fit.splits.items():
        measured_of: dict[Literal["current", "fitted"], Fit] = {
            "current": fit.before[name],
            "fitted": fit.after[name],
        }
        for priors, measured in measured_of.items():
            of_classes = [
                measured.row("class", f"class {class_name}", inputs.labels == label)
                for label, class_name in enumerate(split.truth.catalog.classes)
            ]
            table += [SplitRow(name, priors, row) for row in [*measured.rows(), *of_classes]]
    return table


def unreached(fit: AnchorFit) -> list[dict[str, Any]]:
    """Objects whose best IoU is below the threshold with the current or the fitted priors; worst first in each split.

    ``iou_current`` and ``iou_fitted`` are the best IoU with the current and the fitted priors; ``x``, ``y``, ``width``,
    ``height`` are the annotated box, in pixels of the image.
    """
    table = []
    for name, (split, inputs) in fit.splits.items():
        before, after, truth = fit.before[name], fit.after[name], split.truth
        missed = np.flatnonzero(np.minimum(before.best_iou, after.best_iou) < after.threshold)
        for index in missed[np.argsort(after.best_iou[missed], kind="stable")]:
            row = inputs.rows[index]
            image = truth.image[row]
            box = dict(zip(("x", "y", "width", "height"), truth.xywh[row].tolist(), strict=True))
            table.append(
                {
                    "split": name,
                    "image": truth.catalog.file_names[image] or str(truth.catalog.image_ids[image]),
                    "class": truth.catalog.classes[truth.label[row]],
                    **box,
                    "iou_current": float(before.best_iou[index]),
                    "iou_fitted": float(after.best_iou[index]),
                }
            )
    return table


def _figure(fit: AnchorFit, data: str) -> Figure:
    _, train = fit.splits["train"]
    sides = train.boxes[:, 2:] - train.boxes[:, :2]
    if len(sides) > _DRAWN:
        sides = sides[np.random.default_rng(fit.config.seed).choice(len(sides), _DRAWN, replace=False)]
    sizes = np.sqrt(np.concatenate([measured.area for measured in fit.before.values()]))
    low, high = float(sizes.min()), float(sizes.max()) * (1 + 1e-9)
    if high < 1.1 * low:  # all of one size
        low, high = low / 1.1, high * 1.1

    def curve(measured: Fit) -> Curve:
        return recall_by_size(measured.area, measured.best_iou >= measured.threshold, low, high)

    curves = {name: (curve(fit.before[name]), curve(fit.after[name])) for name in fit.splits}
    height, width = fit.config.image.size
    title = f"{fit.config.variant} on {data}, input {width}x{height}"
    threshold = fit.before["train"].threshold
    return anchor_figure(title, fit.summary(), sides, fit.sizes_before, fit.sizes_after, curves, threshold)
