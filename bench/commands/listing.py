"""``bench list``: what can be named on the command line."""

from __future__ import annotations

from collections.abc import Iterable

from bench.commands import options
from metrics.errors import InputError

NAME = "list"
EXAMPLES = None


def command(strict: options.Strict = False, debug: options.Debug = False) -> None:
    """Show variants, predictors trained elsewhere, data sets, measures and presets, with a line and the source of each."""
    from rich.console import Console

    from bench.data.types import DATASETS
    from bench.settings.config import presets
    from detectors.external.registry import external_model_names
    from detectors.registry import VARIANTS
    from metrics.measures import MEASURES

    console = Console()
    _table(console, "variants", ((v.name, v.summary, v.source) for v in VARIANTS.values()))
    _table(console, "trained elsewhere", map(_predictor, external_model_names()))
    _table(console, "data sets", ((d.name, d.summary, d.source) for d in DATASETS.values()))
    _table(console, "measures", ((m.name, m.summary, m.source) for m in MEASURES.values()))
    _table(console, "presets", ((name, text, "") for name, text in presets().items()))


def _predictor(name: str) -> tuple[str, str, str]:
    """A package whose predictor cannot be loaded does not keep the others from being shown."""
    from detectors.external.registry import external_model

    try:
        known = external_model(name)
    except InputError as error:
        return name, str(error).removeprefix(f"{name}: "), ""
    return name, known.summary, known.source


def _table(console: object, title: str, rows: Iterable[tuple[str, str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.commands.results_table import as_it_is

    assert isinstance(console, Console)
    table = Table(
        title=title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False
    )
    table.add_column(no_wrap=True, style="cyan")
    table.add_column()
    table.add_column(style="dim")
    for row in rows:
        table.add_row(*map(as_it_is, row))
    if table.row_count:
        console.print(table)
        console.print()
