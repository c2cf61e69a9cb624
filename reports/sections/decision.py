"""Decision: which model to use, what was eliminated when and why, and what would make it more certain."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from metrics.compare.percent import points, points_interval
from reports.analysis.decisions import Fate, fates
from reports.analysis.report_data import ReportData
from reports.analysis.study_values import setting_text
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.elimination import Course, courses
from reports.records.csv import to_csv
from reports.records.decision import FILE, Decision, Standing
from reports.sections.decision_text import finding, measure_name, more_certain, outcome_text

STEPS = {
    "check": "data check",
    "priors": "fitting priors",
    "timing": "measuring times",
    "training": "training",
    "tuning": "tuning post-processing",
    "test": "test",
    "profile": "timing",
    "page": "page",
}
"""Parts of the work in the order of the work."""


def section(report: ReportData, decision: Decision | None) -> Section | None:
    """What was decided; None for runs without a decision."""
    if decision is None:
        return None
    found = fates(decision)
    text = " ".join(finding(decision))
    surer = more_certain(decision)
    return Section(
        "decision",
        "Decision",
        text,
        figures=(_figure(report, decision, found, text),),
        tables=(_models_table(decision, found), _looks_table(decision), _time_table(decision)),
        warnings=(*_warnings(decision), *surer),
        method=_method(decision),
        links=(
            Link("looks.csv", "every model at every look"),
            Link("look-pairs.csv", "every pair at every look"),
            Link(FILE, "the whole record"),
        ),
    )


def files(decision: Decision) -> dict[str, bytes | str]:
    """The tables beside the page, by name."""
    standings, pairs = [], []
    for look in decision.looks:
        head = {"split": look.split, "look": look.number, "epochs": look.epochs, "images": look.images}
        for each in look.standings:
            standings.append(
                {
                    **head,
                    "minutes": look.spent_seconds / 60,
                    "model": each.name,
                    "value": each.value,
                    "low": each.low,
                    "high": each.high,
                    "seeds": len(each.seeds),
                    "seed_values": " ".join("" if value is None else repr(value) for value in each.seeds),
                    "eliminated": each.name in look.eliminated,
                    "set_aside": each.name in look.set_aside,
                }
            )
        for pair in look.pairs:
            pairs.append(
                {
                    **head,
                    "level": look.level,
                    "pair_level": look.pair_level,
                    "final": look.final,
                    **pair.model_dump(),
                }
            )
    return {"looks.csv": to_csv(pd.DataFrame(standings)), "look-pairs.csv": to_csv(pd.DataFrame(pairs))}


def _warnings(decision: Decision) -> tuple[str, ...]:
    found = []
    if decision.data_errors:
        found.append(
            f"The data check found {formatting.plural(decision.data_errors, 'error')}; `python -m bench data` shows them."
        )
    looks = len(decision.looks_at("test"))
    if looks > 1:
        found.append(
            f"The test images were looked at {formatting.plural(looks, 'time')}, because the decision was continued with more time; each comparison of models on them has its own error rate."
        )
    return tuple(found)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _figure(report: ReportData, decision: Decision, found: list[Fate], text: str) -> Figure:
    series = {result.name: model.number for model in report.models for result in model.results}
    of_model = {
        each.name: series[each.runs[0]]
        for look in decision.looks_at("test")
        for each in look.standings
        if each.runs[0] in series
    }
    lines = []
    for fate in found:
        looks = [look for look in decision.looks_at("val") if look.standing(fate.name)]
        standings = [standing for look in looks if (standing := look.standing(fate.name)) is not None]
        if standings:
            lines.append(
                Course(
                    fate.name,
                    of_model.get(fate.name),
                    [look.spent_seconds / 60 for look in looks],
                    [_number(each.value) for each in standings],
                    [_number(each.low) for each in standings],
                    [_number(each.high) for each in standings],
                    fate.outcome,
                )
            )
    drawing = courses(
        "decision",
        f"{measure_name(decision)} on validation images over time",
        text,
        lines,
        measure_name(decision),
        decision.spent_seconds / 60,
    )
    return replace(
        drawing,
        caption="A point is the mean over the seeds at the end of a round, with its 95% interval. A cross: eliminated; a circle: set aside. "
        "Grey: models that were not tested.",
    )


def _value_cell(standing: Standing | None) -> Cell:
    if standing is None:
        return Cell(formatting.MISSING, None)
    note = points_interval(_number(standing.low), _number(standing.high))
    return Cell(points(standing.value), standing.value, note=note)


def _models_table(decision: Decision, found: list[Fate]) -> PageTable:
    made = []
    for fate in found:
        look, standing = fate.look, fate.validation
        epochs = None if look is None else look.epochs
        seeds = None if standing is None else len(standing.seeds)
        made.append(
            TableRow(
                (
                    Cell(formatting.printable(fate.name), strong=fate.outcome == "used"),
                    Cell(outcome_text(decision, fate)),
                    Cell(formatting.count(epochs), epochs),
                    Cell(formatting.count(seeds), seeds),
                    _value_cell(standing),
                    _value_cell(fate.test),
                    Cell(_settings_text(decision, fate.name)),
                )
            )
        )
    measure = measure_name(decision)
    columns = (
        TableColumn("Model"),
        TableColumn("Outcome"),
        TableColumn("Epochs", True, "of its longest trainings"),
        TableColumn("Seeds", True),
        TableColumn(f"Validation {measure}", True, "at its last look, before post-processing was tuned"),
        TableColumn(f"Test {measure}", True),
        TableColumn("Fitted and tuned settings"),
    )
    caption = f"Models, with {measure} in percent and its 95% interval over images and seeds"
    return PageTable("decision-models", caption, columns, tuple(made))


def _settings_text(decision: Decision, name: str) -> str:
    """Whether fitted priors and tuned post-processing are used, and what they brought."""
    parts = []
    priors = decision.model(name).priors
    if priors is not None and priors.recall_before is not None:
        gain = (
            f"recall of validation objects {points(priors.recall_before)} → {points(priors.recall_after)}%, "
            f"mean best IoU {formatting.fixed(priors.iou_before)} → {formatting.fixed(priors.iou_after)}"
        )
        parts.append(
            f"fitted priors ({gain})" if priors.used else f"default priors ({gain} with fitted ones)"
        )
    tuned = next((each for each in decision.tuned if each.name == name), None)
    if tuned is not None and tuned.settings:
        listed = ", ".join(f"{path}={setting_text(value)}" for path, value in tuned.settings.items())
        parts.append(f"{listed} (validation {points(tuned.before)} → {points(tuned.after)})")
    return "; ".join(parts) or formatting.MISSING


def _looks_table(decision: Decision) -> PageTable:
    made = []
    for look in decision.looks:
        name = f"{'round' if look.split == 'val' else 'test'} {look.number}"
        minutes = look.spent_seconds / 60
        listed = [formatting.printable(each.name) for each in look.standings]
        made.append(
            TableRow(
                (
                    Cell(name),
                    Cell(f"{minutes:.1f}", minutes),
                    Cell(formatting.count(look.epochs), look.epochs),
                    Cell(formatting.count(max((len(each.seeds) for each in look.standings), default=0))),
                    Cell(formatting.join_words(listed, 12)),
                    _level_cell(look.compares, look.level),
                    _level_cell(look.compares, look.pair_level),
                    Cell(
                        formatting.join_words([formatting.printable(each) for each in look.eliminated])
                        or "none"
                    ),
                    Cell(
                        formatting.join_words([formatting.printable(each) for each in look.set_aside])
                        or "none"
                    ),
                )
            )
        )
    columns = (
        TableColumn("Look"),
        TableColumn("Minutes", True, "since the start"),
        TableColumn("Epochs", True),
        TableColumn("Seeds", True),
        TableColumn("Models, best first"),
        TableColumn("Error rate", True, "of the look"),
        TableColumn("of each pair", True),
        TableColumn("Eliminated"),
        TableColumn("Set aside"),
    )
    return PageTable("decision-looks", "Looks at validation and test images", columns, tuple(made))


def _level_cell(compares: bool, level: float) -> Cell:
    """An error rate; none for a look that can eliminate no model."""
    return Cell(f"{100 * level:.2g}%", level) if compares else Cell(formatting.MISSING, None)


def _time_table(decision: Decision) -> PageTable:
    made = []
    for step, title in STEPS.items():
        seconds = sum(each.seconds for each in decision.spent if each.step == step)
        number = sum(each.step == step for each in decision.spent)
        made.append(
            TableRow(
                (Cell(title), Cell(formatting.count(number), number), Cell(f"{seconds / 60:.1f}", seconds))
            )
        )
    total = decision.spent_seconds
    made.append(
        TableRow(
            (
                Cell("all"),
                Cell(formatting.MISSING),
                Cell(f"{total / 60:.1f}", total, note=f"of {decision.minutes:g}"),
            )
        )
    )
    columns = (TableColumn("Work"), TableColumn("Parts", True), TableColumn("Minutes", True))
    return PageTable("decision-time", "Time spent", columns, tuple(made), folded=True)


def _method(decision: Decision) -> tuple[str, ...]:
    others = max(len(decision.models) - 1, 1)
    return (
        f"Rounds: every model is trained with {formatting.plural(decision.seeds, 'seed')} on a schedule that is complete, with a learning rate that falls to "
        "its end. If there is not enough time for the longest schedule of all models, rounds with half and a quarter of its epochs precede it, "
        "and the models that have no place in the next round are set aside. Nothing is called worse after such a shorter training, because "
        "models that learn slowly can catch up. After these rounds, as long as there is time, models are trained again from the start, for at least 1.5 times as many "
        "epochs, also those that were eliminated or set aside before: first until the trainings are as long as those of the settings; then models that were set aside are trained for as long; then "
        "seeds are added while models cannot be told apart and more seeds could change that; then the trainings become longer still.",
        "Elimination: all pairs of models that were trained with the longest schedule so far are compared on the same validation images, and finally "
        "on the test images. What a look eliminates is worse after trainings of its length; the decision is about the longest ones. The standard error is that of the paired bootstrap over images plus the variance between seeds "
        "(docs/statistics.md), so that models that differ only by the luck of their trainings are kept. A pair is tested at the error rate of "
        f"the look divided by the number of other models that the decision began with ({others}). The error rates of all looks at validation "
        f"images sum to at most {50 * decision.error:g}%, and so do those of the looks at test images, however often one looks (Bonferroni; "
        f"docs/designs.md). So at most {50 * decision.error:g}% of such decisions eliminate the best model, and at most "
        f"{100 * decision.error:g}% declare a winner among equally good ones.",
        "Of the models that no look has eliminated, the one with the highest value on validation images with tuned post-processing is used. This "
        "choice eliminates nothing, so it uses up no error rate. The looks at validation images compare the models before tuning, those at test images after it.",
        "Validation images also choose the weights within a run and the settings of post-processing, so validation values are optimistic; the "
        "test images were used for the values and differences of the last models only, after everything was chosen.",
    )
