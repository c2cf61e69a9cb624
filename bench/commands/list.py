"""``bench list``: the variants, external models, data sets, measures, protocols, presets and callbacks that can be named."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, NamedTuple

import typer

from bench.commands import options
from metrics.errors import DetbenchError, InputError
from metrics.registry import did_you_mean

NAME = "list"
EXAMPLES = """Examples:

python -m bench list

python -m bench list presets
"""


class Kind(StrEnum):
    """What can be listed."""

    variants = "variants"
    external = "external"
    datasets = "datasets"
    measures = "measures"
    protocols = "protocols"
    presets = "presets"
    callbacks = "callbacks"


TITLES = {
    Kind.variants: "variants (--variant)",
    Kind.external: "external models, trained elsewhere (--variant)",
    Kind.datasets: "data sets (--data, --format)",
    Kind.measures: "measures",
    Kind.protocols: "protocols and evaluators (bench eval, python -m metrics: --protocol)",
    Kind.presets: "presets (--preset)",
    Kind.callbacks: "callbacks (--callback)",
}


class Item(NamedTuple):
    """Something with a name.

    Attributes:
        name: as typed on the command line.
        summary: one line.
        source: paper or package; may be empty.
    """

    name: str
    summary: str
    source: str = ""


def command(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND",
            help="What to list: variants, external, datasets, measures, protocols, presets or callbacks; everything by default.",
            autocompletion=lambda incomplete: [of.value for of in Kind if of.value.startswith(incomplete)],
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """List variants, external models, data sets, measures, protocols, presets and callbacks.

    Prints one line per name; with KIND, full descriptions with their sources.
    """
    names = [of.value for of in Kind]
    if kind is not None and kind not in names:
        near = did_you_mean(kind, names) or f"; known: {', '.join(names)}"
        raise InputError(f"KIND: nothing of kind {kind!r} can be listed{near}")
    kinds = [Kind(kind)] if kind else [*Kind]
    if json:
        from bench.process.json_value import print_json

        print_json({of.value: [item._asdict() for item in items(of)] for of in kinds})
        return
    for of in kinds:
        _print(TITLES[of], list(items(of)), full=kind is not None)


def items(kind: Kind) -> Iterable[Item]:
    """Everything of a kind, by name. Neither torch nor a model is loaded."""
    if kind is Kind.variants:
        from detectors.registry import variant_summaries

        return (Item(*summary) for summary in variant_summaries())
    if kind is Kind.external:
        from detectors.external.registry import external_model_names

        return [*map(_external, external_model_names()), _FILES]
    if kind is Kind.datasets:
        from bench.data.types import DATASETS

        return (Item(of.name, of.summary, of.source) for of in DATASETS.values())
    if kind is Kind.measures:
        from metrics.measures import MEASURES

        return (Item(of.name, of.summary, of.source) for of in MEASURES.values())
    if kind is Kind.protocols:
        from metrics.protocols import PROTOCOLS

        return (Item(of.name, of.summary, of.source) for of in PROTOCOLS.values())
    if kind is Kind.callbacks:
        from bench.callbacks import CALLBACKS

        return map(_callback, CALLBACKS.names())
    from bench.settings.presets import presets

    return (Item(name, summary) for name, summary in presets().items())


_FILES = Item(
    "onnx/FILE",
    "any ONNX file: exports of this program, and of others by convention (docs/external_models.md)",
    "computed by ONNX Runtime or OpenVINO",
)


def _external(name: str) -> Item:
    """An external model; one that cannot be loaded has the reason as its summary."""
    from detectors.external.registry import external_model

    try:
        known = external_model(name)
    except InputError as error:
        return Item(name, str(error).removeprefix(f"{name}: "))
    return Item(name, known.summary, known.source)


def _callback(name: str) -> Item:
    """A callback; one that cannot be loaded has the reason as its summary."""
    from bench.callbacks import find_callbacks

    try:
        known = find_callbacks([name])[name]
    except DetbenchError as error:
        return Item(name, str(error).removeprefix(f"--callback {name}: "))
    return Item(name, (known.__doc__ or "").strip().split("\n")[0].replace("`", ""))


def _print(title: str, listed: list[Item], full: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.commands.results_table import literal_text

    if not listed:
        return
    table = Table(
        title=title, title_justify="left", title_style="bold", show_header=False, box=None, pad_edge=False
    )
    table.add_column(no_wrap=True, min_width=max(len(item.name) for item in listed), style="cyan")
    table.add_column(overflow="fold" if full else "ellipsis")
    for item in listed:
        summary = literal_text(item.summary)
        summary.no_wrap = not full  # of the text: rich cuts columns that must not wrap without an ellipsis
        table.add_row(literal_text(item.name), summary)
        if full and item.source:
            table.add_row("", literal_text(item.source), style="dim")
    console = Console()
    console.print(table)
    console.print()
