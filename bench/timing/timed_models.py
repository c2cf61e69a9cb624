"""What is timed: finished runs, and external models, which are evaluated on the images of the first run before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.process.progress import Progress
from bench.runs.comparison import open_runs
from bench.runs.context import RunContext
from bench.runs.evaluated_model import evaluate_model
from bench.settings import toml
from bench.settings.resolution import open_run_data, resolve_entry
from detectors.external.registry import DETECTIONS, is_external_model
from metrics.errors import InputError
from reports.records.run import RunFolder


def runs_to_time(
    words: Sequence[str], context: RunContext, progress: Progress | None = None
) -> list[RunFolder]:
    """Open runs, and evaluate external models on the images of the first of them, with its settings of evaluation.

    Evaluations are runs beside the first one: a finished one is reused, and the detections of a model that is timed are known.

    Args:
        words: run folders, folders of run folders, and names of external models (``onnx/FILE``, ``hf/FOLDER``).
        context: of the evaluations.
        progress: display.

    Returns:
        The runs, then those of the external models, each in the given order.

    Raises:
        InputError: external models without a run, stored detections, or what opening and evaluating raise.
    """
    names = [word for word in words if _is_model(word)]
    for name in names:
        if name.startswith(DETECTIONS):
            raise InputError(f"{name}: stored detections cannot be timed; leave them out")
    paths = [Path(word) for word in words if not _is_model(word)]
    if names and not paths:
        raise InputError(
            f"{names[0]}: its images are not known; give a run first, on whose images it is timed, or evaluate it: `bench run "
            f"--variant {names[0]} --data DATA`"
        )
    opened = [run for of_path in open_runs(paths, progress) for run in of_path]
    if not names:
        return opened
    first = opened[0]
    file = first.path / RunFolder.CONFIG
    if not file.is_file():
        raise InputError(
            f"{first.path}: its detections come from another program, so the images to time {names[0]} on are not known; give a run "
            "that was made here first"
        )
    config = resolve_entry(str(toml.read(file)["variant"]), file=file)
    dataset = open_run_data(config)
    return opened + [evaluate_model(name, dataset, config, first.path.parent, context) for name in names]


def _is_model(word: str) -> bool:
    return is_external_model(word) and not (Path(word) / RunFolder.RESULT).is_file()
