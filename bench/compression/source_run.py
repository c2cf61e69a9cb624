"""The run that is compressed, with the data set that it was made on."""

from __future__ import annotations

from bench.data.types import Dataset
from bench.settings.config import RunConfig
from bench.settings.resolution import open_run
from detectors.registry import VARIANTS
from metrics.errors import InputError, InputWarning
from metrics.notes import Note, report
from reports.records.run import RunFolder


def open_source(run: RunFolder) -> tuple[Dataset, RunConfig]:
    """Open the data set of a finished run, with its settings.

    Raises:
        InputError: the run has no weights, or the objects or images of the split that it was evaluated on have changed.
    """
    file, name = run.path / RunFolder.CONFIG, run.result.variant
    if name not in VARIANTS or not (run.path / RunFolder.WEIGHTS).is_file() or not file.is_file():
        raise InputError(
            f"{run.path}: holds no weights of a variant, so there is nothing to compress; give the folder of a run that was trained "
            "here"
        )
    dataset, config = open_run(name, {"file": file, "sets": [], "options": {}})
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
