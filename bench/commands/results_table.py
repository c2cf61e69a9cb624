"""Results on the terminal: one row a run, and where the page is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.elements import formatting
from reports.records.run import RunFolder

_COLUMNS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "small",
    "ap_medium": "medium",
    "ap_large": "large",
    "ar_100": "AR100",
}


def show_results(runs: Sequence[RunFolder], page: Path | None = None, console: Console | None = None) -> None:
    """Print the runs, best AP first, and the path of the page; numbers are fractions, – is "not defined"."""
    console = console or Console()
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold", min_width=9)
    table.add_column("seed", justify="right")
    for title in _COLUMNS.values():
        table.add_column(title, justify="right")
    table.add_column("trained", justify="right")
    table.add_column("weights", justify="right")
    for run in sorted(runs, key=lambda run: -(run.result.headline.get("ap") or 0.0)):
        result = run.result
        seconds, parameters = result.budget.train_seconds, result.budget.parameters
        table.add_row(
            as_it_is(result.variant),
            "–" if result.seed is None else str(result.seed),
            *(_number(result.headline.get(name)) for name in _COLUMNS),
            "–" if seconds is None else f"{seconds:.0f} s",
            "–" if parameters is None else f"{parameters / 1e6:.2f} M",
        )
    console.print(table)
    if page is not None:
        console.print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)


def as_it_is(name: str) -> Text:
    """A name that somebody chose, shown literally: ``[/b]`` is no markup, and a line break upsets no table."""
    return Text(formatting.printable(name))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
