"""Which model is best, by how much, and how far that is to be believed: one generated sentence and the leaderboard."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from reports import shown
from reports.comparison import Comparison, mean
from reports.figures.dot_plot import dot_plot
from reports.figures.lines import Axes, lines
from reports.page import Cell, Column, Figure, Link, Row, Section, Table

COLUMNS = (
    ("ap", "AP"),
    ("ap50", "AP50"),
    ("ap75", "AP75"),
    ("ap_small", "AP S"),
    ("ap_medium", "AP M"),
    ("ap_large", "AP L"),
    ("ar_100", "AR"),
)
"""Short names and headings of the leaderboard; oLRP, of which less is better, is in the section on errors."""

NEXT_TO_NOTHING = 0.01
"""AP below which a model has not learnt to detect."""

UNTESTED = (
    "How far these numbers would move on other images was not measured here, so this page calls no difference "
    "significant: read a small one as a tie."
)


def section(comparison: Comparison) -> Section:
    """The verdict and the leaderboard."""
    values = comparison.headline("ap")
    rows = comparison.labels
    ranked = np.full((len(rows), len(rows), comparison.seeds), np.nan)
    for at, seeds in enumerate(values):
        ranked[at, at, : len(seeds)] = seeds
    figure = dot_plot(
        "ap", f"AP on the {comparison.data.split} images", _brief(comparison), rows, rows, list(ranked),
        "AP (points of 100)", said=True,
    )  # fmt: skip
    return Section(
        "verdict",
        "Verdict" if len(rows) > 1 else "Result",
        verdict(comparison),
        figures=(replace(figure, caption=comparison.dots_said), _by_iou(comparison)),
        tables=(_leaderboard(comparison),),
        warnings=_warnings(comparison),
        method=(
            "AP is COCO's: the area under the envelope of precision over recall, read at 101 recalls, mean over IoU "
            "thresholds 0.50 to 0.95 in steps of 0.05 and over the classes that have objects; at most 100 detections "
            "an image and class. AP50 and AP75 are AP at one threshold; S are objects up to 32 x 32 pixels, M up to "
            "96 x 96, L the larger ones. AR is the mean recall over the same thresholds at 100 detections. A dash is a value that is "
            "not defined, for instance because no object has that size.",
            "All numbers are measured anew from the runs' detections. Models are ordered by AP; runs that differ in "
            "nothing but their seed are one model, and its numbers are the mean over its seeds. What is compared is "
            + (
                "training recipes, as far as these seeds show them."
                if comparison.seeds > 1
                else "these checkpoints."
            ),
        ),
        links=(Link("leaderboard.csv", "one row a run"), Link("metrics.csv", "one row a value")),
    )


def _by_iou(comparison: Comparison) -> Figure:
    """AP at each IoU threshold: whether a lead comes from finding objects or from placing boxes well."""
    thresholds = np.array(comparison.scored[0][0].rule.iou_thresholds)
    curves = [[(thresholds, 100 * run.ap_by_iou) for run in runs] for runs in comparison.scored]
    loose = [float(np.mean([run.ap_by_iou[0] for run in runs])) for runs in comparison.scored]
    strict = [float(np.mean([run.ap_by_iou[-1] for run in runs])) for runs in comparison.scored]
    if math.isnan(loose[0]):
        finding = "There is no object to be found."
    elif len(loose) == 1:
        finding = f"AP falls from {shown.points(loose[0])} at IoU 0.50 to {shown.points(strict[0])} at 0.95."
    else:
        first, last = comparison.labels[int(np.argmax(loose))], comparison.labels[int(np.argmax(strict))]
        finding = (
            f"{first} is highest at IoU 0.50, where finding an object is enough ({shown.points(max(loose))}); {last} at "
            f"0.95, where its box must fit ({shown.points(max(strict))})."
        )
    return lines(
        "ap-iou", "AP at each IoU threshold", finding, comparison.labels, curves,
        Axes("IoU that a detection must reach", "AP (points of 100)"),
    )  # fmt: skip


def verdict(comparison: Comparison) -> str:
    """Who has the highest AP, the differences to the others, and what was not measured; claims no significance."""
    data, labels = comparison.data, comparison.labels
    means = [mean(seeds) for seeds in comparison.headline("ap")]
    where = f"{shown.plural(data.images, 'image')} with {shown.plural(data.objects, 'object')}"
    if math.isnan(means[0]):
        return f"AP is not defined here: the {data.split} split, {where}, has no object to be found."
    ap50 = mean(comparison.headline("ap50")[0])
    if len(labels) == 1:
        return (
            f"{labels[0]} reaches AP {shown.points(means[0])} and AP50 {shown.points(ap50)} on {where}"
            f"{_seeds(comparison)}. There is nothing on this page to compare it with, and how far the number would "
            "move on other images was not measured."
        )
    if means[0] == 0:
        return f"No model found anything: AP is 0 for all {len(labels)} on {where}."
    if means[0] < NEXT_TO_NOTHING:
        return f"{_brief(comparison)} All of them find next to nothing, so their order means nothing."
    return f"{_brief(comparison)} {_seeds_overlap(comparison)}{UNTESTED}"


def _brief(comparison: Comparison) -> str:
    """The order and the differences in one sentence."""
    labels = comparison.labels
    means = [mean(seeds) for seeds in comparison.headline("ap")]
    best = shown.points(means[0])
    if len(labels) == 1 or math.isnan(means[0]):
        return f"{labels[0]} reaches AP {best}."
    equal = [label for label, value in zip(labels, means, strict=True) if value == means[0]]
    behind = [
        f"{_lead(means[0] - value)} above {label} ({shown.points(value)})"
        for label, value in zip(labels, means, strict=True)
        if value < means[0]
    ]
    ahead = f", {shown.listed(behind, 4)}" if behind else ""
    if len(equal) > 1:
        return f"{shown.listed(equal)} share the highest AP, {best}{ahead}{_seeds(comparison)}."
    return f"{labels[0]} has the highest AP, {best}{ahead}{_seeds(comparison)}."


def _lead(difference: float) -> str:
    """Of a positive difference; never 0.0."""
    return shown.points(difference) if difference >= 0.0005 else "less than 0.1"


def _seeds(comparison: Comparison) -> str:
    counts = {len(model.runs) for model in comparison.models}
    if counts == {1}:
        return ""
    number = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return f" (means of {number} seeds)"


def _seeds_overlap(comparison: Comparison) -> str:
    """Whether the best model's seeds all lie above the next one's: plain to see, and no test."""
    first, second = comparison.headline("ap")[:2]
    if min(len(first), len(second)) < 2:
        return ""
    parted = first.min() > second.max()
    names = f"{comparison.labels[0]} and {comparison.labels[1]}"
    return f"The seeds of {names} {'do not overlap' if parted else 'overlap'}. "


def _warnings(comparison: Comparison) -> list[str]:
    said = list(comparison.notes)
    for scored in comparison.runs:
        result = scored.run.result
        wrong = [
            name
            for name, value in result.headline.items()
            if name in scored.evaluation.headline and not _same(value, scored.evaluation.headline[name])
        ]
        if wrong:
            said.append(
                f"{shown.literal(result.name)}: result.json has another {shown.listed(wrong)} than its detections "
                "give; this page shows what the detections give."
            )
    images = comparison.data.images
    if images < 50:
        said.append(f"{shown.plural(images, 'image')} cannot part models that are near each other.")
    return said


def _same(written: float | None, measured: float) -> bool:
    if written is None or math.isnan(measured):
        return written is None and math.isnan(measured)
    return abs(written - measured) < 1e-6


def _leaderboard(comparison: Comparison) -> Table:
    headline = {name: comparison.headline(name) for name, _ in COLUMNS}
    best = {
        name: max((mean(seeds) for seeds in values), default=math.nan) for name, values in headline.items()
    }
    rows = []
    for at, model in enumerate(comparison.models):
        cells = [Cell(comparison.labels[at], note=_note(comparison, at))]
        for name, _ in COLUMNS:
            seeds = headline[name][at]
            value = mean(seeds)
            spread = f"{shown.points(seeds.min())} to {shown.points(seeds.max())}" if len(seeds) > 1 else ""
            cells.append(
                Cell(
                    shown.points(value),
                    value,
                    strong=len(comparison.models) > 1 and value == best[name],
                    note=spread if name == "ap" and not math.isnan(value) else "",
                    bar=value if name == "ap" and not math.isnan(value) else None,
                )
            )
        budget = model.results[0].budget
        trained = [result.budget.train_seconds for result in model.results]
        known = [seconds for seconds in trained if seconds is not None]
        seconds = sum(known) / len(known) if known else None
        cells.append(Cell(shown.big(budget.parameters), budget.parameters))
        cells.append(Cell(shown.duration(seconds), seconds))
        rows.append(Row(tuple(cells), series=at))
    columns = (
        Column("Model"),
        *(Column(title, numeric=True) for _, title in COLUMNS),
        Column("Parameters", numeric=True),
        Column("Training", numeric=True),
    )
    spread = " The range below AP is that of the seeds." if comparison.seeds > 1 else ""
    strong = " Bold: the highest of its column, however small its lead." if len(rows) > 1 else ""
    return Table("leaderboard", f"AP and AR in points of 100.{strong}{spread}", columns, tuple(rows))


def _note(comparison: Comparison, at: int) -> str:
    model = comparison.models[at]
    seeds = shown.plural(len(model.runs), "seed") if comparison.seeds > 1 else ""
    partial = "partial" if any(result.status == "partial" for result in model.results) else ""
    return ", ".join(word for word in (seeds, partial) if word)
