"""Comparison of models by their label maps, on the resamples of the images that are those of their detections."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from metrics.compare import Comparison, compare_masks
from metrics.compare.groups import Groups
from metrics.compare.masks import check_mask_runs
from metrics.errors import InputWarning
from metrics.mask_counts import MaskCounts
from metrics.tables.catalog import ImageId
from reports.analysis.evaluated_run import EvaluatedRun


def label_map_counts(models: Sequence[Sequence[EvaluatedRun]]) -> dict[int, tuple[MaskCounts, ...]]:
    """Return the counts of the runs of each model, by its number; models without label maps of every run are left out."""
    counts = {}
    for number, model in enumerate(models):
        known = tuple(run.run.mask_counts for run in model if run.run.mask_counts is not None)
        if len(known) == len(model):
            counts[number] = known
    return counts


def compare_label_maps(
    by_label: Mapping[str, Sequence[MaskCounts]],
    resamples: int,
    image_ids: Sequence[ImageId],
    groups: Groups,
    image_columns: Mapping[str, Sequence[object]],
) -> Comparison | None:
    """Return intervals and differences by mIoU and the other pixel measures; None without resampling or compared pixels.

    Raises:
        InputError: the label maps cannot be compared.
    """
    first = check_mask_runs(by_label)
    if not resamples or not first.pixels.any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # the verdict has the same note
        return compare_masks(
            by_label, resamples=resamples, image_ids=image_ids, groups=groups, image_columns=image_columns
        )
