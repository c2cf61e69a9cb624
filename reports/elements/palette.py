"""Colour, marker and dash of each model in figures and tables; each of the three is enough to tell models apart."""

from __future__ import annotations

from dataclasses import dataclass

# Hues of Okabe and Ito (2008), "Color Universal Design", darkened for the light page and lightened for the dark one to a
# contrast of at least 3:1 with the background (tested).
LIGHT = ("#0072b2", "#c95200", "#00855f", "#b0568a", "#9a6a00", "#2b86b8", "#7d7400", "#4a4f57")
DARK = ("#5aaee6", "#f0884a", "#2fc596", "#e39cc3", "#e6b23c", "#8ecdf2", "#e8de5a", "#c3c9d2")

LIGHT_PAGE = {
    "paper": "#ffffff", "raised": "#f6f7f9", "ink": "#1b1f24", "muted": "#57606a", "rule": "#dfe3e8", "edge": "#848d99",
    "accent": "#3b4cc0", "wash": "#e9ecfa", "warn": "#854300", "warnwash": "#fff4e0",
}  # fmt: skip
"""Colours of the page by their name in the style sheet: text is ink or muted, on paper, raised or wash."""

DARK_PAGE = {
    "paper": "#14171c", "raised": "#1d2128", "ink": "#e8ebef", "muted": "#a3acb8", "rule": "#2e343d", "edge": "#76808d",
    "accent": "#a9b5ff", "wash": "#262c47", "warn": "#ffcf8f", "warnwash": "#36290f",
}  # fmt: skip

PHOTO = ("#4fd8ff", "#ff8a5c", "#5cf2b8", "#ffa6dc", "#ffd23f", "#9fc2ff", "#f6ff7a", "#ffffff")
"""Colours of classes on photographs: light, drawn on a dark outline."""

COLOURS = len(LIGHT)

DASHES = ("", "7 3", "2 2.5", "9 3 2 3", "12 3", "5 2 1 2 1 2")
"""SVG dash patterns in pixels; the first is solid."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Matplotlib's names."""

# The same markers as SVG paths around (17, 7), for legends and table rows.
_PATHS = {
    "o": "M21 7a4 4 0 1 1-8 0a4 4 0 1 1 8 0Z",
    "s": "M13.4 3.4h7.2v7.2h-7.2Z",
    "^": "M17 2.4L21.6 11H12.4Z",
    "D": "M17 2.2L21.8 7L17 11.8L12.2 7Z",
    "v": "M17 11.6L12.4 3H21.6Z",
    "P": "M15.6 2.6h2.8v3h3v2.8h-3v3h-2.8v-3h-3v-2.8h3Z",
    "X": "M14 2.2L17 5.2L20 2.2L21.8 4L18.8 7L21.8 10L20 11.8L17 8.8L14 11.8L12.2 10L15.2 7L12.2 4Z",
}


@dataclass(frozen=True, slots=True)
class SeriesStyle:
    """How one model is drawn.

    Attributes:
        colour: index into `LIGHT` and `DARK`; the style sheet's ``--s<colour>``.
        dash: SVG dash pattern.
        shape: Matplotlib's name of the marker.
        path: the marker as an SVG path around (17, 7).
    """

    colour: int
    dash: str
    shape: str
    path: str


def series_style(number: int) -> SeriesStyle:
    """Return the style of a model by its number; the first 168 differ.

    The first eight differ by colour alone. Of the first twelve, those whose colours are similar, for people who cannot tell red from
    green, too, differ both in marker and in dash.
    """
    shape = MARKERS[number % len(MARKERS)]
    return SeriesStyle(
        number % COLOURS, DASHES[(number - number // COLOURS) % len(DASHES)], shape, _PATHS[shape]
    )
