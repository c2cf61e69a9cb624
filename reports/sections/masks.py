"""Masks: which model has the better label maps, overall and by class, and images of them side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from metrics.compare import Comparison, PairDifference, verdict_text
from reports.analysis import mask_gallery
from reports.analysis.extremes import Extreme, highest, lowest
from reports.analysis.gallery_images import UnreadableImage
from reports.analysis.mask_gallery import GROUPS, MaskImage
from reports.analysis.mask_results import FEW_IMAGES, MEASURES, MaskResults, image_mean_iou
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.elements.palette import PHOTO
from reports.figures.dot_plot import dot_plot
from reports.figures.forest import forest
from reports.records.csv import to_csv

MAX_ROWS = 24
"""Number of classes in the figure; the table has all."""

MAX_PAIRS = 15
"""Number of pairs in the figure; the table has all."""

DECIDED = ("miou", "mdice", "pixel_accuracy")
"""Measures whose differences are in the table of pairs."""


def section(report: ReportData, results: MaskResults, max_bytes: int) -> Section:
    """Values and differences of the models that have label maps; images of at most `max_bytes`."""
    several, statistics = len(results.numbers) > 1, results.statistics
    finding = " ".join(filter(None, (_leader_text(report, results), class_text(mask_facts(report, results)))))
    figures = []
    if not results.problem and results.images:
        figures = list(filter(None, (_pairs_figure(report, results), _class_figure(report, results))))
    tables = [_models_table(report, results)]
    if several and statistics is not None:
        tables.append(_pairs_table(report, results, statistics))
    if not results.problem:
        tables.append(_classes_table(report, results))
    extra, unshown = _gallery(report, results, max_bytes)
    links = [
        Link("mask-images.csv", "mIoU and pixel accuracy of every image alone, by run"),
        Link("metrics.csv", "values by run and class"),
    ]
    if statistics is not None:
        links = [
            Link("mask-standings.csv", "values with intervals, by model"),
            Link("mask-classes.csv", "the same by class"),
            *([Link("mask-pairs.csv", "all pairs, measures and classes")] if several else []),
            *links,
        ]
    return Section(
        "masks",
        "Masks",
        finding,
        figures=figures,
        tables=tables,
        warnings=[*_warnings(report, results), *unshown],
        template="masks.html",
        extra=extra,
        method=_method(report, results, bool(extra["groups"])),
        links=links,
    )


def tables(report: ReportData, results: MaskResults) -> dict[str, str]:
    """The numbers of the section as CSV, by file name."""
    files = {"mask-images.csv": to_csv(_image_rows(report, results))}
    statistics = results.statistics
    if statistics is not None:
        files["mask-standings.csv"] = to_csv(statistics.to_frame())
        files["mask-classes.csv"] = to_csv(
            statistics.classes_to_frame().rename(columns={"objects": "images"})
        )
        if len(results.numbers) > 1:
            files["mask-pairs.csv"] = to_csv(statistics.pairwise_to_frame())
    return files


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What is said of the classes, besides the background, that at least `FEW_IMAGES` images have.

    Attributes:
        models: number of models with label maps.
        compared: number of these classes.
        lowest, highest: IoU of these classes, mean over all models.
        tested: whether differences of classes between models were tested.
        largest: the largest decisive difference in IoU between two models on a class, the background included: the class, the
            better and the other model, and the size of the difference; None if there is none.
    """

    models: int
    compared: int
    lowest: Extreme
    highest: Extreme
    tested: bool
    largest: tuple[str, str, str, float] | None


def mask_facts(report: ReportData, results: MaskResults) -> MaskFacts:
    """Collect the facts on classes."""
    kept = [label for label in range(1, len(results.classes)) if results.class_images[label] >= FEW_IMAGES]
    names = [formatting.printable(results.classes[label]) for label in kept]
    places = range(len(results.numbers))
    means = [float(np.mean([results.value(at, "miou", label) for at in places])) for label in kept]
    statistics = results.statistics
    rows = [] if statistics is None else [row for row in statistics.class_pairs if row.metric == "miou"]
    decisive = [row for row in rows if row.decisive]
    largest = None
    if decisive:
        row = max(decisive, key=lambda row: abs(row.delta))
        better, other = (row.model_a, row.model_b) if row.delta > 0 else (row.model_b, row.model_a)
        texts = [formatting.printable(text) for text in (row.scope, better, other)]
        largest = (texts[0], texts[1], texts[2], abs(row.delta))
    return MaskFacts(len(places), len(kept), lowest(names, means), highest(names, means), bool(rows), largest)


def class_text(facts: MaskFacts) -> str:
    """Describe the classes with the lowest and the highest IoU, and the largest decisive difference between models."""
    parts = []
    where = f"Of the classes that at least {FEW_IMAGES} images have"
    if facts.compared < 2:
        parts.append(
            f"Fewer than two classes, besides the background, are in at least {FEW_IMAGES} images, so classes are not ranked."
        )
    elif facts.lowest.shared_by_all:
        parts.append(f"{where}, without the background, all have the same IoU.")
    else:
        over = "" if facts.models == 1 else ", mean over models,"
        parts.append(
            f"{where}, without the background, IoU{over} is lowest for {formatting.join_words(list(facts.lowest.holders))} "
            f"({formatting.points(facts.lowest.value)}) and highest for {formatting.join_words(list(facts.highest.holders))} "
            f"({formatting.points(facts.highest.value)})."
        )
    if facts.tested:
        if facts.largest is None:
            parts.append("No difference in IoU between two models on a single class is decisive.")
        else:
            name, better, other, delta = facts.largest
            parts.append(
                f"The largest decisive difference in IoU on a class is on {name}: {better} is {formatting.points(delta)} percentage "
                f"points above {other}."
            )
    return " ".join(parts)


def _leader_text(report: ReportData, results: MaskResults) -> str:
    """Which model has the highest mIoU, and how certain that is."""
    if results.problem:
        return f"The label maps cannot be compared: {formatting.printable(results.problem)}."
    if not results.images:
        return "No image has a mask, so label maps are not measured."
    if results.statistics is not None:
        where = f"on {formatting.plural(results.images, 'image')} with masks"
        return verdict_text(results.statistics.verdict, "mIoU", where, formatting.printable)
    labels = _labels(report, results)
    values = [results.value(at, "miou") for at in range(len(labels))]
    if len(labels) == 1:
        return f"{labels[0]} has mIoU {formatting.points(values[0])}."
    best = highest(labels, values)
    verb = "has" if len(best.holders) == 1 else "have"
    return (
        f"{formatting.join_words(list(best.holders))} {verb} the highest mIoU, {formatting.points(best.value)}. Without resamples, "
        "nothing tells how certain the differences are."
    )


def _warnings(report: ReportData, results: MaskResults) -> list[str]:
    without = [label for number, label in enumerate(report.labels) if number not in results.numbers]
    warnings = []
    if without:
        verb = "has" if len(without) == 1 else "have"
        warnings.append(
            f"{formatting.join_words(without)} {verb} no label maps and {'is' if len(without) == 1 else 'are'} left out."
        )
    kinds = ("no_masks", "rare_classes", "few_objects", "no_objects")
    notes = () if results.statistics is None else results.statistics.notes
    return warnings + [formatting.sentence(note.text) for note in notes if note.kind in kinds]


def _labels(report: ReportData, results: MaskResults) -> list[str]:
    return [report.labels[number] for number in results.numbers]


def _models(report: ReportData, results: MaskResults) -> list[str]:
    """Names of the models in the statistics."""
    return [report.models[number].label for number in results.numbers]


def _class_figure(report: ReportData, results: MaskResults) -> Figure | None:
    drawn = np.flatnonzero(results.class_images > 0)
    values = [results.values(at, "miou")[:, 1:].T for at in range(len(results.numbers))]
    title = "IoU by class"
    if len(drawn) > MAX_ROWS:
        spread = np.ptp(np.stack([rows.mean(1) for rows in values]), axis=0)
        title = f"IoU by class: the {MAX_ROWS} of {len(drawn)} classes that differ most"
        drawn = np.sort(drawn[np.argsort(-spread[drawn], kind="stable")[:MAX_ROWS]])
    intervals = pale = None
    statistics = results.statistics
    if statistics is not None:
        rows = {(row.model, row.class_name): row for row in statistics.class_values if row.measure == "miou"}
        names = [results.classes[label] for label in drawn]
        of_models = [[rows[model, name] for name in names] for model in _models(report, results)]
        intervals = [np.array([(row.ci_low, row.ci_high) for row in of]) for of in of_models]
        pale = [np.array([row.too_few for row in of], np.bool_) for of in of_models]
    drawing = dot_plot(
        "masks-classes", title, class_text(mask_facts(report, results)),
        [formatting.printable(results.classes[label]) for label in drawn], _labels(report, results),
        [rows[drawn] for rows in values], "IoU (%)", intervals=intervals, pale=pale, numbers=results.numbers,
    )  # fmt: skip
    bars = "" if statistics is None else f"Bars are {statistics.method.confidence:.0%} confidence intervals."
    faint = "Pale bars rest on too few images." if pale and np.concatenate(pale).any() else ""
    dots = "Small dots are single seeds." if any(len(of) > 1 for of in results.counts) else ""
    return replace(drawing, caption=" ".join(filter(None, (bars, faint, dots))))


def _pairs_figure(report: ReportData, results: MaskResults) -> Figure | None:
    statistics = results.statistics
    if statistics is None or len(results.numbers) < 2:
        return None
    rows = [row for row in statistics.pairwise if row.metric == "miou"][:MAX_PAIRS]
    names = dict(zip(_models(report, results), _labels(report, results), strict=True))
    drawing = forest(
        "masks-pairs", "Differences in mIoU, first model minus second", _leader_text(report, results),
        [f"{names[row.model_a]} − {names[row.model_b]}" for row in rows],
        np.array([[row.delta, row.ci_low, row.ci_high, row.sim_low, row.sim_high] for row in rows]),
        [row.decisive for row in rows], "mIoU",
    )  # fmt: skip
    caption = (
        f"Thick bars are {statistics.method.confidence:.0%} confidence intervals of each pair alone, thin bars simultaneous intervals "
        "for all pairs; filled markers are decisive differences."
    )
    return replace(drawing, caption=caption)


def _models_table(report: ReportData, results: MaskResults) -> PageTable:
    statistics, several = results.statistics, len(results.numbers) > 1
    values = {name: [results.value(at, name) for at in range(len(results.numbers))] for name in MEASURES}
    best = {
        name: highest([str(at) for at in range(len(given))], given).value for name, given in values.items()
    }
    rows = []
    for at, number in enumerate(results.numbers):
        label = report.models[number].label
        seeds = len(results.counts[at])
        cells = [Cell(report.labels[number], note=f"{seeds} seeds" if seeds > 1 else "")]
        for name in MEASURES:
            value = values[name][at]
            note = ""
            if statistics is not None:
                standing = statistics.standing(label, name)
                note = formatting.points_interval(standing.ci_low, standing.ci_high)
            cells.append(
                Cell(
                    formatting.points(value), value, strong=several and value >= best[name] - 1e-12, note=note
                )
            )
        if several and statistics is not None:
            cells.append(Cell(statistics.standing(label, "miou").letters))
        rows.append(TableRow(tuple(cells), series=number))
    columns = [TableColumn("Model"), *(TableColumn(title, numeric=True) for title in MEASURES.values())]
    if several and statistics is not None:
        columns.append(
            TableColumn("Ties in mIoU", help="models that share a letter are not decisively different")
        )
    intervals = (
        "" if statistics is None else f", with {statistics.method.confidence:.0%} confidence intervals"
    )
    strong = " Bold: highest value of the column, significant or not." if several else ""
    return PageTable(
        "masks-models", f"Label maps, in percent{intervals}.{strong}", tuple(columns), tuple(rows)
    )


def _pairs_table(report: ReportData, results: MaskResults, statistics: Comparison) -> PageTable:
    names = dict(zip(_models(report, results), _labels(report, results), strict=True))
    order = {name: place for place, name in enumerate(DECIDED)}
    chosen = sorted(
        (row for row in statistics.pairwise if row.metric in order), key=lambda row: order[row.metric]
    )
    rows = [
        TableRow(
            (
                Cell(f"{names[row.model_a]} − {names[row.model_b]}"),
                Cell(MEASURES[row.metric]),
                Cell(
                    formatting.signed_points(row.delta),
                    row.delta,
                    note=formatting.difference_interval(row.sim_low, row.sim_high),
                ),
                Cell(formatting.difference_interval(row.ci_low, row.ci_high) or formatting.MISSING),
                Cell(formatting.p_value(row.p_adj), row.p_adj),
                Cell(
                    f"{row.p_a_gt_b:.2f}" if math.isfinite(row.p_a_gt_b) else formatting.MISSING, row.p_a_gt_b
                ),
                Cell(formatting.points(row.mdd), row.mdd),
                Cell(_word(row, names), strong=row.decisive),
            )
        )
        for row in chosen
    ]
    columns = (
        TableColumn("Pair"),
        TableColumn("Measure"),
        TableColumn("Difference", True, "with the simultaneous confidence interval over all pairs"),
        TableColumn("Interval of this pair alone"),
        TableColumn(
            "Adjusted p-value",
            True,
            "p-value of the t test, adjusted by Holm's method for the number of pairs",
        ),
        TableColumn("Probability that first is better", True, "by the t distribution of the difference"),
        TableColumn(
            "Detectable difference", True, "true difference that is found with a probability of about 80%"
        ),
        TableColumn("Verdict"),
    )
    return PageTable(
        "masks-pairs-table", f"Differences of label maps in percentage points, with {statistics.method.confidence:.0%} confidence "
        "intervals: below the difference the simultaneous one, which decides", columns, tuple(rows), searchable=len(rows) > 12,
    )  # fmt: skip


def _word(row: PairDifference, names: dict[str, str]) -> str:
    if row.decisive:
        return f"{names[row.model_a if row.delta > 0 else row.model_b]} is better"
    return "too few data" if row.too_few else "tied"


def _classes_table(report: ReportData, results: MaskResults) -> PageTable:
    statistics, several = results.statistics, len(results.numbers) > 1
    notes: dict[tuple[str, str], str] = {}
    decisive: dict[str, list[str]] = {}
    names = dict(zip(_models(report, results), _labels(report, results), strict=True))
    if statistics is not None:
        for of_class in statistics.class_values:
            if of_class.measure == "miou":
                interval = formatting.points_interval(of_class.ci_low, of_class.ci_high)
                notes[of_class.model, of_class.class_name] = interval
        for row in statistics.class_pairs:
            if row.decisive and row.metric == "miou":
                better, worse = (row.model_a, row.model_b) if row.delta > 0 else (row.model_b, row.model_a)
                decisive.setdefault(row.scope, []).append(f"{names[better]} > {names[worse]}")
    images, areas = results.class_images, results.truth.sum(axis=0)
    most = int(images.max(initial=1)) or 1
    rows = []
    for label in np.flatnonzero(images > 0).tolist():
        name = results.classes[label]
        values = [results.value(at, "miou", label) for at in range(len(results.numbers))]
        best = highest([str(at) for at in range(len(values))], values).value
        share = float(areas[label] / max(areas.sum(), 1))
        cells = [
            Cell(formatting.printable(name)),
            Cell(formatting.count(int(images[label])), int(images[label]), bar=images[label] / most),
            Cell(formatting.points(share), share),
        ]
        for model, value in zip(names, values, strict=True):
            note = notes.get((model, name), "")
            cells.append(
                Cell(formatting.points(value), value, strong=several and value >= best - 1e-12, note=note)
            )
        if several:
            spread = float(np.ptp(values))
            cells.append(Cell(formatting.points(spread), spread))
        if several and statistics is not None:
            few = images[label] < FEW_IMAGES or statistics.leaderboard[0].too_few
            cells.append(
                Cell("too few images" if few else formatting.join_words(decisive.get(name, ["none"]), 3))
            )
        rows.append(TableRow(tuple(cells)))
    columns = [TableColumn("Class"), TableColumn("Images", True), TableColumn("Share of pixels", True)]
    columns += [TableColumn(label, numeric=True) for label in names.values()]
    columns += [TableColumn("Spread", numeric=True)] if several else []
    columns += [TableColumn("Decisive differences")] if several and statistics is not None else []
    after = len(columns) - 3 - len(names)
    strong = " Bold: highest value of the row, significant or not." if several else ""
    return PageTable(
        "masks-classes-table", f"IoU by class, in percent.{strong}", tuple(columns), tuple(rows),
        column_series=(None, None, None, *results.numbers, *((None,) * after)), searchable=len(rows) > 10,
    )  # fmt: skip


def _gallery(report: ReportData, results: MaskResults, max_bytes: int) -> tuple[dict[str, Any], list[str]]:
    """Variables of the template, and warnings about images that are not shown."""
    empty: dict[str, Any] = {"groups": [], "legend": [], "ignored": False}
    if results.problem or not results.images or report.images is None or report.label_maps is None:
        return empty, []
    images: list[tuple[str, MaskImage]] = []
    unreadable: list[UnreadableImage] = []
    left_out, size = 0, 0
    for choice in mask_gallery.choose(report, results):
        image = mask_gallery.load_mask_image(report, results, choice)
        if isinstance(image, UnreadableImage):
            unreadable.append(image)
        elif size + mask_gallery.estimate_bytes(image) > max_bytes:
            left_out += 1
        else:
            size += mask_gallery.estimate_bytes(image)
            images.append((choice.group, image))
    warnings = []
    if unreadable:
        first = unreadable[0]
        warnings.append(
            f"{formatting.plural(len(unreadable), 'chosen image')} could not be shown; the first is {first.name} ({first.error})."
        )
    if left_out:
        warnings.append(
            f"{formatting.plural(left_out, 'chosen image was', 'chosen images were')} left out to limit the size of this page; "
            "--report-max-mb sets the limit."
        )
    labels = sorted({label for _, image in images for label in image.labels})
    groups = [
        (name, heading, [image for group, image in images if group == name])
        for name, heading, _ in GROUPS
        if any(group == name for group, _ in images)
    ]
    extra = {
        "groups": groups,
        "legend": [
            ((label - 1) % len(PHOTO), formatting.printable(results.classes[label])) for label in labels
        ],
        "ignored": any(image.ignored for _, image in images),
    }
    return extra, warnings


def _method(report: ReportData, results: MaskResults, shown: bool) -> Sequence[str]:
    paragraphs = [
        "A label map has one class for each pixel. IoU of a class is the intersection of its pixels in truth and prediction over their "
        "union, Dice twice the intersection over the sum of both areas; areas are summed over all images before dividing. All columns "
        "but pixel accuracy are means over classes, the background included: mIoU and Dice over those that truth or prediction have, "
        "precision over those of the prediction, recall over those of the truth. Pixel accuracy is the share of pixels with the "
        "correct class. Ignored pixels are left out.",
    ]
    if results.statistics is not None:
        method = results.statistics.method
        paragraphs.append(
            f"Intervals come from {method.resamples:,} bootstrap resamples of the {method.unit}s, the same for all models, so differences "
            "are paired: the areas of a resample are those of each image times how often it was drawn. They are Student's t intervals "
            "with the bootstrap's standard error, over images and seeds. A difference is decisive, and its first model is called "
            "better, if its interval, its simultaneous interval over all pairs and its p-value, adjusted by Holm's method for the "
            "number of pairs, all exclude 0. Differences on classes are adjusted by the method of Benjamini and Hochberg for the number "
            f"of classes; classes in fewer than {FEW_IMAGES} images are not tested. A true difference of the size given as detectable is "
            "found with a probability of about 80%.",
        )
    if shown:
        subject = "each model's first run" if any(len(of) > 1 for of in results.counts) else "each model"
        paragraphs.append(
            f"The label maps are those of {subject}. Images are ranked by mIoU in that image alone, over the classes that its truth or "
            "prediction has; ties go by image order, and each image is shown once. Areas are tinted in the colours of their classes, the "
            f"background is clear, and ignored pixels are striped; {len(PHOTO)} colours are used in turn."
        )
    return paragraphs


def _image_rows(report: ReportData, results: MaskResults) -> pd.DataFrame:
    """MIoU and pixel accuracy of every image alone, by run."""
    catalog = report.truth.catalog
    frames = []
    for number, of_model in zip(results.numbers, results.counts, strict=True):
        for run, counts in zip(report.evaluated[number], of_model, strict=True):
            pixels = counts.pixels.astype(np.float64)
            correct = counts.intersection.sum(axis=1)
            frames.append(
                pd.DataFrame(
                    {
                        "run_id": run.run.result.name,
                        "image_id": list(catalog.image_ids),
                        "file_name": list(catalog.file_names),
                        "pixels": counts.pixels,
                        "miou": image_mean_iou(counts),
                        "pixel_accuracy": np.divide(
                            correct, pixels, out=np.full(len(pixels), np.nan), where=pixels > 0
                        ),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)
