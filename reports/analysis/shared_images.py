"""Runs that were measured on different images, cut to those that they share: only where that was asked for."""

from __future__ import annotations

from collections.abc import Sequence

from metrics.compare.paired_runs import common_images, detections_on
from metrics.evaluator import evaluate_matches
from metrics.matching import match
from metrics.tables import AnnotationTable
from reports.elements import formatting
from reports.records.run import RunFolder


def on_shared_images(runs: Sequence[RunFolder]) -> tuple[list[RunFolder], tuple[str, ...]]:
    """The runs on the images whose truth all of them share, and what was left out; nothing where all is shared.

    Args:
        runs: of the same classes.

    Raises:
        InputError: no image in common, or different classes.
    """
    kept = common_images([(run.result.name, run.truth) for run in runs])
    counts = [len(run.truth.catalog.image_ids) for run in runs]
    if not any(count > len(kept) for count in counts):
        return list(runs), ()
    truth = runs[0].truth.select(kept)
    cut = [_cut(run, truth) for run in runs]
    left = [
        f"{count - len(kept):,} of {count:,} of {run.result.name}"
        for run, count in zip(runs, counts, strict=True)
        if count > len(kept)
    ]
    images = formatting.plural(len(kept), "image")
    return cut, (
        f"Compared is only on the {images} whose truth all runs share. Left out: {formatting.join_words(left, 12)}.",
    )


def _cut(run: RunFolder, truth: AnnotationTable) -> RunFolder:
    """The run on the images of `truth`; its folder is left as it is."""
    detections = detections_on(truth, run.detections)
    matches = match(truth, detections)
    data = run.result.data.model_copy(
        update={
            "fingerprint": truth.fingerprint,
            "images": len(truth.catalog.image_ids),
            "objects": len(truth),
            "classes": len(truth.catalog.classes),
        }
    )
    headline = dict(evaluate_matches(matches).headline)
    result = run.result.model_copy(update={"data": data, "headline": headline})
    return RunFolder(run.path, result, truth, detections, matches)
