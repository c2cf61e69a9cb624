"""Columns of tables of pairs of models: each has a heading and makes a cell of a difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from metrics.compare import PairDifference
from reports.elements import formatting
from reports.elements.page import Cell, TableColumn, TableRow


class PairColumn(NamedTuple):
    """A column of a table with one row per pair of models."""

    heading: TableColumn
    cell: Callable[[PairDifference], Cell]


DIFFERENCE = PairColumn(
    TableColumn("Difference", True, "with the simultaneous confidence interval over all pairs"),
    lambda row: Cell(
        formatting.signed_points(row.delta),
        row.delta,
        note=formatting.difference_interval(row.sim_low, row.sim_high),
    ),
)

INTERVAL = PairColumn(
    TableColumn("Interval of this pair alone"),
    lambda row: Cell(formatting.difference_interval(row.ci_low, row.ci_high) or formatting.MISSING),
)

P_VALUE = PairColumn(
    TableColumn(
        "Adjusted p-value", True, "p-value of the t test, adjusted by Holm's method for the number of pairs"
    ),
    lambda row: Cell(formatting.p_value(row.p_adj), row.p_adj),
)

PROBABILITY = PairColumn(
    TableColumn("Probability that first is better", True, "by the t distribution of the difference"),
    lambda row: Cell(formatting.fixed(row.p_a_gt_b, 2), row.p_a_gt_b),
)

DETECTABLE = PairColumn(
    TableColumn(
        "Detectable difference", True, "true difference that is found with a probability of about 80%"
    ),
    lambda row: Cell(formatting.points(row.mdd), row.mdd),
)


def pair_column(names: Mapping[str, str]) -> PairColumn:
    """The pair itself, by the names of the page."""
    return PairColumn(TableColumn("Pair"), lambda row: Cell(f"{names[row.model_a]} − {names[row.model_b]}"))


def verdict_column(names: Mapping[str, str]) -> PairColumn:
    """Which model is better, by the names of the page."""

    def cell(row: PairDifference) -> Cell:
        if row.decisive:
            return Cell(f"{names[row.model_a if row.delta > 0 else row.model_b]} is better", strong=True)
        return Cell("too few data" if row.too_few else "tied")

    return PairColumn(TableColumn("Verdict"), cell)


def headings(columns: Sequence[PairColumn]) -> tuple[TableColumn, ...]:
    """The headings of columns."""
    return tuple(column.heading for column in columns)


def pair_rows(columns: Sequence[PairColumn], pairs: Sequence[PairDifference]) -> tuple[TableRow, ...]:
    """One row per pair."""
    return tuple(TableRow(tuple(column.cell(pair) for column in columns)) for pair in pairs)
