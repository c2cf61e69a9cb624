"""``bench eval``: evaluate detections of other programs, and keep them as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.commands import options
from bench.commands.command import FLAG
from metrics.command_line import PROTOCOL_NAMES

NAME = "eval"
EXAMPLES = """Examples:

python -m bench eval --truth gt.json --detections dets.json --name yolo

python -m bench eval --truth runs/ssd-mydata-0-1a2b3c4d5e/truth.parquet --detections dets.json
"""


def command(
    truth: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="Ground truth: a COCO .json, YOLO .yaml, Pascal VOC folder, export of another tool (docs/formats.md), or a run's "
            "truth.parquet.",
            show_default=False,
        ),
    ],
    detections: Annotated[
        Path,
        typer.Option(
            "--detections",
            "--found",
            metavar="PATH",
            help="Detections: COCO results as .json, a .parquet or .csv table, a folder with a text file per image or with Pascal "
            "VOC's result files (comp4_det_test_car.txt), or the output of another tool (docs/formats.md).",
            show_default=False,
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the detector in tables; by default the file's name.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Split, if the ground truth has several.", show_default=False),
    ] = None,
    class_map: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help="Map class ids of the detections to the ground truth: from-0 or from-1 (class indices), coco-91 (COCO's ids up "
            "to 90), drop (ignore unknown ids), or a .json file.",
            show_default=False,
        ),
    ] = None,
    image_ids: Annotated[
        Literal["ids", "file-names"],
        typer.Option(
            metavar="MEANING",
            help="Meaning of whole numbers in image_id of the detections: ids of the ground truth (ids), or the numbers in the "
            "names of image files (file-names).",
        ),
    ] = "ids",
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Score by the rules of a benchmark: {PROTOCOL_NAMES}. Default: COCO's, or lvis where the ground truth has "
            "neg_category_ids or not_exhaustive_category_ids.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", metavar=FLAG, help="Also run pycocotools and compare the numbers."),
    ] = False,
    out: options.Out = Path("runs"),
    no_page: options.NoPage = False,
    show_paths: options.ShowPaths = False,
    json: options.Json = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Evaluate detections of another program: COCO's twelve numbers, and a run that `compare` accepts.

    With --protocol, the numbers of the benchmark are printed and stored; the page and `compare` use COCO's rules for all runs.

    The exit code is 1 if --verify finds a difference.
    """
    from bench.commands.results_table import results_json
    from bench.process.invocation import command_arguments
    from bench.process.json_value import print_json
    from bench.process.log import collect_warnings
    from bench.runs.external_run import save_external
    from bench.runs.provenance import command_line
    from metrics.atomic_files import require_writable
    from metrics.evaluated_files import read_files, verify_files
    from metrics.evaluator import evaluate
    from metrics.formats.identity import parse_class_map
    from metrics.notes import report
    from metrics.score_ties import detection_notes

    require_writable(out, "--out", folder=True)
    rule = None if class_map is None else parse_class_map(class_map)
    with collect_warnings() as messages:
        tables = read_files(
            truth, detections, class_map=rule, image_ids=image_ids, split=split, protocol=protocol
        )
        evaluation = evaluate(tables.truth, tables.detections)
        for note in detection_notes(evaluation.matches):
            report(note)
    by_protocol = None if tables.protocol is None else tables.protocol(tables.truth, tables.detections)
    run = save_external(
        name or detections.stem,
        evaluation,
        out,
        data=_data_name(truth),
        source=detections.name,
        command=command_line(command_arguments(), show_paths),
        warnings=tuple(messages),
        show_paths=show_paths,
        by_protocol=by_protocol,
        page=not no_page,
    )
    page = None if no_page else run.path / "report.html"
    verdict = verify_files(evaluation, truth, detections, rule, image_ids) if verify else None
    if json:
        verified = None if verdict is None else verdict.agrees
        numbers = {"equal_to_pycocotools": verified, "protocols": run.result.protocols}
        print_json(results_json([run], page) | numbers)
    else:
        print(by_protocol or evaluation)
        if page is not None:
            print(f"\nreport: {page}")
        if verdict is not None:
            print(f"\n{verdict}")
    if verdict is not None and not verdict.agrees:
        raise typer.Exit(1)


def _data_name(truth: Path) -> str:
    """Name of the data set: that of the run whose truth.parquet is given, or by the path."""
    from bench.data.names import dataset_name
    from reports.records.run import RunFolder

    if truth.name == "truth.parquet" and (truth.parent / "result.json").is_file():
        return RunFolder.open(truth.parent).result.data.name
    return dataset_name(truth)
