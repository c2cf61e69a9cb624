"""``bench eval``: score detections that were made elsewhere, and keep them as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options

NAME = "eval"
EXAMPLES = """Examples:

python -m bench eval --truth gt.json --found dets.json --name yolo

python -m bench eval --truth runs/ssd-mydata-0-1a2b3c4d5e/truth.parquet --found dets.json
"""


def command(
    truth: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="What is there: COCO's json, YOLO's yaml, a VOC folder, or a run's truth.parquet.",
            show_default=False,
        ),
    ],
    found: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="What was found: COCO's results, or .parquet or .csv.", show_default=False
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="What tables call the detector; by default the file's.", show_default=False
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a truth that has splits.", show_default=False)
    ] = None,
    class_map: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="How class ids of the results become the truth's: from-0, from-1, drop, or a json file.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Run pycocotools too, and compare.")] = False,
    out: options.Out = Path("runs"),
    show_paths: options.ShowPaths = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Score somebody else's detections: COCO's twelve numbers, and a run that `compare` takes.

    Exit code 1 says that --verify found a difference.
    """
    from bench.process.invocation import command_arguments
    from bench.process.log import collect_warnings
    from bench.runs.external_run import save_external
    from bench.runs.provenance import command_line
    from metrics.command_line import score_files
    from metrics.formats.identity import parse_class_map

    rule = None if class_map is None else parse_class_map(class_map)
    with collect_warnings() as messages:
        evaluation = score_files(truth, found, class_map=rule, split=split)
    print(evaluation)
    run = save_external(
        name or found.stem,
        evaluation.matches.truth,
        evaluation.matches.detections,
        evaluation,
        out,
        data=truth.stem,
        source=found.name,
        command=command_line(command_arguments(), show_paths),
        warnings=tuple(messages),
        show_paths=show_paths,
    )
    print(f"\nreport: {run.path / 'report.html'}")
    if verify:
        from metrics.verify import verify as compare_with_reference

        plain = truth.suffix == found.suffix == ".json" and rule is None
        verdict = compare_with_reference(evaluation, (truth, found) if plain else None)
        print(f"\n{verdict}")
        if not verdict.agrees:
            raise typer.Exit(1)
