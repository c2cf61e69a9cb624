"""Parts of a page: a section has a finding, figures, tables, a method, and links to the files beside the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: the visible text.
        value: number for sorting and copying; None is missing and sorts last. Text columns are sorted by text.
        strong: whether it is the best of its column or row, significant or not.
        note: small print below the text.
        bar: length of a bar below the number, in [0, 1].
        heat: intensity of the background, in [0, 1].
        faint: whether it rests on too few data and is printed in grey.
    """

    text: str
    value: float | None = None
    strong: bool = False
    note: str = ""
    bar: float | None = None
    heat: float | None = None
    faint: bool = False

    @property
    def style(self) -> str:
        """Inline style: the CSS variable of the bar or the background."""
        bar = "" if self.bar is None else f"--bar:{100 * self.bar:.1f}%"
        return bar if self.heat is None else f"--heat:{100 * self.heat:.0f}%"

    @property
    def sort_key(self) -> str:
        """The number as text for the page's script; empty if missing."""
        return "" if self.value is None or not math.isfinite(self.value) else repr(float(self.value))


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column's heading.

    Attributes:
        title: a few words.
        numeric: whether its cells are numbers.
        help: what the column contains, where the title does not say it; shown on hovering, so the method has it too.
    """

    title: str
    numeric: bool = False
    help: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row; its first cell is its heading.

    Attributes:
        cells: one per column.
        series: number of the row's model: the row shows that model's mark and is hidden with it.
    """

    cells: tuple[Cell, ...]
    series: int | None = None


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table that can be sorted and copied.

    Attributes:
        slug: unique on the page.
        caption: contents and unit.
        columns: the first column holds the row headings.
        rows: in the initial order.
        column_series: number of each column's model, or None.
        searchable: whether a search field filters the rows.
        folded: whether the table is collapsed at first.
        series: number of the table's model, with which it is hidden.
    """

    slug: str
    caption: str
    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]
    column_series: tuple[int | None, ...] = ()
    searchable: bool = False
    folded: bool = False
    series: int | None = None

    def __post_init__(self) -> None:
        for row in self.rows:
            assert len(row.cells) == len(self.columns), (self.slug, len(row.cells), len(self.columns))
        if not self.column_series:
            object.__setattr__(self, "column_series", (None,) * len(self.columns))
        assert len(self.column_series) == len(self.columns), self.slug


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure.

    Attributes:
        slug: unique on the page; its file is ``figures/<slug>.svg``.
        title: a phrase.
        finding: one sentence on what the figure shows; also the description for screen readers.
        inline: an ``<svg>`` element in the page's colours, with ids that are unique on the page.
        svg: a standalone file.
        png: draws the same as pixels; a call takes as long as the rest of the figure.
        caption: text below the figure after the title: the finding, unless the section begins with it.
    """

    slug: str
    title: str
    finding: str
    inline: Markup
    svg: str
    png: Callable[[], bytes] = field(compare=False)
    caption: str


@dataclass(frozen=True, slots=True)
class Link:
    """A file beside the page that holds the numbers of a section."""

    file: str
    what: str


@dataclass(frozen=True, slots=True)
class Section:
    """One question and its answer.

    Attributes:
        slug: its anchor.
        title: a few words; also in the table of contents.
        finding: the answer in one or two sentences.
        figures: in reading order.
        tables: the numbers of the figures.
        warnings: limitations of the finding.
        method: paragraphs on the computation, collapsed at first.
        links: files beside the page.
        template: name of a template for further content before the tables.
        extra: variables of that template.
    """

    slug: str
    title: str
    finding: str
    figures: Sequence[Figure] = ()
    tables: Sequence[PageTable] = ()
    warnings: Sequence[str] = ()
    method: Sequence[str] = ()
    links: Sequence[Link] = ()
    template: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Badge:
    """A short label in the header with its meaning."""

    word: str
    meaning: str
    tone: Literal["plain", "warn"] = "plain"


UNCOMMITTED = Badge("uncommitted code", "the recorded commit does not contain all of it", "warn")
"""Badge of results of a checkout with changes."""


@dataclass(frozen=True, slots=True)
class Document:
    """A page, and the files it links to by their path from its folder."""

    html: str
    files: dict[str, bytes | str]
