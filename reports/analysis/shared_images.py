"""Runs evaluated on different images, reduced to the images that all of them share."""

from __future__ import annotations

from collections.abc import Sequence

from metrics.compare.paired_runs import common_images, detections_on
from metrics.evaluator import evaluate_matches
from metrics.matching import match
from metrics.notes import Note
from metrics.tables import AnnotationTable
from reports.elements import formatting
from reports.records.run import RunFolder


def on_shared_images(runs: Sequence[RunFolder]) -> tuple[list[RunFolder], tuple[Note, ...]]:
    """Reduce the runs to the images with the same truth in all of them.

    Args:
        runs: with the same classes.

    Returns:
        The runs, and a note for what was left out, if anything was.

    Raises:
        InputError: no image in common, or different classes.
    """
    kept = common_images([(run.result.name, run.truth) for run in runs])
    counts = [len(run.truth.catalog.image_ids) for run in runs]
    if not any(count > len(kept) for count in counts):
        return list(runs), ()
    truth = runs[0].truth.select(kept)
    reduced = [_reduce(run, truth) for run in runs]
    left_out = [
        f"{count - len(kept):,} of {formatting.plural(count, 'image')} of {run.result.name}"
        for run, count in zip(runs, counts, strict=True)
        if count > len(kept)
    ]
    shared = formatting.plural(len(kept), "image")
    text = f"only the {shared} with the same truth in all runs are compared; left out: {formatting.join_words(left_out, 12)}"
    return reduced, (Note("shared_images", text, values={"shared": len(kept), "most": max(counts)}),)


def _reduce(run: RunFolder, truth: AnnotationTable) -> RunFolder:
    """The run on the images of `truth`."""
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
    record = run.mask_record
    masks = run.result.masks
    if record is not None:
        index = {image: number for number, image in enumerate(run.truth.catalog.image_ids)}
        record = record.select([index[image] for image in truth.catalog.image_ids])
        masks = {row.name: row.value for row in record.counts.overlap().rows() if not row.class_name}
    result = run.result.model_copy(update={"data": data, "headline": headline, "masks": masks})
    return RunFolder(run.path, result, truth, detections, matches, record)
