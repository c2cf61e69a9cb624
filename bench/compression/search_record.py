"""The record and the page of a search for compression."""

from __future__ import annotations

from typing import cast

from bench.compression.search import Compressed, CompressionSearch
from bench.runs.context import RunContext
from bench.runs.provenance import environment
from bench.training.device import pick_device
from bench.tune.final_evaluation import gain_of
from bench.tune.looks import recorded_looks
from bench.tune.predicted import Predicted
from bench.tune.study_record import study_result
from reports.pages import write_study_page
from reports.records.final_evaluation import FinalEvaluation, Finalist, finalist_name
from reports.records.run import RunFolder
from reports.records.study import StudyFolder
from reports.records.trial import StudyObjective


def record_search(
    search: CompressionSearch, chosen: Compressed, tested: RunFolder, context: RunContext
) -> StudyFolder:
    """Write the study with its page.

    Args:
        search: whose trials are finished.
        chosen: its choice.
        tested: the run of the chosen file, on the images of the original run.
        context: its command continues the study, and it asks for the page.
    """
    source, study = search.source, search.study
    ap, number = study.objectives.each[0], chosen.trial.number
    predicted = {
        finalist_name(trial): [Predicted(run.detections)] for trial, run in ((number, tested), (None, source))
    }
    comparison = ap.compare(predicted, source.truth, study.objectives.rule, search.config.seed)
    default = study.default()
    assert default is not None
    before, after = (cast(float, run.result.headline["ap"]) for run in (source, tested))
    finalists = (
        Finalist(tuned=default.values[0], test=(before,)),
        Finalist(trial=number, values=dict(chosen.trial.params), tuned=chosen.trial.values[0], test=(after,)),
    )
    evaluation = FinalEvaluation(
        objective=StudyObjective(text=ap.text, higher=ap.higher),
        finalists=finalists,
        chosen=number,
        gain=gain_of(after - before, comparison, number, 1),
    )
    result = study_result(
        study,
        None,
        context.command,
        variant=search.config.variant,
        stage="compression",
        data=search.dataset.name,
        fingerprint=search.dataset.fingerprint,
        images=len(search.val),
        requested=search.settings.trials,
        seed=search.config.seed,
        environment=environment(str(pick_device("cpu"))),
        test_looks=recorded_looks([study]),
        final_evaluation=evaluation,
    )
    folder = StudyFolder.save(study.folder, result)
    if context.page:
        write_study_page(folder)
    return folder
