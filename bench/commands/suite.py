"""``bench suite``: run models on several data sets that a file lists, and compare them over all of these."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options
from bench.commands.command import FLAG
from metrics.plurals import plural

NAME = "suite"
EXAMPLES = """Examples:

python -m bench suite suite.toml

python -m bench suite suite.toml --out /shared/runs
"""


def command(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="TOML file with variants or presets, data, seeds and settings.",
            show_default=False,
        ),
    ],
    device: options.Device = None,
    workers: options.Workers = None,
    out: options.Out = Path("runs"),
    fresh: Annotated[
        bool, typer.Option("--fresh", metavar=FLAG, help="Repeat runs that are finished or interrupted.")
    ] = False,
    callback: options.Callbacks = None,
    show_paths: options.ShowPaths = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Run all models of a suite on all of its data sets, and write a page for each data set and one over all of them.

    Every run is done once, by whichever process comes first: start the same command on several machines that share the
    output folder. The page over all data sets has ranks with a critical difference diagram, and mean differences.
    """
    from bench.callbacks import find_callbacks
    from bench.commands.results_table import show_data_sets
    from bench.designs.levels import run_levels
    from bench.designs.suite import read_suite
    from bench.process import distributed
    from bench.process.progress import Progress
    from bench.runs.comparison import compare_data_sets, comparison_folder
    from bench.runs.context import RunContext
    from metrics.atomic_files import require_writable
    from metrics.errors import InputError

    require_writable(out, "--out", folder=True)
    suite = read_suite(file)
    given = options.setting_sources(None, None, None, device=device, workers=workers)["options"]
    progress = Progress.auto(quiet or not distributed.is_main_process())
    context = RunContext.of_command(progress, fresh, show_paths, callbacks=find_callbacks(callback or ()))
    sources = {**suite.sources, "options": given}
    done = run_levels(suite.levels, suite.entries, sources, suite.seeds, out, context)
    if not distributed.is_main_process():
        return
    kept = [level for level in done if level.runs]
    if len(kept) < 2:
        raise InputError(
            f"{file}: the runs are finished on {len(kept)} of {plural(len(done), 'data set')}; other processes are working on the others, so "
            "repeat the command when they are finished"
        )
    groups = [[level.runs[cell] for cell in sorted(level.runs)] for level in kept]
    splits = [
        level.dataset.splits[runs[0].result.data.split] for level, runs in zip(kept, groups, strict=True)
    ]
    folder = comparison_folder([run for runs in groups for run in runs], out)
    page, reports = compare_data_sets(groups, folder, None, splits, progress, show_paths, suite.title)
    show_data_sets(reports, page, json)
