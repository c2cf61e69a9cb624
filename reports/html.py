"""One self-contained page about one or more runs: no network, no code but ours, readable without it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from reports.analysis.report_data import Comparison, Images, Terms
from reports.records.atomic_files import write_whole
from reports.records.run import RunFolder
from reports.records.study import StudyFolder


def write_report(
    runs: Sequence[RunFolder],
    out: str | Path,
    images: Images | None = None,
    *,
    title: str = "",
    max_mb: float = 8.0,
    show_paths: bool = False,
    terms: Terms | None = None,
) -> Path:
    """Write the page `out`, and beside it the tables and figures that it is made of.

    Beside `out`: every table as CSV (``leaderboard.csv``, ``metrics.csv``, ``standings.csv``, ``pairwise.csv`` and more,
    each named where the page uses it) and every figure as ``figures/*.svg`` and ``*.png``. The same runs and images
    give the same bytes.

    Args:
        runs: all evaluated on the same truth; runs that differ only in their seed are one model.
        out: the page, or a folder, in which it is then called ``report.html``.
        images: where the gallery's pictures come from; without it, or where it raises, the page says so.
        title: the page's heading; made from the data set's name if empty.
        max_mb: the page stays below this many megabytes (10**6 bytes): the gallery is thinned, and says by how many.
        show_paths: show absolute paths, which may hold a user's name, in full.
        terms: on which the runs are compared: resamples, groups of images, limits.

    Returns:
        The path of the page.

    Raises:
        InputError: no run, two of the same name, or runs on different truth.
        MachineError: the files cannot be written; what stood there stands there still.
    """
    return write_comparison(Comparison.of(runs, images, show_paths, terms), out, title=title, max_mb=max_mb)


def write_comparison(
    comparison: Comparison,
    out: str | Path,
    *,
    title: str = "",
    max_mb: float = 8.0,
    studies: Sequence[StudyFolder] = (),
) -> Path:
    """Write the page about a comparison, and what lies beside it; arguments as in `write_report`.

    Args:
        comparison: the runs.
        out: the page, or its folder.
        title: the page's heading.
        max_mb: the page stays below this.
        studies: in which settings of these runs were found; they get a section.

    Raises:
        InputError: limits that cannot be held against these runs.
        MachineError: the files cannot be written; what stood there stands there still.
    """
    from reports.document import compose

    out = Path(out)
    page = out if out.suffix.lower() in (".html", ".htm") else out / "report.html"
    document = compose(comparison, title=title, max_bytes=int(max_mb * 1e6), studies=studies)
    for name, content in document.files.items():
        write_whole(page.parent / name, content)
    return write_whole(page, document.html)


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


_FOLDER = Path(__file__).parent / "templates"
