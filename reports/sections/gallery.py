"""Gallery: the same images under all models, ground truth solid and detections dashed."""

from __future__ import annotations

import pandas as pd

from metrics.measures.error_types import FALSE_POSITIVES
from reports.analysis import gallery_choice, gallery_images
from reports.analysis.gallery_choice import GROUPS, GalleryChoice
from reports.analysis.gallery_images import GalleryImage, UnreadableImage
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Link, Section


def section(report: ReportData, max_bytes: int) -> Section:
    """As many of the chosen images as fit into `max_bytes`, the most informative first."""
    title = "Gallery"
    if report.images is None:
        return Section("gallery", title, "No images were given with these runs.")
    images: list[tuple[GalleryChoice, GalleryImage]] = []
    unreadable: list[UnreadableImage] = []
    left_out, size = 0, 0
    for choice in gallery_choice.choose(report):
        image = gallery_images.load_image(report, choice)
        if isinstance(image, UnreadableImage):
            unreadable.append(image)
        elif size + gallery_images.estimate_bytes(image) > max_bytes:
            left_out += 1
        else:
            size += gallery_images.estimate_bytes(image)
            images.append((choice, image))
    groups = []
    for name, heading, _ in GROUPS:
        members = [image for choice, image in images if choice.group == name]
        if members:
            groups.append((name, heading, members))
    warnings = []
    if unreadable:
        first = unreadable[0]
        warnings.append(
            f"{formatting.plural(len(unreadable), 'chosen image')} could not be read; the first is {first.name} "
            f"({first.error})."
        )
    if left_out:
        warnings.append(formatting.images_left_out(left_out))
    return Section(
        "gallery",
        title,
        _finding(report, [image for _, image in images], len(unreadable)),
        warnings=warnings,
        template="gallery.html",
        extra={"groups": groups, "several": len(report.models) > 1},
        method=(_method(report),),
        links=(
            Link(
                "images.csv",
                "true positives, false positives (also by type) and false negatives of every image, by run",
            ),
        ),
    )


def rows(report: ReportData) -> pd.DataFrame:
    """The counts of every image, by run, at the run's highest F1, false positives also by type: ``images.csv``."""
    catalog = report.truth.catalog
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "run_id": run.run.result.name,
                    "image_id": list(catalog.image_ids),
                    "file_name": list(catalog.file_names),
                    "score": run.best_point.score,
                    "tp": run.image_counts.tp,
                    "fp": run.image_counts.fp,
                    "fn": run.image_counts.fn,
                    **dict(zip(FALSE_POSITIVES, run.image_counts.by_type, strict=True)),
                }
            )
            for run in report.runs
        ],
        ignore_index=True,
    )


def _finding(report: ReportData, images: list[GalleryImage], unreadable: int) -> str:
    if not images:
        return "None of the chosen images could be read." if unreadable else "There are no images to show."
    total = formatting.plural(len(report.truth.catalog.image_ids), "image")
    if len(report.models) == 1:
        return f"{len(images)} of {total}, chosen by the number of errors."
    differing = sum(1 for image in images if len({tile.fp + tile.fn for tile in image.tiles}) > 1)
    return f"{len(images)} of {total}, each under all models; the number of errors differs between models in {differing} of them."


def _method(report: ReportData) -> str:
    scores = [
        f"{label} {runs[0].best_point.score:.3f}" if runs[0].best_point.tp else f"{label} none"
        for label, runs in zip(report.labels, report.evaluated, strict=True)
    ]
    subject = "each model's first run" if report.seeds > 1 else "each model"
    return (
        f"Detections of {subject} are shown above the score threshold of its highest F1 over all classes "
        f"({', '.join(scores)}). The thresholds were chosen on these images, so the counts are slightly optimistic. A true "
        "positive has the class of an object and an IoU of at least 0.5 with it; types of false positives are those of the section "
        "on errors. Ignored objects and detections matched to them are not drawn. Images are ranked by their false positives "
        "and false negatives; images with equal numbers are in their original order. Each image is shown once, so a group leaves out the "
        "images of other groups; typical images lie between the quartiles, and those with the fewest errors have a true positive."
        + " Objects that no model detects, and detections of all models (same class, IoU of at least 0.5 with each other) that overlap no "
        "annotation of any class by 0.1, may be annotation errors. An "
        "image's influence on the lead is how much the difference in AP between the two best models shrinks without it."
        * (len(report.models) > 1)
    )
