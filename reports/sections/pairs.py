"""Which differences are more than chance: every pair of models on the same resamples of the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metrics.compare import PairDifference
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.forest import forest

_MARKS = (
    "Thick bars are 95% intervals, thin ones hold for all pairs at once; filled marks are more than chance."
)

DRAWN = 15
"""Pairs that the figure shows, the closest to the leader first; the table has all."""


def section(report: ReportData) -> Section | None:
    """Differences of AP with intervals, corrected p-values and what this test set can resolve; None for one model."""
    statistics = report.statistics
    if statistics is None or len(report.models) < 2:
        return None
    rows = [
        row for row in statistics.pairwise if row.metric == statistics.measure and row.test == "bootstrap"
    ]
    swaps = {
        frozenset((row.model_a, row.model_b)): row for row in statistics.pairwise if row.test != "bootstrap"
    }
    names = dict(zip((model.label for model in report.models), report.labels, strict=True))
    finding = " ".join(filter(None, (_finding(rows, names), _hangs_on(report))))
    drawing = forest(
        "pairs", "Differences of AP, first model less second", finding,
        [f"{names[row.model_a]} − {names[row.model_b]}" for row in rows[:DRAWN]],
        np.array([[row.delta, row.ci_low, row.ci_high, row.sim_low, row.sim_high] for row in rows[:DRAWN]]),
        [row.decisive for row in rows[:DRAWN]],
    )  # fmt: skip
    tables = [_table(rows, swaps, names)]
    if len(report.models) > 2:
        tables.append(_matrix(report, rows))
    method = statistics.method
    return Section(
        "pairs",
        "Differences",
        finding,
        figures=(replace(drawing, caption=_MARKS),),
        tables=tables,
        method=(
            f"All models are evaluated on the same {method.resamples:,} resamples of the {method.unit}s, so a "
            "difference is measured on equal images, hard ones and easy ones alike. Thick bars are the difference's own "
            f"{method.confidence:.0%} interval; thin ones hold for all pairs at once (Westfall and Young's max-T). "
            "p is the share of resamples that stray as far from the difference as it is from none, after Holm's "
            "correction for the number of pairs. P is the share of resamples in which the first model is better.",
            "Resolves is the least difference that this test set would find four times out of five (2.8 standard "
            "errors): a smaller one may be real and not be seen here. Swap is a second opinion: the p-value when it is "
            "drawn by a coin, image by image, which of both models a set of detections belongs to.",
        ),
        links=(
            Link("pairwise.csv", "all pairs, measures and classes"),
            Link("influence.csv", "what each image does to the lead"),
        ),
    )


def _finding(rows: Sequence[PairDifference], names: dict[str, str]) -> str:
    decisive = [row for row in rows if row.decisive]
    if rows[0].too_few:
        return "There are too few images to call any difference more than chance."
    if not decisive:
        return "No difference between two models is more than chance on these images."
    if len(decisive) == len(rows):
        which = "The difference is" if len(rows) == 1 else f"All {len(rows)} differences are"
        return f"{which} more than chance on these images."
    tied = [f"{names[row.model_a]} and {names[row.model_b]}" for row in rows if not row.decisive]
    parted = f"{len(decisive)} of {len(rows)} differences are more than chance on these images"
    return f"{parted}; {formatting.join_words(tied, 4)} cannot be told apart."


def _hangs_on(report: ReportData) -> str:
    """How many images the lead of the best model over the next one rests on."""
    moved = report.influence
    if moved is None or not moved.undone_by:
        return ""
    first, second = report.labels[:2]
    assert report.statistics is not None
    images = formatting.plural(moved.undone_by, report.statistics.method.unit)
    return f"Leaving out the {images} that speak most for {first} would end its lead over {second}."


def _table(
    rows: Sequence[PairDifference], swaps: dict[frozenset[str], PairDifference], names: dict[str, str]
) -> PageTable:
    made = []
    for row in rows:
        swap = swaps.get(frozenset((row.model_a, row.model_b)))
        word = "too few images" if row.too_few else "tied"
        if row.decisive:
            word = f"{names[row.model_a if row.delta > 0 else row.model_b]} is better"
        made.append(
            TableRow(
                (
                    Cell(f"{names[row.model_a]} − {names[row.model_b]}"),
                    Cell(
                        formatting.signed_points(row.delta),
                        row.delta,
                        note=formatting.points_interval(row.ci_low, row.ci_high),
                    ),
                    Cell(formatting.points_interval(row.sim_low, row.sim_high) or formatting.MISSING),
                    Cell(formatting.p_value(row.p_adj), row.p_adj),
                    Cell(
                        formatting.p_value(swap.p_adj) if swap else formatting.MISSING,
                        swap.p_adj if swap else None,
                    ),
                    Cell(
                        f"{row.p_a_gt_b:.2f}" if np.isfinite(row.p_a_gt_b) else formatting.MISSING,
                        row.p_a_gt_b,
                    ),
                    Cell(formatting.points(row.mdd), row.mdd),
                    Cell(word, strong=row.decisive),
                )
            )
        )
    titles = (
        ("PairDifference", True),
        ("for all pairs", False),
        ("p", True),
        ("p, swap", True),
        ("P", True),
        ("Resolves", True),
    )
    columns = (
        TableColumn("Pair"),
        *(TableColumn(title, numeric=numeric) for title, numeric in titles),
        TableColumn("Verdict"),
    )
    return PageTable(
        "pairs-table", "Differences of AP in points of 100, with 95% intervals", columns, tuple(made),
        searchable=len(made) > 12,
    )  # fmt: skip


def _matrix(report: ReportData, rows: Sequence[PairDifference]) -> PageTable:
    """Every model against every other, as seen from the row."""
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
            ends = sorted((sign * row.ci_low, sign * row.ci_high))
            delta = sign * row.delta
            cells.append(
                Cell(
                    formatting.signed_points(delta),
                    delta,
                    strong=row.decisive,
                    note=formatting.points_interval(*ends),
                )
            )
        made.append(TableRow(tuple(cells), series=at))
    columns = (TableColumn("Row less column"), *(TableColumn(label, numeric=True) for label in report.labels))
    return PageTable(
        "pairs-matrix", "Differences of AP, row less column; bold: more than chance", columns, tuple(made),
        column_series=(None, *range(len(labels))), folded=True,
    )  # fmt: skip
