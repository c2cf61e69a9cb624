"""A data check on the terminal: splits, classes, boxes, and findings with what helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.commands.results_table import literal_text
from metrics.plurals import plural
from reports.analysis.data_findings import example_text, finding_text
from reports.elements import formatting
from reports.elements.formatting import count, three_digits
from reports.records.data_check import DataCheck, Severity, SplitFacts

_MAX_CLASSES = 20
_MAX_EXAMPLES = 3
_STYLES: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "information": "cyan"}


def show_check(check: DataCheck, page: Path | None = None, console: Console | None = None) -> None:
    """Print a data check, and the path of its page."""
    console = console or Console()
    for note in check.notes:
        word = "warning" if note.warning else "note"
        console.print(Text(f"{word}: {formatting.printable(note.text)}"), soft_wrap=True)
    console.print(_splits(check))
    console.print()
    console.print(_classes(check))
    console.print()
    _show_findings(check, console)
    if page is not None:
        console.print(f"page: {page}", markup=False, highlight=False, soft_wrap=True)


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False,
        padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column(first, overflow="fold", min_width=7)
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _splits(check: DataCheck) -> Table:
    """One row per fact, one column per split: it fits on a narrow terminal."""
    table = _table(
        f"{formatting.printable(check.name)} ({check.format})", "", [split.name for split in check.splits]
    )
    for title, value in _SPLIT_ROWS.items():
        table.add_row(title, *(value(split) for split in check.splits))
    if any(split.masked_images for split in check.splits):
        table.add_row("images with a mask", *(count(split.masked_images) for split in check.splits))
    return table


def _classes(check: DataCheck) -> Table:
    table = _table("objects", "class", [split.name for split in check.splits])
    totals = [
        sum(split.objects_by_class[label] for split in check.splits) for label in range(len(check.classes))
    ]
    order = sorted(range(len(totals)), key=lambda label: (-totals[label], label))
    for label in order[:_MAX_CLASSES]:
        table.add_row(
            literal_text(check.classes[label].name),
            *(count(split.objects_by_class[label]) for split in check.splits),
        )
    if len(order) > _MAX_CLASSES:
        rest = order[_MAX_CLASSES:]
        table.add_row(
            f"{len(rest)} more",
            *(count(sum(split.objects_by_class[label] for label in rest)) for split in check.splits),
        )
    return table


def _show_findings(check: DataCheck, console: Console) -> None:
    for finding in check.findings:
        words = finding_text(finding)
        line = Text(f"{finding.severity}: ", style=_STYLES[finding.severity])
        line.append(words.sentence(finding), style="default")
        console.print(line, soft_wrap=True)
        if finding.severity == "information":
            continue
        for example in finding.examples[:_MAX_EXAMPLES]:
            console.print(Text(f"  {example_text(example)}", style="dim"), soft_wrap=True)
        if words.fix:
            console.print(Text(f"  what to do: {words.fix}"), soft_wrap=True)
    errors, warnings = check.count("error"), check.count("warning")
    if not errors and not warnings:
        console.print("no errors and no warnings")
    else:
        console.print(f"{plural(errors, 'error')}, {plural(warnings, 'warning')}", highlight=False)


def _image_size(split: SplitFacts) -> str:
    known = split.images - split.unknown_sizes
    if not known:
        return "not known"
    first = split.sizes[0]
    text = f"{first.width}x{first.height}"
    return text if first.images == known else f"{text} ({first.images / known:.0%})"


_SPLIT_ROWS: dict[str, Callable[[SplitFacts], str]] = {
    "origin": lambda split: split.origin,
    "images": lambda split: count(split.images),
    "without objects": lambda split: count(split.empty_images),
    "most frequent size": _image_size,
    "objects": lambda split: count(split.objects),
    "crowd": lambda split: count(split.crowd),
    "ignored": lambda split: count(split.ignored),
    "median box (px)": lambda split: three_digits(split.box_size.quantiles[3]),
    "in the network's input": lambda split: three_digits(split.box_input_size.quantiles[3]),
}
