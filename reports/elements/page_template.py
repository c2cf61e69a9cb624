"""The page skeleton: templates, style sheet, script and content security policy. Pages load nothing from a network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from reports.elements.palette import DARK, DARK_PAGE, LIGHT, LIGHT_PAGE, PHOTO, series_style


def render(context: dict[str, Any]) -> str:
    """Render `templates/report.html`; `context` holds its variables except style, script and policy."""
    script = template_text("report.js").strip()
    assert "</script" not in script.lower()
    assert "<!--" not in script
    return (
        environment()
        .get_template("report.html")
        .render(
            **context,
            style=Markup(template_text("report.css").strip() + "\n" + context.get("rules", "")),
            script=Markup(script),
            policy=content_policy(script),
            version=program_version(),
        )
    )


def legend_entry(number: int, label: str) -> dict[str, Any]:
    """Return the template's variables of one model, or of what else the page distinguishes by colour and marker."""
    style = series_style(number)
    return {
        "number": number,
        "label": label,
        "colour": style.colour,
        "dash": style.dash or "none",
        "marker": style.path,
    }


def page_rules(models: int) -> str:
    """Return the CSS rules that depend on the number of models: series colours, and hiding of deselected models."""
    light, dark = _theme("light", LIGHT_PAGE, LIGHT), _theme("dark", DARK_PAGE, DARK)
    photo = "".join(f".k{at}{{--k:{colour}}}" for at, colour in enumerate(PHOTO))
    hide = "\n".join(
        f'body:has(#show-{number}:not(:checked)) [data-series="{number}"]{{display:none}}'
        for number in range(models)
    )
    return (
        f":root{{{light}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\n"
        f"@media screen{{:root[data-theme=dark]{{{dark}}}}}\n{photo}\n{hide}\n"
    )


def _theme(scheme: str, page: Mapping[str, str], series: Sequence[str]) -> str:
    named = {**page, **{f"s{at}": colour for at, colour in enumerate(series)}}
    return f"color-scheme:{scheme};" + ";".join(f"--{name}:{colour}" for name, colour in named.items())


def content_policy(script: str) -> str:
    """Return the content security policy: only embedded images, inline styles and this script are allowed."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def json_block(value: Any) -> Markup:
    """Serialise for a ``<script type="application/json">``: ``<``, ``>``, ``&`` and line separators are escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)


@cache
def environment() -> jinja2.Environment:
    """Return the Jinja environment: everything but Markup is escaped, and undefined variables are errors."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def template_text(name: str) -> str:
    """Return the text of a file in `templates`."""
    return (_FOLDER / name).read_text(encoding="utf-8")


@cache
def program_version() -> str:
    """Return the version of the installed distribution, or ``unknown`` in a checkout that is not installed."""
    try:
        return version("detbench")
    except PackageNotFoundError:
        return "unknown"


_FOLDER = Path(__file__).parents[1] / "templates"
