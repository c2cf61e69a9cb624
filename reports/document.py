"""A report as text and files, nothing written yet: the header, the sections in reading order, what lies beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports import html, shown
from reports.csv import to_csv
from reports.leaderboard import HEADLINE, leaderboard
from reports.marks import DARK, LIGHT, mark
from reports.models import Model, group_models
from reports.page import Badge, Cell, Column, Link, Row, Section, Table
from reports.results import RunFolder


@dataclass(frozen=True, slots=True)
class Document:
    """A page, and what it links to by a path from its own folder."""

    html: str
    files: dict[str, bytes | str]


def compose(
    runs: Sequence[RunFolder],
    images: html.Images | None,
    *,
    title: str,
    max_bytes: int,
    show_paths: bool,
) -> Document:
    """The report of `runs`; arguments as in `reports.html.write_report`."""
    models = group_models(runs)
    first = models[0].runs[0].result
    sections = [_leaderboard(models)]
    context: dict[str, Any] = {
        "title": shown.literal(title) or f"Detectors on {shown.literal(first.data.name)}",
        "facts": _facts(models),
        "badges": _badges(models),
        "models": [_legend(model) for model in models],
        "sections": sections,
        "payload": None,
        "rules": _rules(models),
    }
    return Document(html.render(context), {"leaderboard.csv": to_csv(leaderboard(runs))})


def _legend(model: Model) -> dict[str, Any]:
    its = mark(model.number)
    return {
        "number": model.number,
        "label": shown.literal(model.label),
        "colour": its.colour,
        "dash": its.dash or "none",
        "marker": its.path,
    }


def _rules(models: Sequence[Model]) -> str:
    light = ";".join(f"--s{at}:{colour}" for at, colour in enumerate(LIGHT))
    dark = ";".join(f"--s{at}:{colour}" for at, colour in enumerate(DARK))
    hide = "\n".join(
        f'body:has(#show-{model.number}:not(:checked)) [data-series="{model.number}"]{{display:none}}'
        for model in models
    )
    return (
        f":root{{{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n"
        f"@media screen{{:root[data-theme=dark]{{{dark}}}}}\n{hide}\n"
    )


def _facts(models: Sequence[Model]) -> list[str]:
    data = models[0].runs[0].result.data
    return [
        f"{shown.literal(data.name)}, {shown.literal(data.split)} split",
        shown.plural(data.images, "image"),
        shown.plural(data.objects, "object"),
        shown.plural(data.classes, "class", "classes"),
        f"truth {data.fingerprint[:12]}",
    ]


def _badges(models: Sequence[Model]) -> list[Badge]:
    results = [result for model in models for result in model.results]
    badges = []
    if max(len(model.runs) for model in models) == 1:
        badges.append(Badge("1 seed", "seed variance not measured", "warn"))
    if any(result.status == "partial" for result in results):
        badges.append(Badge("partial run", "stopped before its budget was spent", "warn"))
    if any(result.environment.dirty for result in results):
        badges.append(Badge("dirty git", "made by code that is in no commit", "warn"))
    return badges


def _leaderboard(models: Sequence[Model]) -> Section:
    columns = (Column("Model"), *(Column(name, numeric=True) for name in HEADLINE))
    rows = []
    for model in models:
        result = model.results[0]
        cells = [
            Cell(shown.points(result.headline.get(name)), result.headline.get(name)) for name in HEADLINE
        ]
        rows.append(Row((Cell(shown.literal(model.label)), *cells), series=model.number))
    table = Table("leaderboard-table", "AP and AR in points of 100", columns, tuple(rows))
    return Section(
        "verdict",
        "Leaderboard",
        "Sorted by AP.",
        tables=(table,),
        links=(Link("leaderboard.csv", "a row per run"),),
    )
