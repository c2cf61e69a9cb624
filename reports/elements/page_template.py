"""The page skeleton: templates, style sheet, script and content policy; no network, readable without scripts."""

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

from reports.elements.palette import DARK, DARK_PAGE, LIGHT, LIGHT_PAGE, PHOTO


def render(context: dict[str, Any]) -> str:
    """The page as text; `context` is what `templates/report.html` asks for, less style, script and policy."""
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


def page_rules(models: int) -> str:
    """The part of the style sheet that depends on the models: their colours, and what hides each."""
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
    """What a browser may load and run for the page: pictures within it, its styles, and this very script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def json_block(value: Any) -> Markup:
    """JSON that can stand in a ``<script type="application/json">``: no ``<``, ``>``, ``&`` or line separators."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)


@cache
def environment() -> jinja2.Environment:
    """Where templates are found and how: all is escaped that is not marked as markup, nothing may be undefined."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def template_text(name: str) -> str:
    """A file of `templates` as it stands."""
    return (_FOLDER / name).read_text(encoding="utf-8")


@cache
def program_version() -> str:
    """Of the installed distribution, or ``unknown`` in a checkout that is not installed."""
    try:
        return version("detbench")
    except PackageNotFoundError:
        return "unknown"


_FOLDER = Path(__file__).parents[1] / "templates"
