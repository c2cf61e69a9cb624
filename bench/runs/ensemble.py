"""Ensemble of finished runs: their detections fused, without predicting again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from detectors.fusion import fuse
from detectors.types import Detections
from metrics.errors import InputError
from metrics.tables import DetectionTable
from reports.records.run import RunFolder


def fuse_runs(
    runs: Sequence[RunFolder], iou: float = 0.55, weights: Sequence[float] | None = None
) -> DetectionTable:
    """Fuse the detections of all runs, image by image; see `detectors.fusion.fuse`.

    Args:
        runs: at least two, evaluated on the same ground truth.
        iou: IoU above which detections are fused.
        weights: of each run; see `detectors.fusion.fuse`.

    Raises:
        InputError: fewer than two runs, or different ground truth; the message names the first run that differs.
    """
    if len(runs) < 2:
        raise InputError(
            f"ensemble: got {len(runs)} run; give two or more that were evaluated on the same images"
        )
    first, *others = runs
    for other in others:
        if other.truth.fingerprint != first.truth.fingerprint:
            raise InputError(
                f"{other.path}: evaluated on other ground truth than {first.path}; give runs of one data set and split"
            )
    catalog = first.truth.catalog
    by_image = zip(*(_by_image(run.detections, len(catalog.image_ids)) for run in runs), strict=True)
    fused = [fuse(detections, iou, weights=weights) for detections in by_image]
    return DetectionTable.from_images(
        catalog, [f.boxes for f in fused], [f.scores for f in fused], [f.labels for f in fused]
    )


def _by_image(detections: DetectionTable, images: int) -> Iterator[Detections]:
    """Detections of each image, in the order of the images."""
    order = np.argsort(detections.image, kind="stable")
    ends = np.searchsorted(detections.image[order], np.arange(1, images))
    boxes = detections.boxes
    for rows in np.split(order, ends):
        yield Detections(
            torch.from_numpy(boxes[rows]),
            torch.from_numpy(detections.score[rows]),
            torch.from_numpy(detections.label[rows].astype(np.int64)),
        )
