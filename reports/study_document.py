"""A study's page as text and files, nothing written yet: did tuning help, then each stage, then how to go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.analysis.gallery_images import text_size
from reports.elements import formatting
from reports.elements.page import Badge, Document, Section
from reports.elements.page_template import page_rules, render
from reports.records.csv import to_csv
from reports.records.study import StudyFolder, StudyResult
from reports.sections import study_history, study_space, study_trials, tuning

_STAGES = {"anchors": "anchors", "train": "training", "nms": "post-processing"}


def compose_study(folder: StudyFolder, *, title: str = "", show_paths: bool = False) -> Document:
    """The page of a study; arguments as in `reports.pages.write_study_page`."""
    stages, last = folder.stages, folder.result
    sections = [tuning.verdict(folder)]
    for at, stage in enumerate(stages):
        sections += _of_stage(stage, at, many=len(stages) > 1, show_paths=show_paths)
    sections.append(study_trials.going_on(folder, show_paths))
    named = f"Tuning {formatting.printable(last.variant)} on {formatting.printable(last.data)}"
    context: dict[str, Any] = {
        "title": formatting.printable(title) or named,
        "facts": _facts(stages),
        "badges": _badges(folder),
        "models": [],
        "sections": sections,
        "payload": "",
        "rules": page_rules(0),
        "text_size": text_size,
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
            files[f"figures/{figure.slug}.png"] = figure.png
    return Document(render(context), files)


def _of_stage(stage: StudyResult, at: int, many: bool, show_paths: bool) -> list[Section]:
    tail = f"-{at}" if many else ""
    named = f", {_STAGES.get(stage.stage, formatting.printable(stage.stage))}" if many else ""
    made = [
        study_history.history(stage, f"history{tail}", f"History{named}"),
        study_history.importances(stage, f"importances{tail}", f"What mattered{named}"),
        study_space.landscape(stage, f"space{tail}", f"Where good settings lie{named}"),
        study_space.front(stage, f"front{tail}", f"Front{named}"),
        study_trials.trials(stage, f"trials{tail}", f"Trials{named}", show_paths),
    ]
    return [section for section in made if section is not None]


def _facts(stages: Sequence[StudyResult]) -> list[str]:
    last = stages[-1]
    kinds = formatting.join_words(
        [_STAGES.get(stage.stage, formatting.printable(stage.stage)) for stage in stages]
    )
    ended = [trial.end for stage in stages for trial in stage.trials if trial.end is not None]
    device = last.environment.device or last.environment.cpu
    return [
        kinds,
        formatting.plural(sum(len(stage.counted) for stage in stages), "trial"),
        *([formatting.plural(last.images, "validation image")] if last.images is not None else []),
        f"objective {formatting.printable(', '.join(goal.text for goal in last.goals))}",
        *([formatting.timestamp(max(ended))] if ended else []),
        *([formatting.printable(device)] if device else []),
    ]


def _badges(folder: StudyFolder) -> list[Badge]:
    result, badges = folder.result, []
    if result.ending is None:
        badges.append(Badge("not ended", "nothing was run again, nothing was tested", "warn"))
    elif not result.ending.winner.again:
        badges.append(Badge("no fresh seeds", "the tuned value is too good", "warn"))
    else:
        badges.append(Badge(f"{len(result.ending.winner.again)} fresh seeds", "for the ending"))
    missing = len(result.earlier) - (len(folder.stages) - 1)
    if missing:
        badges.append(Badge("stages missing", "folders of earlier stages are gone", "warn"))
    if result.environment.dirty:
        badges.append(Badge("dirty git", "made by code that is in no commit", "warn"))
    return badges
