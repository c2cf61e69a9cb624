"""``bench reevaluate``: evaluate finished runs again, with other prediction settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options
from bench.commands.command import FLAG

NAME = "reevaluate"
EXAMPLES = """Examples:

python -m bench reevaluate runs/dual-shapes-0-1a2b3c4d5e --set inference=one_to_many nms.method=hard

python -m bench reevaluate runs/ssd-shapes-0-1a2b3c4d5e --set evaluate.flip=true
"""


def command(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            help="Run folders, or folders of run folders, of variants that were trained here.",
            show_default=False,
        ),
    ],
    set_: options.Sets = None,
    device: options.Device = None,
    out: options.Out = Path("runs"),
    fresh: Annotated[
        bool, typer.Option("--fresh", metavar=FLAG, help="Repeat evaluations that are finished.")
    ] = False,
    no_page: options.NoPage = False,
    show_paths: options.ShowPaths = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Evaluate finished runs again with their weights and other prediction settings, without training.

    Each becomes a run of its own, with the seed and the training time of the original, for use with `compare` and `profile`.
    Prediction settings are nms.*, candidates.*, evaluate.* and those of a variant that do not affect training.
    """
    from bench.commands.results_table import results_json, show_results
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.comparison import compare_runs, comparison_folder, open_runs
    from bench.runs.context import RunContext
    from bench.runs.reevaluation import prediction_settings
    from bench.runs.run import run
    from metrics.atomic_files import require_writable

    require_writable(out, "--out", folder=True)
    if device is not None:
        options.checked_device(device)
    progress = Progress.auto(quiet)
    context = RunContext.of_command(progress, fresh, show_paths, not no_page)
    sources = options.setting_sources(None, None, set_, device=device)
    trained = [each for of_path in open_runs(runs, progress) for each in of_path]
    settings = [prediction_settings(each, sources["sets"], sources["options"]) for each in trained]
    again = [
        run(config, out, dataset, context, each)
        for each, (dataset, config) in zip(trained, settings, strict=True)
    ]
    shown = [*trained, *again]
    if len({each.result.data.fingerprint for each in shown}) > 1:  # another split
        shown = again
    page: Path | None = None
    if len(shown) == 1 and not no_page:
        page = shown[0].path / "report.html"
    elif not no_page:
        dataset, config = settings[0]
        split = dataset.splits[config.evaluate.split]
        page, _ = compare_runs(shown, comparison_folder(shown, out), None, split, progress, show_paths)
    if json:
        print_json(results_json(shown, page))
    else:
        show_results(shown, page)
