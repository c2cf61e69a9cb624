"""Figures from Matplotlib drawings: inline SVG in the colours of the page; standalone SVG and PNG for papers."""

from __future__ import annotations

import gc
import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from reports.elements.page import Figure
from reports.elements.palette import DASHES, LIGHT, LIGHT_PAGE, series_style

WIDTH = 380.0
"""Default width in CSS pixels; fits on a phone."""

PADDING = 3 / 72
"""Space around the axes and their labels, in inches."""

INK, MUTED, RULE, PAPER = (LIGHT_PAGE[name] for name in ("ink", "muted", "rule", "paper"))
"""Text and axes; ticks and annotations; grid; background."""

# Drawings use the colours of print, which the page replaces by CSS variables. Any other colour would stay the same in the
# dark theme, so none may be used.
_VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)", PAPER: "var(--paper)"} | {
    colour: f"var(--s{at})" for at, colour in enumerate(LIGHT)
}

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a class may be named $x$
    "font.family": ["DejaVu Sans"],
    "font.size": 11.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 11.5,
    "xtick.labelsize": 11.0,
    "ytick.labelsize": 11.0,
    "legend.fontsize": 11.0,
    "legend.frameon": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "path.simplify": False,
    "figure.dpi": 72.0,
}

Draw = Callable[[Canvas], None]
"""Draws on an empty canvas with the colours of this module."""


def figure(slug: str, title: str, finding: str, height: float, draw: Draw, width: float = WIDTH) -> Figure:
    """Draw a figure; the same drawing gives the same bytes.

    An artist whose gid is ``series-<n>`` belongs to model n and is hidden with it on the page. The page's script finds
    an artist whose gid is ``hook(name)``.

    Args:
        slug: unique on the page; prefix of every id within the drawing.
        title: a phrase.
        finding: one sentence on what the figure shows.
        height: in CSS pixels.
        draw: draws on an empty canvas.
        width: in CSS pixels.
    """
    raw = _svg(slug, width, height, draw)
    inline = _inline(raw, f"fig-{slug}", title, finding)
    return Figure(
        slug, title, finding, inline, _standalone(raw), partial(_png, slug, width, height, draw), finding
    )


def axes(canvas: Canvas, rows: int = 1, columns: int = 1) -> list[Axes]:
    """Add empty axes in the page's colours with a light grid; returned row by row."""
    made: list[Axes] = []
    for at in range(rows * columns):
        ax = canvas.add_subplot(rows, columns, at + 1)
        ax.set_facecolor("none")
        ax.tick_params(which="both", colors=MUTED, labelcolor=INK, length=3)
        for spine in ax.spines.values():
            spine.set_color(MUTED)
        ax.xaxis.label.set_color(INK)
        ax.yaxis.label.set_color(INK)
        ax.title.set_color(INK)
        ax.grid(True, color=RULE, linewidth=0.8)
        made.append(ax)
    return made


def legend(ax: Axes, **where: Any) -> None:
    """Add a legend of the labelled artists, if there are any."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        ax.legend(handles, labels, labelcolor=INK, **where)


@dataclass(frozen=True, slots=True)
class LegendAbove:
    """Rows and columns of a legend above the axes, where it covers nothing.

    Attributes:
        columns: side by side.
        height: that it adds to the figure, in CSS pixels.
    """

    columns: int
    height: float

    @classmethod
    def of(cls, labels: Sequence[str], left: float = 50.0, width: float = WIDTH) -> LegendAbove:
        """As many columns as fit beside each other.

        Args:
            labels: as they are drawn.
            left: where the axes begin, in CSS pixels.
            width: of the figure.
        """
        column = 55 + 7.0 * max(
            map(len, labels), default=0
        )  # sample of the line, and the text with the space after it
        columns = max(1, min(len(labels), int((width - left) // column)))
        rows = -(-len(labels) // columns)
        return cls(columns, 18.0 * rows + 6)

    def draw(self, ax: Axes, **options: Any) -> None:
        """Add the legend of the labelled artists."""
        legend(ax, loc="lower left", bbox_to_anchor=(0, 1), ncols=self.columns, borderaxespad=0.2, **options)


def shade(
    ax: Axes, number: int, x: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> None:
    """Fill the area between two curves in a light shade of a model's colour, except where either is NaN."""
    known = np.isfinite(low) & np.isfinite(high)
    if known.any():
        ax.fill_between(
            x, low, high, where=known, color=colour(number), alpha=0.16, linewidth=0, gid=f"series-{number}"
        )  # fmt: skip


def hook(name: str) -> str:
    """Return the gid of an artist that the page's script finds by ``data-hook``."""
    return f"hook-{name}"


def dashes(number: int) -> str | tuple[float, tuple[float, ...]]:
    """Return the Matplotlib line style of a model."""
    pattern = series_style(number).dash
    assert pattern in DASHES
    return (0, tuple(float(step) / 2 for step in pattern.split())) if pattern else "solid"


def colour(number: int) -> str:
    """Return the colour of a model."""
    return LIGHT[series_style(number).colour]


def _svg(slug: str, width: float, height: float, draw: Draw) -> str:
    buffer = io.StringIO()
    with _canvas(slug, width, height, draw) as canvas:
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(canvas).print_svg(buffer, metadata=nothing)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _png(slug: str, width: float, height: float, draw: Draw) -> bytes:
    buffer = io.BytesIO()
    with _canvas(slug, width, height, draw) as canvas:
        canvas.savefig(buffer, format="png", dpi=200, facecolor=PAPER, metadata={"Software": None})
    return buffer.getvalue()


@contextmanager
def _canvas(slug: str, width: float, height: float, draw: Draw) -> Iterator[Canvas]:
    """Draw on a canvas and lay it out; Matplotlib's settings are ours while it is open.

    The layout is computed once, at the resolution of the page, so that all files of a figure are laid out alike.
    """
    with _settings(slug), _paused_collection():
        canvas = Canvas(figsize=(width / 72, height / 72), facecolor="none")
        FigureCanvasAgg(canvas)
        draw(canvas)
        if len(canvas.axes) == 1:
            _fill(canvas, canvas.axes[0], _measuring_renderer())
        else:
            ConstrainedLayoutEngine().execute(canvas)
        yield canvas


@cache
def _measuring_renderer() -> RendererAgg:
    """Measures texts at the resolution of the page. One for all figures: Matplotlib keeps the sizes of texts for each renderer."""
    return RendererAgg(1, 1, 72.0)  # type: ignore[no-untyped-call]


def _fill(canvas: Canvas, ax: Axes, renderer: RendererAgg) -> None:
    """Let the axes with their labels and legend fill the canvas, as Matplotlib's constrained layout does.

    Constrained layout measures all labels twice, because other ticks may need other margins. Here they are measured again
    only if the ticks have changed. Without that, margins may differ from those of constrained layout by the part of a pixel by
    which the label of the last tick protrudes.
    """
    width, height = canvas.get_size_inches()
    for _ in range(2):
        ticks = _ticks(ax)
        around = ax.get_tightbbox(renderer, for_layout_only=True)
        assert around is not None
        outer, inner = around.transformed(canvas.transFigure.inverted()), ax.get_position(original=True)
        padding = PADDING / np.array([width, height])
        low = np.subtract(inner.min, outer.min) + padding
        high = np.subtract(inner.max, outer.max) + 1 - padding
        ax.set_position((low[0], low[1], *(high - low)))
        if _ticks(ax) == ticks:
            break


def _ticks(ax: Axes) -> list[list[float]]:
    """Where the ticks of both axes are."""
    return [np.asarray(axis.get_ticklocs()).tolist() for axis in (ax.xaxis, ax.yaxis)]


@contextmanager
def _settings(slug: str) -> Iterator[None]:
    """Set Matplotlib's defaults and ours for one drawing; silence warnings about glyphs that browsers have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", matplotlib.MatplotlibDeprecationWarning)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        defaults: dict[Any, Any] = dict(matplotlib.rcParamsDefault.items())
        del defaults["backend"]
        with matplotlib.rc_context({**defaults, **_SETTINGS, "svg.hashsalt": f"detbench-{slug}"}):
            yield


@contextmanager
def _paused_collection() -> Iterator[None]:
    """Pause Python's search for unused cycles of objects.

    A drawing makes tens of thousands of objects, which are used until it is finished. Each search would look at them in vain, and
    their number makes Python search all objects of the process, which takes a tenth of a second beside torch.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_LONG = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")


def _inline(raw: str, slug: str, title: str, finding: str) -> Markup:
    """Convert the drawing to an element of the page: with title and description, unique ids and CSS colours."""
    root = _tree(raw, _VARIABLES, "var(--sans)")
    for element in root.iter():
        _prefix_ids(element, slug)
        if _LINK in element.attrib:
            element.attrib["href"] = element.attrib.pop(_LINK)
    _drop(root, "style")  # would apply to the whole page, whose style sheet has the same rule
    box = root.attrib["viewBox"]
    width = float(box.split()[2])
    root.attrib.clear()
    root.attrib.update(
        {
            "viewBox": box,
            "role": "img",
            "aria-labelledby": f"{slug}-title {slug}-desc",
            "style": f"--w:{width:g}px",
        }
    )
    for at, (tag, text) in enumerate((("title", title), ("desc", finding))):
        named = ElementTree.Element(tag, {"id": f"{slug}-{tag}"})
        named.text = text
        root.insert(at, named)
    # Markup is safe: the serialiser has escaped all text.
    return Markup(ElementTree.tostring(root, encoding="unicode", short_empty_elements=False))


def _standalone(raw: str) -> str:
    """Convert the drawing to a standalone file in the colours of print."""
    root = _tree(raw, {}, "'DejaVu Sans', sans-serif")
    root.attrib["xmlns"] = "http://www.w3.org/2000/svg"
    root.attrib["xmlns:xlink"] = "http://www.w3.org/1999/xlink"
    for element in root.iter():
        if _LINK in element.attrib:
            element.attrib["xlink:href"] = element.attrib.pop(_LINK)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _tree(raw: str, colours: Mapping[str, str], font: str) -> ElementTree.Element:
    """Parse Matplotlib's SVG; drop namespaces, metadata and excess digits, and replace colours."""
    root = ElementTree.fromstring(raw)  # drawn above: no untrusted XML
    _drop(root, f"{_SVG}metadata")
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.tail = None
        if element.tag not in ("text", "style"):
            element.text = None
        for key, value in element.attrib.items():
            if key == "style":
                value = re.sub(r"#[0-9a-f]{6}\b", lambda given: colours.get(given[0], given[0]), value)
                value = value.replace("'DejaVu Sans'", font)
            elif key in ("d", "x", "y", "width", "height", "transform", "points", "viewBox"):
                value = _LONG.sub(lambda number: f"{float(number[0]):.2f}", value).strip()
                value = re.sub(r"\s{2,}", " ", value)
            element.attrib[key] = value
        if element.attrib.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]
    return root


def _drop(root: ElementTree.Element, tag: str) -> None:
    for parent in list(root.iter()):
        for child in parent.findall(tag):
            parent.remove(child)


def _prefix_ids(element: ElementTree.Element, slug: str) -> None:
    """Prefix ids and references with the slug; mark the artists of models and hooks; drop ids of other groups."""
    name = element.attrib.pop("id", None)
    series = re.fullmatch(r"series-(\d+)(?:-.*)?", name or "")
    if series:
        element.attrib["data-series"] = series[1]
    elif name is not None and name.startswith("hook-"):
        element.attrib["data-hook"] = name.removeprefix("hook-")
    elif name is not None and element.tag not in ("g", "text"):
        element.attrib["id"] = f"{slug}-{name}"
    for key, value in element.attrib.items():
        if key == _LINK:
            element.attrib[key] = f"#{slug}-{value.removeprefix('#')}"
        elif key != "id":
            element.attrib[key] = _REFERENCE.sub(rf"url(#{slug}-\1)", value)
