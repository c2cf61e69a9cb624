"""Options that several commands share, with one help text each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metrics.errors import InputError

Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        metavar="NAME ...",
        help="Detectors, by the names that `list` shows; several after one option, or with commas. "
        "A preset or file that is made for one says it, too.",
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="A data set: shapes (drawn, the default), or a folder or file in COCO, VOC or YOLO format.",
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The data set's format, if it is not to be guessed.", show_default=False
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Settings that come with the program; see `list`.", show_default=False),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="A TOML file of settings.", show_default=False),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE ...",
        help="Settings by dotted name, as in nms.iou=0.5; ssd.nms.iou=0.5 is for ssd alone.",
        show_default=False,
    ),
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed of the run.", show_default=False)]
Epochs = Annotated[
    int | None, typer.Option(metavar="N", help="Passes over the training images.", show_default=False)
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="cpu, cuda, cuda:1, mps; by default an accelerator if any.", show_default=False
    ),
]
Workers = Annotated[
    int | None, typer.Option(metavar="N", help="Processes that read images.", show_default=False)
]
Out = Annotated[Path, typer.Option(metavar="FOLDER", help="Where folders of runs are.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Strict = Annotated[bool, typer.Option("--strict", help="Take warnings for errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where in the program an error arose.")]
ShowPaths = Annotated[
    bool, typer.Option("--show-paths", help="Leave absolute paths in results; they may hold your name.")
]


def chosen_variants(words: list[str] | None, preset: str | None, file: Path | None) -> list[str]:
    """The variants that ``["ssd", "fcos,retinanet"]`` names, each once; else that of the file or the preset.

    Raises:
        InputError: nothing says which.
    """
    names = dict.fromkeys(name.strip() for word in words or [] for name in word.split(",") if name.strip())
    if not names:
        from bench.settings.config import variants_of

        names = dict.fromkeys(variants_of(preset, file))
    if not names:
        raise InputError(
            "no variant is named; say which, as in --variant ssd (`python -m bench list` shows all)"
        )
    return list(names)
