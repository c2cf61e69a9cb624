"""A study's page and its files, not yet written: the final evaluation, then each stage, then how to continue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.analysis.gallery_images import text_size
from reports.elements import formatting
from reports.elements.page import UNCOMMITTED, Badge, Document, Section
from reports.elements.page_template import page_rules, render
from reports.records.csv import to_csv
from reports.records.study import StudyFolder, StudyResult
from reports.records.trial import Stage
from reports.sections import study_history, study_space, study_trials, tuning

_STAGE_NAMES: Mapping[Stage, str] = {
    "anchors": "anchors",
    "train": "training",
    "nms": "post-processing",
    "compression": "compression",
}


def compose_study(folder: StudyFolder, *, title: str = "", show_paths: bool = False) -> Document:
    """The page of a study; arguments as in `reports.pages.write_study_page`."""
    stages, last = folder.stages, folder.result
    sections = [tuning.final_evaluation(folder)]
    for at, stage in enumerate(stages):
        sections += _stage_sections(stage, at, many=len(stages) > 1, show_paths=show_paths)
    sections.append(study_trials.continuation(folder, show_paths))
    what = "Compressing" if last.stage == "compression" else "Tuning"
    default_title = f"{what} {formatting.printable(last.variant)} on {formatting.printable(last.data)}"
    context: dict[str, Any] = {
        "title": formatting.printable(title) or default_title,
        "facts": _facts(stages),
        "badges": _badges(folder),
        "models": [],
        "sections": sections,
        "payload": "",
        "rules": page_rules(0),
        "text_size": text_size,
        "png": False,
    }
    files: dict[str, bytes | str] = {
        StudyFolder.TRIALS: to_csv(last.to_frame()),
        StudyFolder.RESULT: last.to_json(),
    }
    if folder.winner:
        files[StudyFolder.WINNER] = folder.winner
    for section in sections:
        for figure in section.figures:
            files[f"figures/{figure.slug}.svg"] = figure.svg
    return Document(render(context), files)


def _stage_sections(stage: StudyResult, at: int, many: bool, show_paths: bool) -> list[Section]:
    suffix = f"-{at}" if many else ""
    stage_name = f", {_STAGE_NAMES[stage.stage]}" if many else ""
    sections = [
        study_history.history(stage, f"history{suffix}", f"Optimization history{stage_name}"),
        study_history.importances(stage, f"importances{suffix}", f"Hyperparameter importance{stage_name}"),
        study_space.landscape(stage, f"space{suffix}", f"Values over the search space{stage_name}"),
        study_space.front(stage, f"front{suffix}", f"Pareto front{stage_name}"),
        study_trials.trials(stage, f"trials{suffix}", f"Trials{stage_name}", show_paths),
    ]
    return [section for section in sections if section is not None]


def _facts(stages: Sequence[StudyResult]) -> list[str]:
    last = stages[-1]
    finished = [trial.finished for stage in stages for trial in stage.trials if trial.finished is not None]
    device = last.environment.device or last.environment.cpu
    return [
        formatting.join_words([_STAGE_NAMES[stage.stage] for stage in stages]),
        formatting.plural(sum(len(stage.counted) for stage in stages), "trial"),
        *([formatting.plural(last.images, "validation image")] if last.images is not None else []),
        f"objective {formatting.printable(', '.join(objective.text for objective in last.objectives))}",
        *([formatting.timestamp(max(finished))] if finished else []),
        *([formatting.printable(device)] if device else []),
    ]


def _badges(folder: StudyFolder) -> list[Badge]:
    result, badges = folder.result, []
    evaluation = result.final_evaluation
    if evaluation is None:
        badges.append(Badge("not finished", "no final evaluation yet", "warn"))
    elif not evaluation.winner.retrained:
        badges.append(
            Badge(
                "no fresh seeds", "the validation value is the one that the settings were selected by", "warn"
            )
        )
    else:
        seeds = formatting.plural(len(evaluation.winner.retrained), "fresh seed")
        badges.append(Badge(seeds, "in the final evaluation"))
    if len(result.test_looks) > 1:
        count = len(result.test_looks)
        badges.append(
            Badge(
                f"{formatting.plural(count, 'look')} at the test split",
                "the study was extended after it was tested",
                "warn",
            )
        )
    if len(folder.stages) - 1 < len(result.earlier):
        badges.append(Badge("stages missing", "folders of earlier stages do not exist any more", "warn"))
    if result.environment.dirty:
        badges.append(UNCOMMITTED)
    return badges
