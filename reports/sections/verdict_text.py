"""The sentences of the verdict: which model leads, by how much, and how certain that is."""

from __future__ import annotations

import math

from metrics.compare import verdict_text
from metrics.compare.verdict import EQUAL
from reports.analysis.report_data import ReportData, mean
from reports.elements import formatting

MIN_AP = 0.01
"""AP below which a model has not learned to detect."""

NOT_RESAMPLED = "The uncertainty of these numbers was not measured, so no difference is called decisive; treat small differences as ties."


def verdict(report: ReportData) -> str:
    """Describe the ranking by AP: with the verdict of the statistics, or without them by the differences alone."""
    statistics = report.statistics
    if statistics is None:
        return _verdict_without_statistics(report)
    data = report.data
    where = f"on {formatting.plural(data.images, 'image')} with {formatting.plural(data.objects, 'object')}"
    text = formatting.printable(verdict_text(statistics.verdict, statistics.measure.upper(), where))
    if len(report.models) == 1:
        return f"{text} There is no other model on this page."
    if mean(report.headline("ap")[0]) < MIN_AP:
        return f"{text} AP is close to 0 for all models, so their order is not meaningful."
    return text


def _verdict_without_statistics(report: ReportData) -> str:
    data, labels = report.data, report.labels
    means = [mean(seeds) for seeds in report.headline("ap")]
    where = f"{formatting.plural(data.images, 'image')} with {formatting.plural(data.objects, 'object')}"
    if math.isnan(means[0]):
        return (
            f"AP is not defined: the {formatting.printable(data.split)} split ({where}) has no valid objects."
        )
    ap50 = mean(report.headline("ap50")[0])
    if len(labels) == 1:
        return (
            f"{labels[0]} has AP {formatting.points(means[0])} and AP50 {formatting.points(ap50)} on {where}{_seeds(report)}. "
            "There is no other model on this page, and the uncertainty of the numbers was not measured."
        )
    if means[0] == 0:
        return f"AP is 0 for all {formatting.plural(len(labels), 'model')} on {where}."
    if means[0] < MIN_AP:
        return f"{ranking(report)} AP is close to 0 for all models, so their order is not meaningful."
    return " ".join(filter(None, (ranking(report), _seeds_overlap(report), NOT_RESAMPLED)))


def ranking(report: ReportData) -> str:
    """Describe the ranking by AP and the differences in one sentence."""
    labels = report.labels
    means = [mean(seeds) for seeds in report.headline("ap")]
    best = formatting.points(means[0])
    if len(labels) == 1 or math.isnan(means[0]):
        return f"{labels[0]} has AP {best}."
    equal = [label for label, value in zip(labels, means, strict=True) if means[0] - value < EQUAL]
    behind = [
        f"{_lead(means[0] - value)} percentage points above {label} ({formatting.points(value)})"
        for label, value in zip(labels, means, strict=True)
        if means[0] - value >= EQUAL
    ]
    ahead = f", {formatting.join_words(behind, 4)}" if behind else ""
    if len(equal) > 1:
        return f"{formatting.join_words(equal)} share the highest AP, {best}{ahead}{_seeds(report)}."
    return f"{labels[0]} has the highest AP, {best}{ahead}{_seeds(report)}."


def _lead(difference: float) -> str:
    """A positive difference in percentage points, never 0.0."""
    return formatting.points(difference) if difference >= 0.0005 else "less than 0.1"


def _seeds(report: ReportData) -> str:
    counts = {len(model.runs) for model in report.models}
    if counts == {1}:
        return ""
    number = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return f" (means of {number} seeds)"


def _seeds_overlap(report: ReportData) -> str:
    """Whether the seeds of the two best models overlap; not a test."""
    first, second = report.headline("ap")[:2]
    if min(len(first), len(second)) < 2:
        return ""
    verb = "do not overlap" if first.min() > second.max() else "overlap"
    return f"The AP ranges of the seeds of {report.labels[0]} and {report.labels[1]} {verb}."
