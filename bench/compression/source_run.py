"""The run that is compressed, with the data set that it was made on."""

from __future__ import annotations

from bench.data.types import Dataset
from bench.runs.finished_run import require_weights
from bench.settings.config import RunConfig
from bench.settings.resolution import open_run
from metrics.errors import InputError, InputWarning
from metrics.notes import Note, report
from reports.records.run import RunFolder


def open_source(run: RunFolder) -> tuple[Dataset, RunConfig]:
    """Open the data set of a finished run, with its settings.

    Raises:
        InputError: the run has no weights, or the objects or images of the split that it was evaluated on have changed.
    """
    require_weights(run, "so there is nothing to compress")
    file = run.path / RunFolder.CONFIG
    dataset, config = open_run(run.result.variant, {"file": file, "sets": [], "options": {}})
    split, known = dataset.splits[config.evaluate.split], run.result.data
    if split.truth.fingerprint != known.fingerprint or known.content not in ("", split.fingerprint):
        raise InputError(
            f"{run.path}: the {known.split} split of {known.name} has changed since the run, so the compressed file could not be "
            "compared with it; run again"
        )
    if config.evaluate.split == "val":
        text = "the run was evaluated on validation images, on which the operators are chosen, so the compressed file looks too good"
        report(Note("chosen_on_evaluated_images", text, run.result.name), InputWarning)
    return dataset, config
