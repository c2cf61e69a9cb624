"""Figures: the same bytes each time, in the page's colours, with names that no two share."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from reports.elements.palette import COLOURS, DARK, DARK_PAGE, LIGHT, LIGHT_PAGE, PHOTO, series_style
from reports.figures.box_plot import boxes
from reports.figures.dot_plot import dot_plot
from reports.figures.lines import LineAxes, lines
from reports.figures.pr_curves import RECALLS, pr_curves

LABELS = [f"model {number}" for number in range(COLOURS)]


ROWS = np.linspace(0.2, 0.8, 3)[:, None] + np.array([[0.0, 0.05]])
CURVE = (np.array([0.1, 1.0, 10.0]), np.array([1.0, np.nan, 3.0]))
NAMED = ("Title", "A finding.")
KINDS = {
    "curves": lambda slug: pr_curves(slug, *NAMED, LABELS, [np.stack([1 - RECALLS, 1 - RECALLS**2])] * COLOURS),
    "dots": lambda slug: dot_plot(slug, *NAMED, ["a", "b", "c"], LABELS, [ROWS] * COLOURS, "AP"),
    "ranking": lambda slug: dot_plot(slug, *NAMED, LABELS[:3], LABELS[:3], [ROWS] * 3, "AP", show_means=True),
    "lines": lambda slug: lines(
        slug, *NAMED, LABELS, [[CURVE, CURVE]] * COLOURS, LineAxes("x", "y", log_x=True, cursor=True),
        points=[[(1.0, 2.0)]] * COLOURS,
    ),
}  # fmt: skip
"""A figure of each kind, with all colours."""


@pytest.mark.parametrize("draw", KINDS.values(), ids=KINDS)
def test_a_figure_is_the_same_each_time_and_takes_all_its_colours_from_the_page(draw):
    first, second = draw("some"), draw("some")
    assert first == second
    assert re.findall(r"#[0-9a-f]{6}\b|rgb\(", first.inline) == []
    assert "var(--ink)" in first.inline
    assert "DejaVu" not in first.inline
    assert first.png().startswith(b"\x89PNG")
    root = ElementTree.fromstring(first.svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "<metadata" not in first.svg
    assert {element.get("data-series") for element in ElementTree.fromstring(first.inline).iter()} > {None}


@pytest.mark.parametrize("draw", [KINDS[name] for name in ("curves", "ranking", "lines")])
def test_axes_are_where_constrained_layout_puts_them(draw, monkeypatch):
    """Oracle: Matplotlib's own engine, which makes both of its passes; a pixel is less than the width of a digit."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from reports.elements import matplotlib_figure

    fill, placed = matplotlib_figure._fill, []

    def fill_and_compare(canvas, ax, renderer):
        before = ax.get_position(original=True)
        fill(canvas, ax, renderer)
        ours = ax.get_position().extents
        ax.set_position(before)
        ax.set_in_layout(True)
        ConstrainedLayoutEngine().execute(canvas)
        placed.append((ours - ax.get_position().extents) * np.tile(canvas.get_size_inches() * 72, 2))

    monkeypatch.setattr(matplotlib_figure, "_fill", fill_and_compare)
    draw("some")
    assert np.abs(placed).max() < 1


ELEVEN = [*(f"model {number}" for number in range(10)), "torchvision/retinanet_resnet50_fpn_v2"]
WITH_LEGEND = {
    "curves": lambda: pr_curves("s", *NAMED, ELEVEN, [np.stack([1 - RECALLS])] * 11),
    "dots": lambda: dot_plot("s", *NAMED, ["a", "a longer name of a class"], ELEVEN, [ROWS[:2]] * 11, "AP"),
    "lines": lambda: lines("s", *NAMED, ELEVEN, [[CURVE]] * 11, LineAxes("x", "y")),
    "boxes": lambda: boxes("s", *NAMED, ["a"], ELEVEN, [[(1, 2, 3, 4, 5)]] * 11, "ms"),
}


@pytest.mark.parametrize("draw", WITH_LEGEND.values(), ids=WITH_LEGEND)
def test_the_legend_of_eleven_models_is_above_the_axes_and_inside_the_figure(draw, monkeypatch):
    from reports.elements import matplotlib_figure

    fill, seen = matplotlib_figure._fill, []

    def fill_and_look(canvas, ax, renderer):
        fill(canvas, ax, renderer)
        box, legend = ax.get_window_extent(renderer), ax.get_legend()
        seen.append((box, legend.get_window_extent(renderer), canvas.bbox, len(legend.get_texts())))

    monkeypatch.setattr(matplotlib_figure, "_fill", fill_and_look)
    draw()
    ((inside, legend, canvas, labels),) = seen
    assert labels == 11
    assert legend.y0 >= inside.y1 - 1
    assert legend.x1 <= canvas.x1
    assert legend.y1 <= canvas.y1
    assert inside.height > 25
    assert inside.width > 100


def test_a_subset_of_models_keeps_its_colours():
    curves = [[CURVE]] * 2
    figure = lines("s", *NAMED, ["b", "d"], curves, LineAxes("x", "y"), numbers=[1, 3])
    drawn = {element.get("data-series") for element in ElementTree.fromstring(figure.inline).iter()}
    assert drawn == {None, "1", "3"}
    assert "var(--s1)" in figure.inline
    assert "var(--s0)" not in figure.inline


def test_a_logarithmic_axis_without_positive_values_is_linear():
    none = (np.zeros(3), np.array([0.0, 0.5, 1.0]))
    assert lines("s", *NAMED, ["a"], [[none]], LineAxes("x", "y", log_x=True)).inline


def test_ids_of_figures_are_unique():
    found = [set(re.findall(r' id="([^"]+)"', draw(name).inline)) for name, draw in KINDS.items()]
    assert all(found)
    assert sum(map(len, found)) == len(set.union(*found))


def test_names_are_drawn_as_text_and_not_as_markup_or_mathematics():
    name = "<b>&$x_1$ \\frac"
    figure = dot_plot("s", name, f"{name} is best.", [name], [name, "b"], [np.array([[0.1]])] * 2, "AP")
    texts = ["".join(element.itertext()) for element in ElementTree.fromstring(figure.inline).iter("text")]
    assert texts.count(name) == 2
    assert f"{name} is best." in "".join(ElementTree.fromstring(figure.inline).itertext())


def test_a_users_matplotlib_settings_change_nothing():
    import matplotlib

    plain = KINDS["dots"]("some")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "text.usetex": False}):
        assert KINDS["dots"]("some") == plain


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Contrast ratio, WCAG 2.2."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("page", "series"), [(LIGHT_PAGE, LIGHT), (DARK_PAGE, DARK)], ids=["light", "dark"])
def test_text_has_contrast_4_5_and_markers_3(page, series):
    for text in ("ink", "muted", "accent"):
        for ground in ("paper", "raised", "wash"):
            assert contrast(page[text], page[ground]) >= 4.5, (text, ground)
    assert contrast(page["warn"], page["warnwash"]) >= 4.5
    assert contrast(page["edge"], page["paper"]) >= 3
    for colour in series:
        assert contrast(colour, page["paper"]) >= 3, colour


def test_class_colours_contrast_with_their_dark_outline():
    assert all(contrast(colour, "#30343a") >= 4.5 for colour in PHOTO)


def test_styles_of_the_first_models_differ_in_colour_marker_and_dash():
    first = [series_style(number) for number in range(6)]
    for part in ("colour", "shape", "dash"):
        assert len({getattr(one, part) for one in first}) == 6
    assert len({(one.colour, one.shape, one.dash) for one in map(series_style, range(168))}) == 168


def seen_by(colour: str, kind: str) -> np.ndarray:
    """CIE Lab of a colour; for dichromats after the projection of Viénot, Brettel and Mollon (1999), "Digital video
    colourmaps for checking the legibility of displays by dichromats".
    """
    values = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    to_lms = np.array(
        [[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]]
    )
    missing = {
        "normal": np.eye(3),
        "protan": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
        "deutan": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]),
    }[kind]
    linear = np.clip(np.linalg.inv(to_lms) @ missing @ to_lms @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    x, y, z = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("kind", ["normal", "protan", "deutan"])
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_of_twelve_models_those_of_similar_colours_differ_in_marker_and_dash(palette, kind):
    """Colours are similar within 15 units of Lab, several times what is just noticeable side by side."""
    styles = [series_style(number) for number in range(12)]
    for at, one in enumerate(styles):
        for other in styles[:at]:
            distance = np.linalg.norm(
                seen_by(palette[one.colour], kind) - seen_by(palette[other.colour], kind)
            )
            assert distance > 15 or (one.shape != other.shape and one.dash != other.dash), (at, one, other)
