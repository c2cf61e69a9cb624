"""Sentences on a search for a compression: what was chosen, what it costs, and how its detections differ from the original's."""

from __future__ import annotations

from reports.analysis.study_values import interval, number, signed
from reports.elements.formatting import plural, printable
from reports.records.final_evaluation import FinalEvaluation
from reports.records.study import StudyResult
from reports.records.trial import TrialRecord

COSTS = {
    "relative_latency": "latency as a multiple of the original's",
    "size_mb": "file size in MB",
}
"""Objectives beside the measure, as prose writes them."""

METHOD = (
    "Trials are compared on the validation images only. Of the compressed files that lose little, one of nearly the lowest cost with the "
    "highest measure is chosen, and evaluated on the test split. The original is the exported file of the run, without compression.",
    "Settings that were selected on the validation images look better on these images than on others. Every extension of a study looks at "
    "the test split again, so the looks are counted. Confidence intervals are at 95%, over test images; the difference is paired by image.",
)


def compression_finding(result: StudyResult, evaluation: FinalEvaluation) -> str:
    """The chosen trial with its measure and its cost beside those of the original, on validation and on test images."""
    measure = printable(evaluation.objective.text)
    chosen = next(trial for trial in result.trials if trial.number == evaluation.chosen)
    settings = ", ".join(f"{path}={value}" for path, value in chosen.params.items())
    text = (
        f"Of {plural(len(result.complete), 'complete trial')}, {evaluation.winner.name} was chosen ({printable(settings)}): "
        f"{_values(result, chosen)} on the validation split"
    )
    if result.default is not None:
        text += f"; the original has {_values(result, result.default)}"
    winner, original = evaluation.winner, evaluation.default
    tested = f" On the test split, {measure} is {number(winner.mean_test)} {interval(winner.test_interval)}".rstrip()
    if original is not None and evaluation.gain is not None:
        ends = evaluation.gain.interval
        within = "" if ends is None else f" [{signed(ends[0])}, {signed(ends[1])}]"
        tested += f", and {number(original.mean_test)} for the original, a difference of {signed(evaluation.gain.delta)}{within}"
    return f"{text}.{tested}."


def _values(result: StudyResult, trial: TrialRecord) -> str:
    """The values of a trial: ``ap 0.412 and file size in MB 1.3``."""
    return " and ".join(
        f"{COSTS.get(objective.text, printable(objective.text))} {number(value)}"
        for objective, value in zip(result.objectives, trial.values, strict=True)
    )
