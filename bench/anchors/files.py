"""What a fit of priors leaves on disk: settings for a run, a picture, and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.anchors.fit import AnchorFit
from bench.runs.folders import digest, slug
from bench.runs.provenance import settings_by_content
from bench.settings import toml
from detectors.anchor_fit import Fit
from reports.elements.page import Figure
from reports.figures.anchor_fit import Curve, anchor_figure, recall_by_size
from reports.records.atomic_files import atomic_write
from reports.records.csv import to_csv

_DRAWN = 3000


def save_fit(fit: AnchorFit, data: str, out: Path) -> Path:
    """Write ``priors.toml``, ``priors.png``, ``priors.svg``, ``fit.csv`` and ``unreached.csv``; the same fit, the same bytes.

    Args:
        fit: what was found.
        data: what tables call the data set.
        out: the folder of such folders.

    Returns:
        The folder: ``<variant>-<data>-<digest of what was asked and found>`` in `out`.
    """
    import pandas as pd

    config = fit.config
    cause = {
        "data": [split.fingerprint for split, _ in fit.splits.values()],
        "settings": settings_by_content(fit.settings()),
    }
    folder = out / f"{slug(config.variant)}-{slug(data)}-{digest(cause)}"
    remarks = [fit.summary(), "Take it with: python -m bench run --config FILE"]
    head = "".join(f"# {line}\n" for text in remarks for line in text.split("\n"))
    atomic_write(folder / "priors.toml", head + toml.write(fit.settings()))
    atomic_write(folder / "fit.csv", to_csv(pd.DataFrame(rows(fit))))
    columns = ["split", "image", "class", "x", "y", "width", "height", "iou_now", "iou_found"]
    atomic_write(folder / "unreached.csv", to_csv(pd.DataFrame(unreached(fit), columns=columns)))
    figure = _figure(fit, data)
    atomic_write(folder / "priors.svg", figure.svg)
    atomic_write(folder / "priors.png", figure.png)
    return folder


def rows(fit: AnchorFit) -> list[dict[str, Any]]:
    """``split``, ``priors`` (now, found), ``group`` (all, sizes, levels, classes), ``objects``, ``mean_iou``, ``recall``."""
    told = []
    for name, (split, seen) in fit.splits.items():
        for priors, fits in (("now", fit.before), ("found", fit.after)):
            of = fits[name]
            told += [{"split": name, "priors": priors, **row} for row in of.rows()]
            for label, known in enumerate(split.truth.catalog.classes):
                best = of.best_iou[seen.labels == label]
                told.append(
                    {
                        "split": name,
                        "priors": priors,
                        "group": f"class {known}",
                        "objects": len(best),
                        "mean_iou": float(best.mean()) if len(best) else float("nan"),
                        "recall": float((best >= of.threshold).mean()) if len(best) else float("nan"),
                    }
                )
    return told


def unreached(fit: AnchorFit) -> list[dict[str, Any]]:
    """The objects that no prior overlaps at the threshold, now or with those found; of each split the worst found first.

    ``iou_now`` and ``iou_found`` are those of the best prior; ``x``, ``y``, ``width``, ``height`` the box as
    annotated, in pixels of the image.
    """
    told = []
    for name, (split, seen) in fit.splits.items():
        now, found, truth = fit.before[name], fit.after[name], split.truth
        missed = np.flatnonzero(np.minimum(now.best_iou, found.best_iou) < found.threshold)
        for place in missed[np.argsort(found.best_iou[missed], kind="stable")]:
            row = seen.rows[place]
            image = truth.image[row]
            box = dict(zip(("x", "y", "width", "height"), truth.xywh[row].tolist(), strict=True))
            told.append(
                {
                    "split": name,
                    "image": truth.catalog.file_names[image] or str(truth.catalog.image_ids[image]),
                    "class": truth.catalog.classes[truth.label[row]],
                    **box,
                    "iou_now": float(now.best_iou[place]),
                    "iou_found": float(found.best_iou[place]),
                }
            )
    return told


def _figure(fit: AnchorFit, data: str) -> Figure:
    _, train = fit.splits["train"]
    sides = train.boxes[:, 2:] - train.boxes[:, :2]
    if len(sides) > _DRAWN:
        sides = sides[np.random.default_rng(fit.config.seed).choice(len(sides), _DRAWN, replace=False)]
    sizes = np.sqrt(np.concatenate([of.area for of in fit.before.values()]))
    least, most = float(sizes.min()), float(sizes.max()) * (1 + 1e-9)
    if most < 1.1 * least:  # all of one size
        least, most = least / 1.1, most * 1.1

    def curve(of: Fit) -> Curve:
        return recall_by_size(of.area, of.best_iou >= of.threshold, least, most)

    curves = {name: (curve(fit.before[name]), curve(fit.after[name])) for name in fit.splits}
    height, width = fit.config.image.size
    title = f"{fit.config.variant} on {data}, input {width}x{height}"
    threshold = fit.before["train"].threshold
    return anchor_figure(title, fit.summary(), sides, fit.sides_before, fit.sides_after, curves, threshold)
