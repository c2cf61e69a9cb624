"""``bench anchors``: how well priors fit a data set's boxes, and better priors as settings for a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.commands import options
from metrics.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from bench.anchors.fit import AnchorFit

NAME = "anchors"
EXAMPLES = """Examples:

python -m bench anchors --variant ssd --data my_images/

python -m bench anchors --variant retinanet --data my_images/ --set image.size=512,512 --seek rule
"""

_CLASSES = 8
_WIDTH = 112
_WORST = 5


def command(
    variant: options.Variants = None,
    data: options.Data = None,
    format: options.Format = None,
    preset: options.Preset = None,
    config: options.ConfigFile = None,
    set_: options.Sets = None,
    seek: Annotated[
        Literal["shapes", "rule"] | None,
        typer.Option(
            help="What is sought: a width and height for every prior, or settings of the variant's own rule; by default "
            "shapes, where it takes them.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(metavar="N", min=1, help="Changes, or settings of the rule, that are tried.")
    ] = 1000,
    seed: options.Seed = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where folders of fits are.")] = Path("anchors"),
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Measure how well a variant's priors fit the boxes that its network sees, and seek better ones.

    Priors are fitted to training boxes; what is told of validation boxes was not fitted. Nothing is trained. Leaves
    settings for `run --config`, a picture, and tables.
    """
    from bench.anchors.files import save_fit
    from bench.anchors.fit import fit_anchors
    from bench.process.progress import Progress
    from bench.runs.run import open_configured
    from bench.settings.config import resolve

    names = options.chosen_variants(variant, preset, config)
    if len(names) > 1:
        raise InputError(f"--variant: one variant at a time; got {', '.join(names)}")
    given = {"data.format": format, "seed": seed}
    sources: dict[str, Any] = {
        "data": data,
        "preset": preset,
        "file": config,
        "sets": set_ or [],
        "options": {path: value for path, value in given.items() if value is not None},
    }
    dataset = open_configured(resolve(names[0], **sources))
    settings = resolve(names[0], **sources, data_defaults=dataset.defaults)
    fit = fit_anchors(settings, dataset, seek, steps, Progress.fitting(quiet))
    folder = save_fit(fit, dataset.name, out)
    _show(fit)
    print(f"settings: {folder / 'priors.toml'}  (python -m bench run --config {folder / 'priors.toml'})")
    print(f"picture: {folder / 'priors.png'}, {folder / 'priors.svg'}")
    print(f"tables: {folder / 'fit.csv'}, {folder / 'unreached.csv'}")


def _show(fit: AnchorFit) -> None:
    from rich.console import Console

    from bench.anchors.files import unreached
    from reports.elements.formatting import printable

    print(fit.summary())
    Console(width=max(Console().width, _WIDTH)).print(_table(fit))
    missed = [row for row in unreached(fit) if row["iou_found"] < fit.after["train"].threshold]
    for row in missed[:_WORST]:
        print(
            f"  not reached: {row['split']} image {printable(row['image'])}, {printable(row['class'])}, box "
            f"{row['x']:g},{row['y']:g} {row['width']:g}x{row['height']:g}: best IoU {row['iou_now']:.2f} -> {row['iou_found']:.2f}"
        )
    if len(missed) > _WORST:
        print(f"  and {len(missed) - _WORST} more, in unreached.csv")


def _table(fit: AnchorFit) -> Table:
    from rich.table import Table

    from bench.anchors.files import rows
    from bench.commands.results_table import as_it_is

    table = Table(box=None, pad_edge=False, title_justify="left")
    table.add_column("now -> found")
    for split in fit.splits:
        for column in (f"{split} objects", "mean IoU", "recall"):
            table.add_column(column, justify="right", no_wrap=True)
    told = {(row["split"], row["priors"], row["group"]): row for row in rows(fit)}
    groups = dict.fromkeys(group for _, _, group in told)
    classes = [group for group in groups if group.startswith("class ")]
    recall = {group: told[("train", "now", group)]["recall"] for group in classes}
    # A class without training objects has none, which is not the lowest.
    worst = sorted(classes, key=lambda group: (math.isnan(recall[group]), recall[group]))[:_CLASSES]
    for group in groups:
        if group in classes and group not in worst:
            continue
        cells: list[str | Text] = [as_it_is(group)]
        for split in fit.splits:
            now, found = (told.get((split, priors, group)) for priors in ("now", "found"))
            if now is None or found is None:
                cells += ["", "", ""]
                continue
            counts = dict.fromkeys(f"{row['objects']:,}" for row in (now, found))
            cells.append(" -> ".join(counts))
            cells += [f"{_said(now[name])} -> {_said(found[name])}" for name in ("mean_iou", "recall")]
        table.add_row(*cells)
    return table


def _said(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
