"""Options that several commands share, with one help text each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from bench.commands.command import FLAG, SEVERAL
from metrics.errors import InputError


def _variant_names(incomplete: str) -> list[str]:
    from detectors.external.registry import external_model_names
    from detectors.registry import VARIANTS

    return [name for name in [*VARIANTS.names(), *external_model_names()] if name.startswith(incomplete)]


def _preset_names(incomplete: str) -> list[str]:
    from bench.settings.presets import presets

    return [name for name in presets() if name.startswith(incomplete)]


def _callback_names(incomplete: str) -> list[str]:
    from bench.callbacks import CALLBACKS

    return [name for name in CALLBACKS.names() if name.startswith(incomplete)]


Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        metavar=f"NAME{SEVERAL}",
        help="Detectors to use; see `bench list`. Not needed if a preset or file names one.",
        autocompletion=_variant_names,
        show_default=False,
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar=f"NAME|PATH{SEVERAL}",
        help="Data set: shapes (synthetic, the default), or a folder or file in COCO, VOC, YOLO or another format; a+b joins "
        "two into one data set, as does a TOML file that lists parts.",
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Format of the data set; detected by default.", show_default=False),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Bundled settings (see `bench list presets`); most name their variant.",
        autocompletion=_preset_names,
        show_default=False,
    ),
]
Presets = Annotated[
    list[str] | None,
    typer.Option(
        "--preset",
        metavar=f"NAME{SEVERAL}",
        help="Bundled settings (see `bench list presets`); most name their variant.",
        autocompletion=_preset_names,
        show_default=False,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file of settings.", show_default=False),
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar=f"NAME=VALUE{SEVERAL}",
        help="Settings by dotted name: nms.iou=0.5, or ssd.nms.iou=0.5 for ssd only.",
        show_default=False,
    ),
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Random seed.", show_default=False)]
Epochs = Annotated[
    int | None, typer.Option(metavar="N", help="Passes over the training images.", show_default=False)
]
BudgetOption = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="UNIT=N",
        help="End each training when this budget is spent, not after a number of epochs: minutes=10, images=20000 or flops=2e15.",
        show_default=False,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="cpu, cuda, cuda:1 or mps; an accelerator by default, if there is one.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None, typer.Option(metavar="N", help="Processes that load images.", show_default=False)
]
Out = Annotated[Path, typer.Option(metavar="FOLDER", help="Parent folder of the run folders.")]
Json = Annotated[
    bool, typer.Option("--json", metavar=FLAG, help="Print the result as one JSON object on standard output.")
]
Quiet = Annotated[bool, typer.Option("--quiet", metavar=FLAG, help="Hide progress.")]
Strict = Annotated[bool, typer.Option("--strict", metavar=FLAG, help="Treat warnings as errors.")]
Debug = Annotated[bool, typer.Option("--debug", metavar=FLAG, help="Print the traceback of an error.")]
ShowPaths = Annotated[
    bool,
    typer.Option(
        "--show-paths", metavar=FLAG, help="Keep absolute paths in results; they may contain your user name."
    ),
]

NoPage = Annotated[
    bool,
    typer.Option(
        "--no-page",
        metavar=FLAG,
        help="Do not write report.html, which takes some seconds; the same command without this option writes it later.",
    ),
]

Callbacks = Annotated[
    list[str] | None,
    typer.Option(
        "--callback",
        metavar=f"NAME{SEVERAL}",
        help="Callbacks that follow the progress: tensorboard, or those of other packages; see `bench list callbacks`.",
        autocompletion=_callback_names,
        show_default=False,
    ),
]


def setting_sources(
    data: str | Sequence[str] | None,
    file: Path | None,
    sets: Sequence[str] | None,
    preset: str | None = None,
    budget: str | None = None,
    **options: str | float | None,
) -> dict[str, Any]:
    """Sources of settings for `bench.settings.resolution`, from the options of a command.

    Args:
        data: of ``--data``.
        file: of ``--config``.
        sets: of ``--set``.
        preset: of a command with one entry.
        budget: of ``--budget``.
        options: options that are settings, by name in `_SETTING_OF`; None where not given.

    Raises:
        InputError: several data sets, or the budget is none.
    """
    if isinstance(data, str):
        data = [data]
    if data is not None and len(data) > 1:
        from bench.settings.sources import several_data_sets

        raise InputError(several_data_sets("--data", data))
    given: dict[str, Any] = {_SETTING_OF[name]: value for name, value in options.items() if value is not None}
    if budget is not None:
        from bench.settings.budget import parse_budget

        given["train.budget"] = parse_budget(budget)
    return {
        "data": data[0] if data else None,
        "preset": preset,
        "file": file,
        "sets": list(sets or ()),
        "options": given,
    }


_SETTING_OF = {
    "format": "data.format",
    "seed": "seed",
    "epochs": "train.epochs",
    "device": "device",
    "workers": "workers",
}
"""Dotted path of each option that is a setting."""


def checked_device(name: str | None) -> str:
    """The name of ``--device``, of a command without settings; ``auto`` where it is not given.

    Raises:
        InputError: there are no such devices.
    """
    from bench.settings.device_name import check_device_name

    try:
        return check_device_name("auto" if name is None else name)
    except ValueError as error:
        raise InputError(f"--device: {error}") from None


class Entry(NamedTuple):
    """A model to run: a variant or external model, and the preset that it takes its settings from."""

    variant: str
    preset: str | None = None


def chosen_entries(
    variants: Sequence[str] | None, presets: Sequence[str] | None, file: Path | None
) -> list[Entry]:
    """Entries that ``--variant``, ``--preset`` and ``--config`` name, without duplicates.

    A preset goes with its own variant, or with every variant if it names none; two presets of one variant are two
    entries. Names of variants may also be separated by commas.

    Raises:
        InputError: no variant is named, or a preset is unknown.
    """
    from bench.settings.presets import variants_of

    owners = {preset: variants_of(preset) for preset in presets or ()}
    if any(not name.strip() for word in variants or () for name in word.split(",")):
        raise InputError("--variant: an empty name; `python -m bench list` shows all variants")
    names = dict.fromkeys(name.strip() for word in variants or () for name in word.split(",") if name.strip())
    if not names:
        names = dict.fromkeys(
            variants_of(None, file) or [name for owner in owners.values() for name in owner]
        )
    if not names:
        raise InputError("no variant: name one with --variant ssd; `python -m bench list` shows all variants")
    entries = []
    for name in names:
        own = [preset for preset, owner in owners.items() if owner in ([], [name])]
        entries += [Entry(name, preset) for preset in own] or [Entry(name)]
    unused = set(owners) - {entry.preset for entry in entries}
    if unused:
        preset = sorted(unused)[0]
        raise InputError(
            f"preset {preset}: made for variant {owners[preset][0]!r}, not for {', '.join(names)}; "
            f"add --variant {owners[preset][0]}, or leave the preset out"
        )
    return entries


def chosen_entry(variants: Sequence[str] | None, presets: Sequence[str] | None, file: Path | None) -> Entry:
    """The single entry of a command that takes one variant; see `chosen_entries`.

    Raises:
        InputError: no variant is named, or several entries.
    """
    entry, *others = chosen_entries(variants, presets, file)
    if others:
        names = ", ".join(preset or name for name, preset in [entry, *others])
        raise InputError(f"--variant, --preset: expected one variant, got {names}")
    return entry
