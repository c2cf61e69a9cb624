"""``bench export``: write a finished run's detector to a file that other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options
from bench.commands.command import FLAG
from metrics.errors import InputError
from metrics.plurals import agree, plural

NAME = "export"
EXAMPLES = """Examples:

python -m bench export runs/ssd-shapes-0-1a2b3c4d5e --to onnx

python -m bench export runs/fcos-shapes-0-6f7a8b9c0d --nms --out fcos.onnx
"""

FORMATS = ("onnx",)


def command(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run that was trained here.", show_default=False)
    ],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="Format of the file: onnx.")] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to write; by default exports/RUN.onnx.", show_default=False),
    ] = None,
    nms: Annotated[
        bool,
        typer.Option(
            "--nms",
            metavar=FLAG,
            help="Put NMS into the file; otherwise it outputs all scores and boxes before NMS.",
        ),
    ] = False,
    any_size: Annotated[
        bool,
        typer.Option(
            "--any-size",
            metavar=FLAG,
            help="Accept images of any size; otherwise only of the run's image.size.",
        ),
    ] = False,
    json: options.Json = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Export a finished run's detector to an ONNX file, and check it against the network.

    The file accepts any batch size. Classes, input size, resizing, NMS settings and the run's name are stored in the file.
    `bench run --variant onnx/FILE` evaluates and `bench profile` times it.
    """
    from bench.export.onnx_run import export_run
    from bench.process.json_value import print_json
    from metrics.atomic_files import require_writable
    from reports.elements.formatting import byte_size, printable
    from reports.records.run import RunFolder

    if to not in FORMATS:
        raise InputError(f"--to: {to!r} is not a format; choose from {', '.join(FORMATS)}")
    opened = RunFolder.open(run)
    file = out or Path("exports") / f"{opened.result.name}.onnx"
    require_writable(file, "--out", folder=False)
    made = export_run(opened, file, nms=nms, any_size=any_size)
    record = made.record
    if json:
        print_json(
            {
                "file": str(made.file),
                "sha256": made.sha256,
                "bytes": made.size_bytes,
                "record": record.model_dump(mode="json"),
                "compared_images": made.images,
                "compared_noise": made.noise,
                "detections": made.comparison.detections,
                "equal_detections": made.comparison.equal,
                "score_difference": made.comparison.score_difference,
                "box_difference": made.comparison.box_difference,
            }
        )
        return
    height, width = record.size
    size = "any size" if record.any_size else f"{height}x{width}"
    print(printable(f"{file}: {record.outputs}, input {size}, {byte_size(made.size_bytes)}"))
    print(f"sha256 {made.sha256}")
    same = made.comparison
    images = (
        plural(made.images, "random image")
        if made.noise
        else plural(made.images, "image of the run", "images of the run")
    )
    print(
        f"checked on {images}: {same.equal:,} of {plural(same.detections, 'detection')} {agree(same.equal, 'equals one', 'equal those')} of the network in PyTorch, scores "
        f"within {same.score_difference:.1g}, boxes within {same.box_difference:.1g} px"
    )
    print(printable(f"evaluate it with: python -m bench run --variant onnx/{file} --data ..."))
