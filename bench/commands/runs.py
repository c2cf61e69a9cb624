"""``bench runs``: what a folder of results contains, and removal of what is not needed any more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands import options
from bench.commands.command import FLAG
from metrics.errors import InputError
from metrics.plurals import plural

if TYPE_CHECKING:
    from rich.console import Console

    from bench.runs.inventory import ResultFolder

NAME = "runs"
EXAMPLES = """Examples:

python -m bench runs

python -m bench runs studies/

python -m bench runs runs/ --clean
"""


def command(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder that `bench run --out` wrote to.")
    ] = Path("runs"),
    clean: Annotated[
        bool,
        typer.Option(
            "--clean", metavar=FLAG, help="Remove partial and superseded runs, after asking for each kind."
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", metavar=FLAG, help="With --clean: do not ask; required with --json.")
    ] = False,
    json: options.Json = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """List the runs, studies and comparisons in a folder: state, AP, size and age.

    A partial run was interrupted: the command that made it continues it. A superseded run has a newer one with the same
    settings and seed, made by another version of the program or after the data changed. Runs that a process is
    working on are never removed.
    """
    from bench.process.json_value import print_json
    from bench.runs.inventory import find_results, remove

    if yes and not clean:
        raise InputError("--yes: answers what --clean asks; add --clean, or leave --yes out")
    if json and clean and not yes:
        raise InputError(
            "--clean: cannot ask with --json; add --yes to remove without asking, or leave --json out"
        )
    found = find_results(folder)
    if json:
        removed = remove(each for each in found if each.removable) if clean else []
        print_json({"folders": [_fields(each) for each in found], "removed": removed})
        return
    show_results_of(folder, found)
    if clean:
        for state in ("partial", "superseded"):
            of_state = [each for each in found if each.state == state]
            if of_state and (yes or _confirmed(state, of_state)):
                for path in remove(of_state):
                    print(f"removed {path}")


def show_results_of(folder: Path, found: Sequence[ResultFolder], console: Console | None = None) -> None:
    """Print a row per folder, and how much space can be freed."""
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.table import Table

    from bench.commands.results_table import literal_text
    from bench.runs.inventory import total_size
    from reports.elements import formatting

    console = console or Console()
    if not found:
        console.print(f"{folder}: no runs, studies or comparisons", markup=False, highlight=False)
        return
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("folder", overflow="fold", min_width=9)
    table.add_column("state")
    for title in ("AP", "size", "age"):
        table.add_column(title, justify="right", no_wrap=True)
    now = datetime.now(UTC)
    for each in found:
        table.add_row(
            literal_text(each.path.name),
            literal_text(_described(each)),
            formatting.MISSING if each.ap is None else f"{each.ap:.3f}",
            formatting.byte_size(each.size),
            formatting.duration(max((now - each.modified).total_seconds(), 0.0)),
        )
    console.print(table)
    removable = [each for each in found if each.removable]
    total = f"{formatting.byte_size(total_size(found))} in {plural(len(found), 'folder')}"
    if removable:
        total += f"; --clean frees {formatting.byte_size(total_size(removable))}"
    console.print(total, markup=False, highlight=False, soft_wrap=True)


def _described(each: ResultFolder) -> str:
    if each.state == "running":
        return f"in progress: {each.owner}"
    if each.state == "superseded":
        return f"superseded by {each.superseded_by}"
    return f"unreadable: {each.reason}" if each.reason else each.state


def _confirmed(state: str, folders: Sequence[ResultFolder]) -> bool:
    from bench.runs.inventory import total_size
    from reports.elements import formatting

    count = plural(len(folders), f"{state} run")
    try:
        return typer.confirm(f"remove {count} ({formatting.byte_size(total_size(folders))})?")
    except typer.Abort as abort:
        if isinstance(abort.__context__, EOFError):
            raise InputError(
                "--clean: standard input gives no answer; add --yes to remove without asking"
            ) from None
        raise


def _fields(each: ResultFolder) -> dict[str, object]:
    return {
        "path": each.path,
        "state": each.state,
        "size": each.size,
        "modified": each.modified.isoformat(),
        "ap": each.ap,
        "process": None if each.owner is None else each.owner._asdict(),
        "superseded_by": each.superseded_by or None,
        "reason": each.reason or None,
    }
