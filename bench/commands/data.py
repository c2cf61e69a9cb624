"""``bench data``: inspect and check a data set before training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.commands import options
from bench.commands.command import FLAG
from metrics.errors import InputError, RegressionError

if TYPE_CHECKING:
    from reports.records.data_check import DataCheck

NAME = "data"
EXAMPLES = """Examples:

python -m bench data my_images/

python -m bench data my_images/ --report my_page/

python -m bench data my_images/ --fast --json

python -m bench data my_images/ --strict --variant retinanet --set image.size=512,512

python -m bench data my_images/ --augment augmented.png --preset augment-medium --set augment.mixup=0.2

python -m bench data my_images/ --to yolo my_images_yolo/

python -m bench data my_images/ --fix my_images_fixed/
"""


def command(
    path: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            help="Data set: a folder or file in any format of `bench list datasets`, or shapes.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(metavar="OUT", help="New folder that --to and --fix write.", show_default=False),
    ] = None,
    to: Annotated[
        Literal["coco", "voc", "yolo"] | None,
        typer.Option(
            "--to",
            metavar="coco|voc|yolo",
            help="Write the data set in this format, with its images and splits, without the full check.",
            show_default=False,
        ),
    ] = None,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            metavar=FLAG,
            help="Write a copy without defects, in the same format or that of --to, and fixes.csv with every change.",
        ),
    ] = False,
    link: Annotated[
        Literal["copy", "hard"],
        typer.Option(
            metavar="copy|hard", help="How --to and --fix write unchanged images: as copies or as hard links."
        ),
    ] = "copy",
    splits: Annotated[
        Literal["kept", "made"],
        typer.Option(
            metavar="kept|made",
            help="Splits that --to and --fix write: those of the data set as they are, or those that runs use, with missing ones made.",
        ),
    ] = "kept",
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Variant whose input size, finest stride and augmentation are used; by default that of the preset, or ssd.",
            show_default=False,
        ),
    ] = None,
    preset: options.Preset = None,
    format: options.Format = None,
    config: options.ConfigFile = None,
    set_: options.Sets = None,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            metavar=FLAG,
            help="Do not decode images: their colours, truncated files and similar images are not checked.",
        ),
    ] = False,
    workers: options.Workers = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER|FILE",
            help="Write a page with plots and images with their boxes; it works offline.",
            show_default=False,
        ),
    ] = None,
    augment: Annotated[
        Path | None,
        typer.Option(
            "--augment",
            metavar="FILE",
            help="Only draw some training images as they are augmented, with their boxes, as a PNG file.",
            show_default=False,
        ),
    ] = None,
    show_paths: options.ShowPaths = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", metavar=FLAG, help="Exit with code 5 if there is an error or a warning."),
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Inspect and check a data set: splits, images, objects, boxes, duplicates and leakage.

    Prints what the data set contains and what is wrong with it, and changes nothing. With --to or --fix it writes another data set
    to OUT instead, and with --augment a picture.
    """
    from bench.commands.data_table import show_check
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.runs.detector import build_detector
    from bench.settings.presets import variants_of
    from bench.survey.data_check import check_data
    from bench.survey.opening import open_to_look
    from bench.survey.samples import choose_samples
    from bench.survey.subject import subjects_of
    from metrics.atomic_files import require_writable

    if report is not None:
        require_writable(report, "--report", folder=report.suffix.lower() not in (".html", ".htm"))
    sources = options.setting_sources(path, config, set_, preset, format=format, workers=workers)
    variant = variant or next(iter(variants_of(preset)), "ssd")
    progress = Progress.auto(quiet)
    if augment is not None:
        if out is not None or to is not None or fix or report is not None:
            raise InputError("--augment: only draws images; leave out --report, --to, --fix and OUT")
        show_augmented(variant, sources, augment, json)
        return
    if out is not None or to is not None or fix:
        from bench.commands.data_copy import copy_data

        if report is not None:
            raise InputError(
                "--report: is a page on the data as it is; leave it out here, and give it with OUT afterwards"
            )
        copy_data(variant, sources, out, to, fix, link, splits, not fast, json, progress)
        return
    opened = open_to_look(variant, sources, fast)
    settings = opened.settings
    subjects = subjects_of(opened.dataset, settings.image)
    detector: Any = build_detector(settings, len(opened.dataset.classes))
    check = check_data(
        opened.dataset,
        subjects,
        opened.reading,
        settings.image,
        settings.augment,
        sorted(detector.neck.strides),
        decode=not fast,
        workers=settings.workers,
        progress=progress,
    )
    page = None
    if report is not None:
        from reports.pages import write_data_page  # imports Matplotlib

        with progress.stage("writing the page", 1) as stage:
            samples = choose_samples(check, subjects, settings.image, settings.augment, settings.seed)
            page = write_data_page(check, samples, report, show_paths=show_paths)
            stage.advance()
    if json:
        print_json(check.model_dump(mode="json"))
    else:
        show_check(check, page)
    require_clean(check, strict)


def show_augmented(variant: str, sources: Mapping[str, Any], file: Path, json: bool) -> None:
    """Draw training images as they are augmented, and print where.

    Raises:
        InputError: the settings, the data or the file are wrong.
    """
    from bench.process.json_value import print_json
    from bench.settings.resolution import open_run
    from bench.survey.augmented_grid import EPOCHS, draw_augmented
    from metrics.atomic_files import atomic_write_by, require_writable

    require_writable(file, "--augment", folder=False)
    dataset, settings = open_run(variant, sources)
    picture = draw_augmented(dataset.splits["train"], settings.image, settings.augment, settings.seed)
    atomic_write_by(file, lambda temporary: picture.save(temporary, "PNG"))
    if json:
        print_json({"file": file, "width": picture.width, "height": picture.height})
    else:
        print(f"{file}: images without augmentation (left), and in {EPOCHS} epochs")


def require_clean(check: DataCheck, strict: bool) -> None:
    """Fail if `strict` and the check has an error or a warning.

    Raises:
        RegressionError: it has.
    """
    errors, warned = check.count("error"), check.count("warning")
    if strict and errors + warned:
        from metrics.plurals import plural

        found = f"{plural(errors, 'error')} and {plural(warned, 'warning')}"
        raise RegressionError(f"{check.name}: {found} (--strict)")
