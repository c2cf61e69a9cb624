"""The page over several data sets and its files, not yet written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.analysis.data_sets import difference_rows, suite_results, value_rows
from reports.analysis.gallery_images import text_size
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Badge, Document
from reports.elements.page_template import legend_entry, page_rules, render
from reports.records.csv import to_csv
from reports.sections import data_sets


def compose_suite(
    reports: Sequence[ReportData], links: Mapping[int, str] | None = None, *, title: str = ""
) -> Document:
    """The page over several data sets; arguments as in `reports.pages.write_suite`."""
    results = suite_results(reports)
    sections = [
        section
        for section in (
            data_sets.verdict(results),
            data_sets.values(results, links or {}),
            data_sets.differences(results),
        )
        if section is not None
    ]
    finished = [run.finished for report in reports for run in report.results if run.finished is not None]
    context: dict[str, Any] = {
        "title": formatting.printable(title) or f"Detectors on {formatting.plural(len(reports), 'data set')}",
        "facts": [
            formatting.join_words([formatting.printable(name) for name in results.names]),
            formatting.plural(len(results.labels), "model"),
            formatting.plural(sum(report.data.images for report in reports), "test image"),
            *([formatting.timestamp(max(finished))] if finished else []),
        ],
        "badges": _badges(reports),
        "models": [legend_entry(number, label) for number, label in enumerate(results.labels)],
        "sections": sections,
        "payload": "",
        "rules": page_rules(len(results.labels)),
        "text_size": text_size,
        "png": False,
    }
    files: dict[str, bytes | str] = {"data-sets.csv": to_csv(value_rows(results))}
    if results.differences:
        files["data-set-differences.csv"] = to_csv(difference_rows(results))
    for section in sections:
        for figure in section.figures:
            files[f"figures/{figure.slug}.svg"] = figure.svg
    return Document(render(context), files)


def _badges(reports: Sequence[ReportData]) -> list[Badge]:
    counts = sorted({len(model.runs) for report in reports for model in report.models})
    if counts[0] == 1:
        return [
            Badge(
                "one run",
                "of some model on some data set: the variance between seeds was not measured",
                "warn",
            )
        ]
    seeds = (
        formatting.plural(counts[0], "seed")
        if len(counts) == 1
        else f"{counts[0]} to {formatting.plural(counts[-1], 'seed')}"
    )
    return [Badge(seeds, "per model and data set")]
