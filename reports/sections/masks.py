"""Masks: which model has the better label maps, overall and by class, and images of them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metrics.compare import verdict_text
from metrics.plurals import agree
from reports.analysis import mask_gallery
from reports.analysis.extremes import Extreme, highest, lowest
from reports.analysis.gallery_images import UnreadableImage
from reports.analysis.mask_gallery import GROUPS, MaskImage
from reports.analysis.mask_results import FEW_IMAGES, MaskResults
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Figure, Link, Section
from reports.elements.palette import PHOTO
from reports.figures.dot_plot import dot_plot
from reports.figures.forest import forest
from reports.sections.class_sentences import ClassDifference, difference_text, extremes_text, largest_decisive
from reports.sections.mask_tables import classes_table, model_names, models_table, pairs_table, shown_names

MAX_ROWS = 24
"""Number of classes in the figure; the table has all."""

MAX_PAIRS = 15
"""Number of pairs in the figure; the table has all."""


def section(report: ReportData, results: MaskResults, max_bytes: int) -> Section:
    """Values and differences of the models that have label maps; images of at most `max_bytes`."""
    several, statistics = len(results.numbers) > 1, results.statistics
    finding = " ".join(filter(None, (_leader_text(report, results), class_text(mask_facts(report, results)))))
    figures = []
    if not results.problem and results.images:
        figures = list(filter(None, (_pairs_figure(report, results), _class_figure(report, results))))
    tables = [models_table(report, results)]
    if several and statistics is not None:
        tables.append(pairs_table(report, results, statistics))
    if not results.problem:
        tables.append(classes_table(report, results))
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


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """What is said of the classes, besides the background, that at least `FEW_IMAGES` images have.

    Attributes:
        models: number of models with label maps.
        compared: number of these classes.
        lowest, highest: IoU of these classes, mean over all models.
        tested: whether differences of classes between models were tested.
        largest: the largest decisive difference in IoU between two models on a class, the background included; None if there is
            none.
    """

    models: int
    compared: int
    lowest: Extreme
    highest: Extreme
    tested: bool
    largest: ClassDifference | None


def mask_facts(report: ReportData, results: MaskResults) -> MaskFacts:
    """Collect the facts on classes."""
    kept = [label for label in range(1, len(results.classes)) if results.class_images[label] >= FEW_IMAGES]
    names = [formatting.printable(results.classes[label]) for label in kept]
    places = range(len(results.numbers))
    means = [float(np.mean([results.value(at, "miou", label) for at in places])) for label in kept]
    statistics = results.statistics
    rows = [] if statistics is None else [row for row in statistics.class_pairs if row.metric == "miou"]
    low, high = lowest(names, means), highest(names, means)
    return MaskFacts(len(places), len(kept), low, high, bool(rows), largest_decisive(rows))


def class_text(facts: MaskFacts) -> str:
    """Describe the classes with the lowest and the highest IoU, and the largest decisive difference between models."""
    parts = []
    which = f"that at least {FEW_IMAGES} images have, without the background"
    if facts.compared < 2:
        parts.append(
            f"Fewer than two classes, besides the background, are in at least {FEW_IMAGES} images, so classes are not ranked."
        )
    elif facts.lowest.shared_by_all:
        parts.append(f"Of the classes {which}, all have the same IoU.")
    else:
        parts.append(extremes_text(which, "IoU", facts.models, facts.lowest, facts.highest))
    if facts.tested:
        parts.append(difference_text(facts.largest, "IoU"))
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
    labels = shown_names(report, results)
    values = [results.value(at, "miou") for at in range(len(labels))]
    if len(labels) == 1:
        return f"{labels[0]} has mIoU {formatting.points(values[0])}."
    best = highest(labels, values)
    verb = agree(len(best.holders), "has", "have")
    return (
        f"{formatting.join_words(list(best.holders))} {verb} the highest mIoU, {formatting.points(best.value)}. Without resamples, "
        "the uncertainty of the differences is not known."
    )


def _warnings(report: ReportData, results: MaskResults) -> list[str]:
    without = [label for number, label in enumerate(report.labels) if number not in results.numbers]
    warnings = []
    if without:
        verb = agree(len(without), "has", "have")
        warnings.append(
            f"{formatting.join_words(without)} {verb} no label maps and {agree(len(without), 'is', 'are')} left out."
        )
    kinds = ("no_masks", "rare_classes", "few_objects", "no_objects")
    notes = () if results.statistics is None else results.statistics.notes
    return warnings + [formatting.sentence(note.text) for note in notes if note.kind in kinds]


def _class_figure(report: ReportData, results: MaskResults) -> Figure | None:
    drawn = np.flatnonzero(results.class_images > 0)
    values = [results.values(at, "miou")[:, 1:].T for at in range(len(results.numbers))]
    title = "IoU by class"
    if len(drawn) > MAX_ROWS:
        spread = np.ptp(np.stack([rows.mean(1) for rows in values]), axis=0)
        title = f"IoU by class: the {MAX_ROWS} of {formatting.plural(len(drawn), 'class')} that differ most"
        drawn = np.sort(drawn[np.argsort(-spread[drawn], kind="stable")[:MAX_ROWS]])
    intervals = pale = None
    statistics = results.statistics
    if statistics is not None:
        rows = {(row.model, row.class_name): row for row in statistics.class_values if row.measure == "miou"}
        names = [results.classes[label] for label in drawn]
        of_models = [[rows[model, name] for name in names] for model in model_names(report, results)]
        intervals = [np.array([(row.ci_low, row.ci_high) for row in of]) for of in of_models]
        pale = [np.array([row.too_few for row in of], np.bool_) for of in of_models]
    drawing = dot_plot(
        "masks-classes", title, class_text(mask_facts(report, results)),
        [formatting.printable(results.classes[label]) for label in drawn], shown_names(report, results),
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
    names = dict(zip(model_names(report, results), shown_names(report, results), strict=True))
    drawing = forest(
        "masks-pairs", "Differences in mIoU, first model minus second", _leader_text(report, results),
        [formatting.difference_label(names[row.model_a], names[row.model_b]) for row in rows],
        np.array([[row.delta, row.ci_low, row.ci_high, row.sim_low, row.sim_high] for row in rows]),
        [row.decisive for row in rows], "mIoU",
    )  # fmt: skip
    caption = (
        f"Thick bars are {statistics.method.confidence:.0%} confidence intervals of each pair alone, thin bars simultaneous intervals "
        "for all pairs; filled markers are decisive differences."
    )
    return replace(drawing, caption=caption)


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
        warnings.append(formatting.images_left_out(left_out))
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
            f"Intervals come from {formatting.plural(method.resamples, 'bootstrap resample')} of the {method.unit}s, the same for all models, so differences "
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
            "prediction has; images with equal mIoU are in their original order, and each image is shown once. Areas are tinted in the colours of their classes, the "
            f"background is clear, and ignored pixels are striped; {len(PHOTO)} colours are used in turn."
        )
    return paragraphs
