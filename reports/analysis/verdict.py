"""The verdict in words: what the numbers say, with intervals where they were measured, and no more than that."""

from __future__ import annotations

import math

from metrics.compare import verdict_text
from reports.analysis.report_data import ReportData, mean
from reports.elements import formatting

NEXT_TO_NOTHING = 0.01
"""AP below which a model has not learnt to detect."""

UNTESTED = (
    "How far these numbers would move on other images was not measured here, so this page calls no difference "
    "significant: read a small one as a tie."
)


def verdict(report: ReportData) -> str:
    """Who has the highest AP, the differences to the others, and how sure that is.

    Where resampling measured it, its own words (`metrics.compare`); else the differences alone, which claim no
    significance.
    """
    statistics = report.statistics
    if statistics is None:
        return _unmeasured(report)
    data = report.data
    where = f"on {formatting.plural(data.images, 'image')} with {formatting.plural(data.objects, 'object')}"
    said = formatting.printable(verdict_text(statistics.verdict, statistics.measure.upper(), where))
    if len(report.models) == 1:
        return f"{said} There is no other model on this page to compare it with."
    if mean(report.headline("ap")[0]) < NEXT_TO_NOTHING:
        return f"{said} All models find next to nothing, so their order means nothing."
    return said


def _unmeasured(report: ReportData) -> str:
    data, labels = report.data, report.labels
    means = [mean(seeds) for seeds in report.headline("ap")]
    where = f"{formatting.plural(data.images, 'image')} with {formatting.plural(data.objects, 'object')}"
    if math.isnan(means[0]):
        return f"AP is not defined here: the {data.split} split, {where}, has no object to be found."
    ap50 = mean(report.headline("ap50")[0])
    if len(labels) == 1:
        return (
            f"{labels[0]} reaches AP {formatting.points(means[0])} and AP50 {formatting.points(ap50)} on {where}"
            f"{_seeds(report)}. There is nothing on this page to compare it with, and how far the number would "
            "move on other images was not measured."
        )
    if means[0] == 0:
        return f"No model found anything: AP is 0 for all {len(labels)} on {where}."
    if means[0] < NEXT_TO_NOTHING:
        return f"{brief(report)} All of them find next to nothing, so their order means nothing."
    return f"{brief(report)} {_seeds_overlap(report)}{UNTESTED}"


def brief(report: ReportData) -> str:
    """The order and the differences in one sentence."""
    labels = report.labels
    means = [mean(seeds) for seeds in report.headline("ap")]
    best = formatting.points(means[0])
    if len(labels) == 1 or math.isnan(means[0]):
        return f"{labels[0]} reaches AP {best}."
    equal = [label for label, value in zip(labels, means, strict=True) if value == means[0]]
    behind = [
        f"{_lead(means[0] - value)} above {label} ({formatting.points(value)})"
        for label, value in zip(labels, means, strict=True)
        if value < means[0]
    ]
    ahead = f", {formatting.join_words(behind, 4)}" if behind else ""
    if len(equal) > 1:
        return f"{formatting.join_words(equal)} share the highest AP, {best}{ahead}{_seeds(report)}."
    return f"{labels[0]} has the highest AP, {best}{ahead}{_seeds(report)}."


def _lead(difference: float) -> str:
    """Of a positive difference; never 0.0."""
    return formatting.points(difference) if difference >= 0.0005 else "less than 0.1"


def _seeds(report: ReportData) -> str:
    counts = {len(model.runs) for model in report.models}
    if counts == {1}:
        return ""
    number = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return f" (means of {number} seeds)"


def _seeds_overlap(report: ReportData) -> str:
    """Whether the best model's seeds all lie above the next one's: plain to see, and no test."""
    first, second = report.headline("ap")[:2]
    if min(len(first), len(second)) < 2:
        return ""
    parted = first.min() > second.max()
    names = f"{report.labels[0]} and {report.labels[1]}"
    return f"The seeds of {names} {'do not overlap' if parted else 'overlap'}. "
