"""Reports on runs with label maps, drawn at random; and what the page says of them, by plain loops over the maps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from drawn_reports import found_by, run_of
from numpy.typing import NDArray
from PIL import Image

from metrics.mask_counts import MaskCounts, count_image
from metrics.tables import AnnotationTable, Catalog
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.report_data import ReportData
from reports.records.mask_counts import MaskRecord
from reports.records.run import Budget, RunFolder

HEIGHT, WIDTH = 12, 16
CLASSES = ("background", "cat", "dog", "emu", "fox")
"""Truth has no fox."""

Maps = list[NDArray[np.uint8]]


def draw_maps(rng: np.random.Generator, images: int) -> Maps:
    """Label maps of rectangles: cats in nearly all images, dogs in half of them, emus in a tenth; some pixels ignored."""
    maps = []
    for _ in range(images):
        drawn = np.zeros((HEIGHT, WIDTH), np.uint8)
        for label, share in ((1, 0.9), (2, 0.5), (3, 0.1), (255, 0.6)):
            if rng.random() < share:
                y, x = rng.integers(0, HEIGHT - 4), rng.integers(0, WIDTH - 5)
                drawn[y : y + rng.integers(3, 7), x : x + rng.integers(3, 8)] = label
        maps.append(drawn)
    return maps


def found_maps(rng: np.random.Generator, truth: Maps, error: float) -> Maps:
    """The maps shifted by a pixel or two, and with other labels in a share of the pixels."""
    found = []
    for each in truth:
        moved = np.roll(np.where(each == 255, 0, each), rng.integers(-1, 2, 2), (0, 1))
        wrong = rng.random(each.shape) < error
        found.append(np.where(wrong, rng.integers(0, len(CLASSES), each.shape), moved).astype(np.uint8))
    return found


def mask_run(
    folder: Path, truth: Maps, found: Maps | None, name: str, seed: int = 0, saved: int = 10**6
) -> RunFolder:
    """A run with these label maps, of which the first are saved; without any if `found` is None."""
    rng = np.random.default_rng([seed, len(name)])
    images = len(truth)
    names = [f"p{at:03d}.png" for at in range(images)]
    catalog = Catalog.of(range(images), CLASSES[1:], np.tile((HEIGHT, WIDTH), (images, 1)), file_names=names)
    box = np.tile([[2.0, 2.0, 5.0, 4.0]], (images, 1))
    objects = AnnotationTable.of(catalog, np.arange(images), np.zeros(images, int), box)
    run = run_of(objects, found_by("fair", objects, rng), name, seed, [], Budget())
    if found is None:
        return run
    path = folder / run.result.name
    (path / RunFolder.LABEL_MAPS).mkdir(parents=True)
    for file, each in list(zip(names, found, strict=True))[:saved]:
        Image.fromarray(each).save(path / RunFolder.LABEL_MAPS / file)
    counts = MaskCounts.of(CLASSES, [count_image(t, f, CLASSES) for t, f in zip(truth, found, strict=True)])
    masks = {row.name: row.value for row in counts.overlap().rows() if not row.class_name}
    result = run.result.model_copy(update={"masks": masks})
    files = tuple(file if at < saved else "" for at, file in enumerate(names))
    made = RunFolder(path, result, run.truth, run.detections, mask_record=MaskRecord(counts, files))
    made.__dict__["history"] = run.history
    return made


def mask_report(runs: list[RunFolder], truth: Maps, resamples: int = 60) -> ReportData:
    """A report with images and label maps."""
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    return ReportData.from_runs(
        runs, lambda _: grey, options=ComparisonOptions(resamples=resamples), label_maps=lambda at: truth[at]
    )


def saved_maps(run: RunFolder) -> Maps:
    """The label maps of a run as they are on disk."""
    files = sorted((run.path / RunFolder.LABEL_MAPS).glob("*.png"))
    return [np.asarray(Image.open(file)) for file in files]


def plain_iou(truth: Maps, found: Maps) -> list[float]:
    """IoU of each class by counting pixels one by one; NaN where neither has it."""
    both, either = [0] * len(CLASSES), [0] * len(CLASSES)
    for true, other in zip(truth, found, strict=True):
        for t, f in zip(true.ravel().tolist(), other.ravel().tolist(), strict=True):
            if t == 255:
                continue
            for label in {t, f}:
                either[label] += 1
            both[t] += t == f
    return [b / e if e else math.nan for b, e in zip(both, either, strict=True)]


def plain_miou(truth: Maps, found: Maps) -> float:
    """Mean over the classes that occur."""
    known = [value for value in plain_iou(truth, found) if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
