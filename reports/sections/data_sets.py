"""Several data sets: the verdict over all of them, ranks, values on each, and mean differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from metrics.plurals import agree
from reports.analysis.data_sets import MEASURES, DataSetDifference, SuiteResults
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.critical_difference import critical_difference
from reports.figures.forest import forest

FEW = 6
"""With fewer data sets, no signed-rank test can have a p-value below 0.05: the smallest is 2 / 2**D."""

TITLES = {"ap": "AP", "ap50": "AP50"}


def verdict(results: SuiteResults) -> Section:
    """Which model is best over all data sets, with mean ranks."""
    figures: list[Figure] = []
    ranking = results.ranking
    finding = finding_text(results)
    if ranking is not None and len(results.labels) > 2:
        drawing = critical_difference(
            "mean-ranks", "Mean ranks by AP", rank_text(results), results.labels, ranking.mean_ranks.tolist(),
            ranking.groups, ranking.critical_difference,
        )  # fmt: skip
        caption = (
            f"{drawing.finding} Bars join models that Nemenyi's test does not distinguish at the 5% level."
        )
        figures.append(replace(drawing, caption=caption))
    return Section(
        "verdict",
        "Verdict over data sets",
        finding,
        figures=figures,
        tables=() if ranking is None else (_rank_table(results),),
        warnings=_warnings(results),
        method=(
            "A model is a variant with its settings on each data set; models are matched by their names, and means are over seeds. "
            "On each data set they are ranked by AP, 1 for the best, equal values sharing the mean of their ranks.",
            "The mean difference is estimated by a random-effects model: the difference on a data set has a known standard error, "
            "from the bootstrap over images and seeds, and true differences vary between data sets; if one of them has too few images for a "
            "standard error, all data sets have the same weight. The interval is that of "
            "Hartung and Knapp, and generalizes to other data sets like these. A difference is decisive if the interval excludes 0 "
            "and the p-value, adjusted by Holm's method for the other models, is below 0.05.",
            "Friedman's test, in the form of Iman and Davenport, asks whether any model differs from another in rank; Nemenyi's "
            "critical difference is that of mean ranks over all pairs; Wilcoxon's signed-rank test compares the best model with "
            "each other one, adjusted by Holm's method (Demsar 2006). They use ranks only, and need many data sets.",
        ),
        links=(Link("data-sets.csv", "values and ranks"),),
    )


def finding_text(results: SuiteResults) -> str:
    """The best model by mean rank, and its decisive differences."""
    count = len(results.names)
    if not results.labels:
        return f"No model was run on all {formatting.plural(count, 'data set')}."
    if results.ranking is None:
        reason = agree(len(results.labels), "alone was", "were")
        return f"{formatting.join_words(list(results.labels))} {reason} run on all {formatting.plural(count, 'data set')}, so there is no ranking."
    best = results.labels[0]
    text = f"{best} has the best mean rank by AP over {formatting.plural(count, 'data set')} ({results.ranking.mean_ranks[0]:.2f})."
    decisive = [each for each in results.differences if each.decisive and each.mean.mean > 0]
    tied = [results.labels[each.other] for each in results.differences if each not in decisive]
    if decisive:
        shown = [f"{results.labels[each.other]} by {_mean_text(each)}" for each in decisive]
        text += f" Over data sets like these it is better than {formatting.join_words(shown, 3)}."
    if tied:
        text += f" It is not decisively better than {formatting.join_words(tied, 4)}."
    return text


def rank_text(results: SuiteResults) -> str:
    """The result of Friedman's test."""
    assert results.ranking is not None
    p_value = results.ranking.p_value
    shown = formatting.p_value(p_value)
    equals = "" if shown.startswith("<") else "= "
    found = "differ" if p_value < 0.05 else "do not differ"
    return f"The mean ranks {found} significantly (Friedman's test, p {equals}{shown})."


def values(results: SuiteResults, links: Mapping[int, str]) -> Section:
    """AP and AP50 of each model on each data set.

    Args:
        results: of all data sets.
        links: page of each data set by its place.
    """
    tables = [_values_table(results, measure) for measure in MEASURES]
    return Section(
        "values",
        "Values on each data set",
        winners_text(results),
        tables=tables,
        method=("Intervals are those of the page of each data set, over its images and seeds.",),
        links=(
            Link("data-sets.csv", "values and ranks"),
            *(Link(path, f"page of {results.names[at]}") for at, path in sorted(links.items())),
        ),
    )


def winners_text(results: SuiteResults) -> str:
    """On how many data sets each model has the highest AP."""
    table = results.values[MEASURES[0]]
    if not results.labels or np.isnan(table).all():
        return "AP is not defined."
    best = np.nanmax(table, axis=1, keepdims=True)
    wins = (table >= best - 1e-12).sum(0)
    parts = [f"{label} on {wins[at]}" for at, label in enumerate(results.labels) if wins[at]]
    return f"The highest AP of {formatting.plural(len(results.names), 'data set')}: {formatting.join_words(parts)}."


def differences(results: SuiteResults) -> Section | None:
    """The best model minus each other one on each data set, and their mean; None without other models."""
    if not results.differences:
        return None
    figures = [_forest(results, each) for each in results.differences[:4]]
    return Section(
        "differences",
        "Differences over data sets",
        " ".join(difference_text(results, each) for each in results.differences[:4]),
        figures=figures,
        tables=(_difference_table(results),),
        links=(Link("data-set-differences.csv", "differences on each data set, and means"),),
    )


def difference_text(results: SuiteResults, each: DataSetDifference) -> str:
    """The mean difference, and on how many data sets the best model is better."""
    best, other = results.labels[0], results.labels[each.other]
    return f"{best} minus {other}: {_mean_text(each)} points of AP on average, above 0 on {each.wins} of {len(results.names)}."


def _mean_text(each: DataSetDifference) -> str:
    ends = formatting.difference_interval(each.mean.low, each.mean.high)
    return f"{formatting.signed_points(each.mean.mean)} {ends}".strip()


def _forest(results: SuiteResults, each: DataSetDifference) -> Figure:
    best, other = results.labels[0], results.labels[each.other]
    rows = [*results.names, "mean", *(["another data set"] if math.isfinite(each.mean.new_low) else [])]
    ends = [*each.intervals.tolist(), [each.mean.low, each.mean.high]]
    middle = [*each.deltas.tolist(), each.mean.mean]
    if math.isfinite(each.mean.new_low):
        ends.append([each.mean.new_low, each.mean.new_high])
        middle.append(each.mean.mean)
    table = np.array([[value, low, high, low, high] for value, (low, high) in zip(middle, ends, strict=True)])
    excludes = [bool(low > 0 or high < 0) for low, high in ends]
    excludes[len(results.names)] = each.decisive
    drawing = forest(
        f"difference-{each.other}",
        f"{best} minus {other}",
        difference_text(results, each),
        rows,
        table,
        excludes,
    )
    caption = "Bars are 95% intervals; filled markers exclude 0. The last row is where the difference on another data set is expected."
    return replace(
        drawing, caption=caption if len(rows) > len(results.names) + 1 else caption.split(" The last")[0]
    )


def _warnings(results: SuiteResults) -> tuple[str, ...]:
    made = []
    count = len(results.names)
    if count < FEW:
        made.append(
            f"With {formatting.plural(count, 'data set')}, Wilcoxon's test cannot have a p-value below {2 / 2**count:.2g}: nothing is significant by ranks, "
            "whatever the values."
        )
    if results.too_few:
        made.append(
            f"Too few images or objects for intervals: {formatting.join_words([*map(formatting.printable, results.too_few)])}. All data sets "
            "have the same weight in means."
        )
    if results.left_out:
        made.append(
            f"Not run on all data sets, and left out here: {formatting.join_words(list(results.left_out))}."
        )
    return tuple(made)


def _rank_table(results: SuiteResults) -> PageTable:
    assert results.ranking is not None
    by_other = {each.other: each for each in results.differences}
    made = []
    for at, label in enumerate(results.labels):
        rank = float(results.ranking.mean_ranks[at])
        mean = float(results.values[MEASURES[0]][:, at].mean())
        each = by_other.get(at)
        cells = [
            Cell(label),
            Cell(f"{rank:.2f}", rank, strong=at == 0),
            Cell(formatting.points(mean), mean),
        ]
        if each is None:
            cells += [Cell(formatting.MISSING)] * 4
        else:
            shown = formatting.difference_interval(each.mean.low, each.mean.high)
            verdict = "tied"
            if each.decisive:
                verdict = f"{results.labels[0] if each.mean.mean > 0 else label} is better"
            cells += [
                Cell(formatting.signed_points(each.mean.mean), each.mean.mean, note=shown),
                Cell(formatting.p_value(each.p_mean), each.p_mean),
                Cell(formatting.p_value(each.p_value), each.p_value),
                Cell(verdict, strong=each.decisive),
            ]
        made.append(TableRow(tuple(cells), series=at))
    columns = (
        TableColumn("Model"),
        TableColumn("Mean rank", True),
        TableColumn("Mean AP", True, "unweighted mean over data sets, in percent"),
        TableColumn(
            f"{formatting.truncate(results.labels[0], 24)} minus this",
            True,
            "mean over data sets, with its interval",
        ),
        TableColumn("Adjusted p-value", True, "of the mean difference"),
        TableColumn("Wilcoxon's adjusted p-value", True),
        TableColumn("Verdict"),
    )
    return PageTable("rank-table", "Models over all data sets, by mean rank", columns, tuple(made))


def _values_table(results: SuiteResults, measure: str) -> PageTable:
    made = []
    for row, (name, report) in enumerate(zip(results.names, results.reports, strict=True)):
        images = report.data.images
        cells = [Cell(formatting.printable(name)), Cell(formatting.count(images), images)]
        highest = np.nanmax(results.values[measure][row]) if results.labels else math.nan
        for column in range(len(results.labels)):
            value = float(results.values[measure][row, column])
            low, high = results.intervals[measure][row, column]
            note = formatting.points_interval(float(low), float(high))
            cells.append(Cell(formatting.points(value), value, strong=value >= highest - 1e-12, note=note))
        made.append(TableRow(tuple(cells)))
    columns = (
        TableColumn("Data set"),
        TableColumn("Images", numeric=True),
        *(TableColumn(label, numeric=True) for label in results.labels),
    )
    series: Sequence[int | None] = (None, None, *range(len(results.labels)))
    return PageTable(
        f"values-{measure}", f"{TITLES[measure]} on each data set, in percent, mean over seeds", columns, tuple(made),
        column_series=tuple(series), folded=measure != MEASURES[0],
    )  # fmt: skip


def _difference_table(results: SuiteResults) -> PageTable:
    made = []
    for row, name in enumerate(results.names):
        cells = [Cell(formatting.printable(name))]
        for each in results.differences:
            low, high = each.intervals[row]
            note = formatting.difference_interval(float(low), float(high))
            cells.append(
                Cell(formatting.signed_points(float(each.deltas[row])), float(each.deltas[row]), note=note)
            )
        made.append(TableRow(tuple(cells)))
    means, spreads = [Cell("mean")], [Cell("standard deviation between data sets")]
    for each in results.differences:
        shown = formatting.difference_interval(each.mean.low, each.mean.high)
        means.append(
            Cell(formatting.signed_points(each.mean.mean), each.mean.mean, strong=each.decisive, note=shown)
        )
        spreads.append(Cell(formatting.points(each.mean.spread), each.mean.spread))
    made += [TableRow(tuple(means)), TableRow(tuple(spreads))]
    columns = (
        TableColumn(f"{formatting.truncate(results.labels[0], 24)} minus"),
        *(TableColumn(results.labels[each.other], numeric=True) for each in results.differences),
    )
    return PageTable(
        "differences-table", "Differences in AP in percentage points, with 95% intervals", columns, tuple(made),
        column_series=(None, *(each.other for each in results.differences)),
    )  # fmt: skip
