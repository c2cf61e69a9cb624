"""``bench anchors``: measure how well a variant's priors fit a data set's boxes, and fit better priors."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench.commands import options
from metrics.number_text import fixed

if TYPE_CHECKING:
    from rich.table import Table

    from bench.anchors.fit import AnchorFit

NAME = "anchors"
EXAMPLES = """Examples:

python -m bench anchors --variant ssd --data my_images/

python -m bench anchors --variant retinanet --data my_images/ --set image.size=512,512 --fit rule
"""

_MAX_CLASSES = 8
_MAX_BOXES = 5


def command(
    variant: options.Variants = None,
    data: options.Data = None,
    format: options.Format = None,
    preset: options.Presets = None,
    config: options.ConfigFile = None,
    set_: options.Sets = None,
    target: Annotated[
        Literal["shapes", "rule"] | None,
        typer.Option(
            "--fit",
            "--seek",
            metavar="shapes|rule",
            help="Fit the width and height of every prior (shapes) or the settings of the variant's rule (rule); "
            "by default shapes, if the variant accepts them.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Number of search steps.")] = 1000,
    seed: options.Seed = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Parent folder of the fits.")] = Path("anchors"),
    json: options.Json = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Measure how well a variant's priors fit the boxes that the network sees, and fit better priors.

    Priors are fitted to training boxes and checked on validation boxes; no network is trained. Writes settings for
    `run --config`, a figure and tables.
    """
    from bench.anchors.files import rows, save_fit, unreached
    from bench.anchors.fit import fit_anchors
    from bench.process.json_value import print_json
    from bench.process.progress import Progress
    from bench.settings.resolution import open_run
    from metrics.atomic_files import require_writable

    require_writable(out, "--out", folder=True)
    entry = options.chosen_entry(variant, preset, config)
    sources = options.setting_sources(data, config, set_, entry.preset, format=format, seed=seed)
    dataset, settings = open_run(entry.variant, sources)
    fit = fit_anchors(settings, dataset, target, steps, Progress.auto(quiet))
    folder = save_fit(fit, dataset.name, out)
    if json:
        print_json(
            {
                "folder": folder,
                "settings": fit.settings(),
                "fit": [row.as_dict() for row in rows(fit)],
                "unreached": unreached(fit),
            }
        )
        return
    show_fit(fit)
    print(f"settings: {folder / 'priors.toml'}  (python -m bench run --config {folder / 'priors.toml'})")
    print(f"figure: {folder / 'priors.png'}, {folder / 'priors.svg'}")
    print(f"tables: {folder / 'fit.csv'}, {folder / 'unreached.csv'}")


def show_fit(fit: AnchorFit) -> None:
    """Print the fit as a table, and the training boxes that no prior reaches."""
    from rich.console import Console

    from bench.anchors.files import unreached
    from reports.elements.formatting import printable

    print(fit.summary())
    console = Console()
    for split in fit.splits:
        console.print(_table(fit, split))
    missed = [row for row in unreached(fit) if row["iou_fitted"] < fit.after["train"].threshold]
    for row in missed[:_MAX_BOXES]:
        print(
            f"  not reached: {row['split']} image {printable(row['image'])}, {printable(row['class'])}, box "
            f"{row['x']:g},{row['y']:g} {row['width']:g}x{row['height']:g}: best IoU {row['iou_current']:.2f} -> {row['iou_fitted']:.2f}"
        )
    if len(missed) > _MAX_BOXES:
        print(f"  and {len(missed) - _MAX_BOXES} more, see unreached.csv")


def _table(fit: AnchorFit, split: str) -> Table:
    """The fit to a split's boxes with the current and the new priors; only the classes of the lowest recall in training."""
    from rich.table import Table

    from bench.anchors.files import rows
    from bench.commands.results_table import literal_text

    table = Table(title=f"{split}, current -> fitted priors", title_justify="left", box=None, pad_edge=False)
    table.add_column("group", overflow="fold")
    for column in ("objects", "mean IoU", "recall"):
        table.add_column(column, justify="right", no_wrap=True)
    measured = rows(fit)
    by_group = {(row.priors, row.fit.kind, row.fit.group): row.fit for row in measured if row.split == split}
    recall = {
        row.fit.group: row.fit.recall
        for row in measured
        if row.fit.kind == "class" and row.split == "train" and row.priors == "current"
    }
    # Recall is NaN for a class without training objects; such classes are sorted last.
    classes = sorted(recall, key=lambda group: (math.isnan(recall[group]), recall[group]))[:_MAX_CLASSES]
    for kind, group in dict.fromkeys((row.fit.kind, row.fit.group) for row in measured if row.split == split):
        if kind == "class" and group not in classes:
            continue
        current, fitted = (by_group[(priors, kind, group)] for priors in ("current", "fitted"))
        table.add_row(
            literal_text(group),
            " -> ".join(dict.fromkeys(f"{row.objects:,}" for row in (current, fitted))),
            f"{fixed(current.mean_iou, 2)} -> {fixed(fitted.mean_iou, 2)}",
            f"{fixed(current.recall, 2)} -> {fixed(fitted.recall, 2)}",
        )
    return table
