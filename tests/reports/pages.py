"""A page as a test sees it: parsed by the standard's algorithm, which forgives nothing here."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree.ElementTree import Element

import html5lib

SVG = "{http://www.w3.org/2000/svg}"


def parsed(page: Path | str) -> Element:
    """The page's tree; any error in it fails the test."""
    text = page.read_text(encoding="utf-8") if isinstance(page, Path) else page
    parser = html5lib.HTMLParser(
        strict=True, tree=html5lib.getTreeBuilder("etree"), namespaceHTMLElements=False
    )
    return parser.parse(text)


def every(tree: Element, tag: str) -> list[Element]:
    """All elements of that tag, HTML's and SVG's."""
    return [element for element in tree.iter() if element.tag in (tag, f"{SVG}{tag}")]


def words(element: Element) -> str:
    """All text within, spaces run together."""
    return re.sub(r"\s+", " ", "".join(element.itertext())).strip()


def part(tree: Element, slug: str) -> Element:
    """The section of that anchor."""
    return next(element for element in every(tree, "section") if element.get("id") == slug)


def cells(tree: Element, slug: str) -> list[list[str]]:
    """A table's body, row by row."""
    table = next(element for element in every(tree, "table") if element.get("id") == slug)
    body = next(iter(table.iter("tbody")))
    return [[words(cell) for cell in row] for row in body]
