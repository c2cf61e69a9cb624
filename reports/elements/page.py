"""What a page is made of: sections of a finding, figures, tables, a method, and links to the files beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what is shown.
        value: what it is sorted by and copied as: a number, or None for "missing", which sorts last. Text cells are
            sorted by their text.
        strong: the best of its column; says nothing about how sure that is.
        note: small print below.
        bar: length of a bar below the number, in [0, 1].
        heat: depth of the cell's ground, in [0, 1].
    """

    text: str
    value: float | None = None
    strong: bool = False
    note: str = ""
    bar: float | None = None
    heat: float | None = None

    @property
    def style(self) -> str:
        """What the style sheet needs to know of the cell."""
        bar = "" if self.bar is None else f"--bar:{100 * self.bar:.1f}%"
        return bar if self.heat is None else f"--heat:{100 * self.heat:.0f}%"

    @property
    def sort_key(self) -> str:
        """What a script sorts by: the shortest text of the number, empty where there is none."""
        return "" if self.value is None or not math.isfinite(self.value) else repr(float(self.value))


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column's heading; `help` is shown in the table's method, not on hovering only."""

    title: str
    numeric: bool = False
    help: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row; its first cell is its heading.

    Attributes:
        cells: as many as the table has columns.
        series: the number of the model that the row is about: it gets that model's mark, and hides with it.
    """

    cells: tuple[Cell, ...]
    series: int | None = None


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table that sorts, copies, and reads aloud.

    Attributes:
        slug: unique on the page.
        caption: what it holds and in which unit.
        columns: the first heads the rows.
        rows: in the order in which a page without scripts shows them.
        column_series: for each column the model that it is about, where it is about one.
        searchable: whether a field filters its rows.
        folded: whether it is folded away: a long one that only a few want.
        series: the model that all of it is about: it hides with that model.
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
        slug: unique on the page; its files are ``figures/<slug>.svg`` and ``.png``.
        title: what it shows.
        finding: what is to be seen in it, in one sentence: its description for who cannot see it.
        inline: an ``<svg>`` element for the page, its colours the page's, its ids its own.
        svg: a standalone file for a paper.
        png: the same in pixels.
        caption: what is written below it after the title: the finding, unless the section has just said it.
    """

    slug: str
    title: str
    finding: str
    inline: Markup
    svg: str
    png: bytes
    caption: str


@dataclass(frozen=True, slots=True)
class Link:
    """A file beside the page: where a number leads back to."""

    file: str
    what: str


@dataclass(frozen=True, slots=True)
class Section:
    """One question of a reader, and its answer.

    Attributes:
        slug: its anchor.
        title: a few words, for the table of contents too.
        finding: the answer in one or two sentences.
        figures: in reading order.
        tables: the figures' numbers.
        warnings: what a reader must know before she believes the finding.
        method: paragraphs on how it was computed, folded away.
        links: files beside the page.
        template: a template for what figures and tables cannot say, given `extra`; comes before the tables.
        extra: what that template needs.
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
    """A word in the header with its meaning; `tone` is how loud it is."""

    word: str
    meaning: str
    tone: Literal["plain", "warn"] = "plain"


@dataclass(frozen=True, slots=True)
class Document:
    """A page, and the files it links to by their path from its folder."""

    html: str
    files: dict[str, bytes | str]
