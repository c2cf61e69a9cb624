"""Pairwise differences between models, on the same resamples of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metrics.compare import PairDifference
from metrics.plurals import agree
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.forest import forest
from reports.sections.pair_columns import (
    DETECTABLE,
    DIFFERENCE,
    INTERVAL,
    P_VALUE,
    PROBABILITY,
    PairColumn,
    headings,
    pair_column,
    pair_rows,
    verdict_column,
)

MAX_PAIRS = 15
"""Number of pairs in the figure, those with the best model first; the table has all."""


def section(report: ReportData) -> Section | None:
    """Differences in AP with intervals, corrected p-values and the resolution of the test set; None for one model."""
    statistics = report.statistics
    if statistics is None or len(report.models) < 2:
        return None
    rows = [
        row for row in statistics.pairwise if row.metric == statistics.measure and row.test == "bootstrap"
    ]
    swap_tests = {
        frozenset((row.model_a, row.model_b)): row for row in statistics.pairwise if row.test != "bootstrap"
    }
    names = dict(zip((model.label for model in report.models), report.labels, strict=True))
    finding = " ".join(filter(None, (_finding(rows, names), _influence_finding(report))))
    drawing = forest(
        "pairs", "Differences in AP, first model minus second", finding,
        [formatting.difference_label(names[row.model_a], names[row.model_b]) for row in rows[:MAX_PAIRS]],
        np.array([[row.delta, row.ci_low, row.ci_high, row.sim_low, row.sim_high] for row in rows[:MAX_PAIRS]]),
        [row.decisive for row in rows[:MAX_PAIRS]],
    )  # fmt: skip
    caption = (
        f"Thick bars are {statistics.method.confidence:.0%} confidence intervals of each pair alone, thin bars simultaneous intervals for "
        "all pairs; filled markers are decisive differences."
    )
    tables = [_table(rows, swap_tests, names)]
    if len(report.models) > 2:
        tables.append(_matrix(report, rows))
    method = statistics.method
    return Section(
        "pairs",
        "Pairwise differences",
        finding,
        figures=(replace(drawing, caption=caption),),
        tables=tables,
        method=(
            f"All models are evaluated on the same {formatting.plural(method.resamples, 'bootstrap resample')} of the {method.unit}s, so the differences "
            "are paired; the value on one resample is a replicate. Each difference has a simultaneous interval, which holds for "
            f"all pairs together with {method.confidence:.0%} confidence (Westfall and Young's max-T), and an interval for this pair "
            "alone: Student's t with the bootstrap's standard error. The p-value is that of the t test, adjusted by Holm's method "
            "for the number of pairs, and the probability that the first model is better is that of the same t distribution. "
            "A difference is decisive, and its first "
            "model is called better, if both intervals exclude 0 and the adjusted p-value is below "
            f"{1 - method.confidence:.2g}; both intervals of a decisive difference exclude 0 also where an end is rounded.",
            "A true difference of the size given as detectable is found, for this pair alone, with a probability of about 80% on "
            "test sets like this one. Smaller differences can be decisive too, but are found less often. The permutation test is "
            "a second test, of the best model against each other: its p-value comes from swapping the detections of the two "
            "models at random, image by image. It does not include the variance between training seeds, so it can be small "
            "where a difference between models with few seeds is not decisive.",
        ),
        links=(
            Link("pairwise.csv", "all pairs, measures and classes"),
            Link("influence.csv", "influence of each image on the lead"),
        ),
    )


def _finding(rows: Sequence[PairDifference], names: dict[str, str]) -> str:
    decisive = [row for row in rows if row.decisive]
    if rows[0].too_few:
        return "There are too few images, groups or objects for any difference to be decisive."
    if not decisive:
        return "No difference between two models is decisive on these images."
    if len(decisive) == len(rows):
        subject = "The difference is" if len(rows) == 1 else f"All {len(rows)} differences are"
        return f"{subject} decisive on these images."
    tied = [f"{names[row.model_a]} − {names[row.model_b]}" for row in rows if not row.decisive]
    verb = agree(len(decisive), "is", "are")
    count = f"{len(decisive)} of {formatting.plural(len(rows), 'difference')} {verb} decisive on these images"
    pairs = agree(len(tied), "this pair is", "these pairs are")
    return f"{count}; {pairs} tied: {formatting.join_words(tied, 4)}."


def _influence_finding(report: ReportData) -> str:
    """The number of images on which the lead of the best model over the second depends."""
    influence = report.influence
    if influence is None or not influence.undone_by:
        return ""
    first, second = report.labels[:2]
    assert report.statistics is not None
    unit = report.statistics.method.unit
    count = unit if influence.undone_by == 1 else f"{formatting.plural(influence.undone_by, unit)}"
    return f"Without the {count} with the largest influence on it, {first} would no longer lead {second}."


def _table(
    rows: Sequence[PairDifference], swap_tests: dict[frozenset[str], PairDifference], names: dict[str, str]
) -> PageTable:
    def swap_cell(row: PairDifference) -> Cell:
        swap = swap_tests.get(frozenset((row.model_a, row.model_b)))
        return Cell(formatting.MISSING) if swap is None else Cell(formatting.p_value(swap.p_adj), swap.p_adj)

    swap_column = PairColumn(
        TableColumn(
            "p-value of permutation test",
            True,
            "from swapping the detections of the two models by image; without the variance between training seeds",
        ),
        swap_cell,
    )
    columns = (
        pair_column(names), DIFFERENCE, INTERVAL, P_VALUE, swap_column, PROBABILITY, DETECTABLE, verdict_column(names),
    )  # fmt: skip
    return PageTable(
        "pairs-table", "Differences in AP in percentage points, with 95% confidence intervals: below the difference the "
        "simultaneous one, which decides", headings(columns), pair_rows(columns, rows), searchable=len(rows) > 12,
    )  # fmt: skip


def _matrix(report: ReportData, rows: Sequence[PairDifference]) -> PageTable:
    """Each model against each other, row minus column."""
    by_pair = {(row.model_a, row.model_b): row for row in rows}
    labels = [model.label for model in report.models]
    made = []
    for at, one in enumerate(labels):
        cells = [Cell(report.labels[at])]
        for other in labels:
            row = by_pair.get((one, other)) or by_pair.get((other, one))
            if one == other or row is None:
                cells.append(Cell(""))
                continue
            sign = 1.0 if row.model_a == one else -1.0
            ends = sorted((sign * row.sim_low, sign * row.sim_high))
            delta = sign * row.delta
            cells.append(
                Cell(
                    formatting.signed_points(delta),
                    delta,
                    strong=row.decisive,
                    note=formatting.difference_interval(*ends),
                )
            )
        made.append(TableRow(tuple(cells), series=at))
    columns = (
        TableColumn("Row minus column"),
        *(TableColumn(label, numeric=True) for label in report.labels),
    )
    return PageTable(
        "pairs-matrix", "Differences in AP in percentage points, row minus column, with simultaneous intervals; bold: decisive", columns, tuple(made),
        column_series=(None, *range(len(labels))), folded=True,
    )  # fmt: skip
