"""Label maps of the models of a report: their counts, values, and the statistics of their comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics import pixel_measures
from metrics.compare import Comparison
from metrics.errors import InputError
from metrics.mask_counts import MaskCounts
from metrics.pixel_measures import CLASS_MEASURES, PixelAreas
from reports.analysis.report_data import ReportData

MEASURES = {
    "miou": "mIoU",
    "mdice": "Dice",
    "pixel_accuracy": "Pixel accuracy",
    "pixel_precision": "Precision",
    "pixel_recall": "Recall",
    "pixel_specificity": "Specificity",
}
"""Short names and titles, in the order of the page."""

FEW_IMAGES = 20
"""Number of images with a class below which its values are unreliable."""


@dataclass(frozen=True, eq=False)
class MaskResults:
    """The models of a report that have label maps, the highest mIoU first.

    Attributes:
        numbers: of M models in the report.
        counts: of each model and seed.
        statistics: intervals and pairwise differences; None without resampling, without a compared pixel, or with `problem`.
        problem: why the label maps cannot be compared; empty if they can.
    """

    numbers: tuple[int, ...]
    counts: tuple[tuple[MaskCounts, ...], ...]
    statistics: Comparison | None
    problem: str

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes, the background first."""
        return self.counts[0][0].classes

    @property
    def truth(self) -> NDArray[np.int64]:
        """(I, K) pixels of each class in the truth of each image."""
        return self.counts[0][0].truth

    @property
    def images(self) -> int:
        """Number of images with compared pixels."""
        return int(np.count_nonzero(self.counts[0][0].pixels))

    @property
    def class_images(self) -> NDArray[np.int64]:
        """(K,) number of images whose truth has each class."""
        return np.asarray((self.truth > 0).sum(axis=0), np.int64)

    def values(self, at: int, name: str) -> NDArray[np.float64]:
        """(S, 1 + K) a measure of each seed of the model at this place: over all classes, then of each class."""
        rows = []
        for counts in self.counts[at]:
            overlap = counts.overlap()
            whole = {row.name: row.value for row in overlap.rows() if not row.class_name}
            rows.append(np.r_[whole[name], CLASS_MEASURES[name](overlap.areas)])
        return np.array(rows)

    def value(self, at: int, name: str, label: int | None = None) -> float:
        """Mean over seeds; NaN if it is undefined for one."""
        return float(self.values(at, name)[:, 0 if label is None else 1 + label].mean())


def mask_results(report: ReportData) -> MaskResults | None:
    """Return the results of the models of which every run has label maps; None if there is no such model."""
    chosen = list(report.mask_counts.items())
    if not chosen:
        return None
    mean = {number: float(np.mean([each.overlap().mean_iou for each in counts])) for number, counts in chosen}
    chosen.sort(
        key=lambda pair: (np.isnan(mean[pair[0]]), -np.nan_to_num(mean[pair[0]]), report.labels[pair[0]])
    )
    numbers, counts = tuple(number for number, _ in chosen), tuple(each for _, each in chosen)
    try:
        statistics = report.mask_statistics
    except InputError as error:
        return MaskResults(numbers, counts, None, str(error).removeprefix("compare_masks: "))
    return MaskResults(numbers, counts, statistics, "")


def image_mean_iou(counts: MaskCounts) -> NDArray[np.float64]:
    """(I,) mean IoU of each image alone, over the classes that its truth or prediction has; NaN without compared pixels."""
    areas = PixelAreas(counts.intersection, counts.truth, counts.predicted, counts.pixels[:, None])
    values = pixel_measures.iou(areas)
    defined = ~np.isnan(values)
    sums = np.where(defined, values, 0.0).sum(axis=1)
    means: NDArray[np.float64] = np.divide(
        sums, defined.sum(axis=1), out=np.full(len(sums), np.nan), where=defined.any(axis=1)
    )
    return means
