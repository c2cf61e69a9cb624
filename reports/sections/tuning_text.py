"""Sentences on the final evaluation of a study: whether tuning helped, and how the splits differ."""

from __future__ import annotations

import math

from reports.analysis.study_values import STATE_WORDS, default_settings, interval, number, signed
from reports.elements import formatting
from reports.records.final_evaluation import FinalEvaluation, Finalist
from reports.records.study import StudyResult
from reports.sections.compression_search_text import compression_finding


def finding(result: StudyResult) -> str:
    """Whether tuning helped, in a few sentences, for any state of a study."""
    evaluation = result.final_evaluation
    if not result.complete:
        return _no_value(result)
    if evaluation is None:
        return _best_so_far(result)
    if result.stage == "compression":
        return compression_finding(result, evaluation)
    name, winner, default = (
        formatting.printable(evaluation.objective.text),
        evaluation.winner,
        evaluation.default,
    )
    tested = f" On the test split, {name} is {_test(winner)}." if math.isfinite(winner.mean_test) else ""
    if winner is default:
        conclusion = "Tuning did not help: the default settings did best on the validation split."
        return f"{conclusion}{tested} {_validation(result, evaluation)}".strip()
    if evaluation.gain is None:
        conclusion = f"The settings of {winner.name} did best on the validation split."
        return f"{conclusion}{tested} {_validation(result, evaluation)}".strip()
    comparison = (
        f"on the test split, {name} is {_test(winner)} with the settings of {winner.name} and "
        f"{number(default.mean_test if default else None)} with the default settings, a difference of "
        f"{signed(evaluation.gain.delta)}{_signed_interval(evaluation.gain.interval)}."
    )
    return f"{_conclusion(evaluation)}: {comparison} {_validation(result, evaluation)}".strip()


def _no_value(result: StudyResult) -> str:
    states = result.states
    if not states:
        return "The study has no trials yet."
    counts = [f"{formatting.count(count)} {STATE_WORDS[state]}" for state, count in sorted(states.items())]
    reasons = [trial.reason for trial in result.counted if trial.reason]
    last = (
        f" The last reason: {formatting.truncate(formatting.hide_paths(reasons[-1]), 300)}."
        if reasons
        else ""
    )
    return f"No trial has a value: {formatting.join_words(counts)}.{last}"


def _best_so_far(result: StudyResult) -> str:
    best, default, name = result.complete[0], result.default, formatting.printable(result.objectives[0].text)
    text = (
        f"The study is not finished. The best of {formatting.plural(len(result.complete), 'complete trial')} so far is "
        f"trial {best.number}, with {name} {number(best.value)} on the validation split"
    )
    if default is best:
        text += f"; it has {default_settings(result)}"
    elif default is not None:
        text += f"; {default_settings(result)} have {number(default.value)}"
    return text + "."


def _conclusion(evaluation: FinalEvaluation) -> str:
    assert evaluation.gain is not None
    if evaluation.gain.interval is None:
        return "Whether tuning helped is uncertain without a confidence interval"
    low, high = evaluation.gain.interval
    if not evaluation.objective.higher:
        low, high = -high, -low
    if low <= 0 <= high:
        return "Whether tuning helped is uncertain"
    if evaluation.gain.doubt:
        return f"Whether tuning helped is uncertain ({formatting.printable(evaluation.gain.doubt)})"
    return "Tuning helped" if low > 0 else "Tuning made it worse"


def _signed_interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f" [{signed(ends[0])}, {signed(ends[1])}]"


def _test(finalist: Finalist) -> str:
    return f"{number(finalist.mean_test)} {interval(finalist.test_interval)}".strip()


def _validation(result: StudyResult, evaluation: FinalEvaluation) -> str:
    """Values on the validation split, and how they differ from those in the study and on the test split."""
    winner, default = evaluation.winner, evaluation.default
    seeds = formatting.plural(len(winner.retrained), "fresh seed")
    sentences = []
    if not winner.retrained:
        sentences.append(
            f"The settings were not retrained with fresh seeds: their value on the validation split, {number(winner.tuned)}, "
            f"comes from the study, where it was selected from {formatting.plural(len(result.complete), 'complete trial')}."
        )
    elif winner.tuned is None and evaluation.objective != result.objectives[0]:
        sentences.append(
            f"The study optimized {formatting.printable(result.objectives[0].text)}, which does not measure the detector: "
            f"the choice rests on {seeds} alone."
        )
    elif winner.tuned is not None:
        sentences.append(
            f"On the validation split, {_settings_of(winner)} had {number(winner.tuned)} in the study and have "
            f"{number(winner.mean_retrained)} with {seeds}."
        )
    if math.isfinite(winner.validation_minus_test):
        gap = f"Validation minus test is {signed(winner.validation_minus_test)} for {_settings_of(winner)}"
        if winner is not default and default is not None and math.isfinite(default.validation_minus_test):
            gap += f" and {signed(default.validation_minus_test)} for {_settings_of(default)}"
        sentences.append(f"{gap}.")
    return " ".join(sentences)


def _settings_of(finalist: Finalist) -> str:
    return "the default settings" if finalist.trial is None else f"the settings of {finalist.name}"


def looks_text(result: StudyResult) -> str:
    """State how often the study looked at the test split; empty where it never did."""
    looks = result.test_looks
    if not looks:
        return ""
    if len(looks) == 1:
        return (
            f"The study looked at the test split once, after {formatting.plural(looks[0].trials, 'trial')}."
        )
    counts = formatting.join_words([formatting.count(look.trials) for look in looks], 8)
    return (
        f"The study looked at the test split {formatting.plural(len(looks), 'time')}, after {counts} trials."
    )
