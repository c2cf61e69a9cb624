"""What several finished runs found in the same images, fused: an ensemble that costs no further prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from detectors.fusion import fuse
from detectors.types import Detections
from metrics.errors import InputError
from metrics.tables import DetectionTable
from reports.records.run import RunFolder


def fuse_runs(runs: Sequence[RunFolder], iou: float = 0.55) -> DetectionTable:
    """The fused detections of all runs, image by image: see `detectors.fusion.fuse`.

    Args:
        runs: at least two, measured against the same truth.
        iou: above which two runs have found the same object.

    Raises:
        InputError: fewer than two, or runs of other images or objects; the first that differs is named.
    """
    if len(runs) < 2:
        raise InputError(
            f"ensemble: {len(runs)} run given; give two or more that were measured on the same images"
        )
    first, *others = runs
    for other in others:
        if other.truth.fingerprint != first.truth.fingerprint:
            raise InputError(
                f"{other.path}: measured against another truth than {first.path}, so that its detections answer to "
                "other images or objects; give runs of one data set and split"
            )
    catalog = first.truth.catalog
    of_images = zip(*(_by_image(run.detections, len(catalog.image_ids)) for run in runs), strict=True)
    fused = [fuse(of_image, iou) for of_image in of_images]
    return DetectionTable.from_images(
        catalog, [f.boxes for f in fused], [f.scores for f in fused], [f.labels for f in fused]
    )


def _by_image(found: DetectionTable, images: int) -> Iterator[Detections]:
    """The detections of each image, in their order."""
    order = np.argsort(found.image, kind="stable")
    ends = np.searchsorted(found.image[order], np.arange(1, images))
    corners = np.concatenate([found.xywh[:, :2], found.xywh[:, :2] + found.xywh[:, 2:]], axis=1)
    for rows in np.split(order, ends):
        yield Detections(
            torch.from_numpy(corners[rows]),
            torch.from_numpy(found.score[rows]),
            torch.from_numpy(found.label[rows].astype(np.int64)),
        )
