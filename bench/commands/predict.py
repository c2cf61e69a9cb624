"""``bench predict``: detect objects in images with a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands import options
from bench.commands.command import SEVERAL
from metrics.errors import InputError, PartialError
from metrics.plurals import plural

NAME = "predict"
EXAMPLES = """Examples:

python -m bench predict runs/ssd-shapes-0-1a2b3c4d5e photos/

python -m bench predict runs/fcos-parts-0-6f7a8b9c0d "inbox/*.jpg" --score 0.4 --write csv crops
"""

_MOST_SHOWN = 5


def command(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run that was trained here.", show_default=False)
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES",
            help='Image files, folders with their subfolders, or patterns in quotes: "photos/*.jpg".',
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where to write; by default predictions/RUN.", show_default=False
        ),
    ] = None,
    score: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE",
            min=0,
            max=1,
            help="Score threshold; by default the one with the best F1 on the run's validation images.",
            show_default=False,
        ),
    ] = None,
    write: Annotated[
        list[str] | None,
        typer.Option(
            metavar=f"KIND{SEVERAL}",
            help="What to write: json (COCO results), csv, yolo (a text file per image), drawn (images with boxes), crops "
            "(each detection as an image, in a folder per class). By default: json csv drawn.",
            show_default=False,
        ),
    ] = None,
    device: options.Device = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Detect objects in images with a finished run, with the same input size, tiles and NMS as in its evaluation.

    An interrupted prediction continues with the same command: images that have not changed are not predicted again.
    Exit code 4 if an image cannot be read.
    """
    from bench.prediction.image_files import find_images
    from bench.prediction.job import OUTPUTS, Output, predict_files
    from bench.prediction.trained_detector import TrainedDetector
    from bench.process.interrupts import stop_request
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from metrics.atomic_files import require_writable
    from reports.elements.formatting import printable

    outputs: list[Output] = []
    for kind in write or ["json", "csv", "drawn"]:
        known = next((each for each in OUTPUTS if each == kind), None)
        if known is None:
            raise InputError(f"--write: {kind!r} is not a kind of output; choose from {', '.join(OUTPUTS)}")
        outputs.append(known)
    chosen_device = options.checked_device(device)
    if out is not None:
        require_writable(out, "--out", folder=True)
    files = find_images(images)
    detector = TrainedDetector(run, score, chosen_device)
    if out is None:
        out = Path("predictions") / detector.run.result.name
        require_writable(out, "--out", folder=True)
    progress = Progress.auto(quiet)
    predicted = predict_files(detector, files, out, outputs, progress=progress, stop=stop_request())
    counts = dict.fromkeys(detector.classes, 0)
    for _, detections in predicted.found:
        for name in detections.names:
            counts[name] += 1
    if json:
        print_json(
            {
                "run": detector.run.result.name,
                "score": detector.score,
                "score_source": detector.score_source,
                "images": len(predicted.found),
                "reused": predicted.reused,
                "unreadable": predicted.unreadable,
                "detections": counts,
                "out": str(out),
            }
        )
    else:
        source = {
            "given": "as given",
            "validation": "best F1 on the validation images",
            "evaluated": "best F1 on the images of the run's evaluation; give --score to choose another",
        }[detector.score_source]
        print(f"score threshold {detector.score:.3g} ({source})")
        if predicted.reused:
            print(
                f"{plural(predicted.reused, 'image is unchanged and was', 'images are unchanged and were')} not predicted again"
            )
        found = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        total = sum(counts.values())
        print(
            printable(
                f"{plural(total, 'detection')} in {plural(len(predicted.found), 'image')}"
                + (f": {found}" if found else "")
            )
        )
        print(f"written: {out}")
    if predicted.unreadable:
        reasons = [*predicted.unreadable.values()]
        more = f"; and {len(reasons) - _MOST_SHOWN} more" if len(reasons) > _MOST_SHOWN else ""
        raise PartialError(
            f"{len(reasons)} of {plural(len(files), 'image')} cannot be read: {'; '.join(reasons[:_MOST_SHOWN])}{more}"
        )
