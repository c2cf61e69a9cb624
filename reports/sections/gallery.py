"""The same images under all models, truth solid and detections dashed: what the numbers look like."""

from __future__ import annotations

import pandas as pd

from reports.analysis import gallery_images
from reports.analysis.gallery_images import GROUPS, GalleryChoice, Shot, Unreadable
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Link, Section


def section(report: ReportData, most_bytes: int) -> Section:
    """As many of the chosen images as fit into `most_bytes`, the most worthwhile first."""
    title = "Gallery"
    if report.images is None:
        return Section("gallery", title, "No images were given with these runs, so none are shown.")
    choices = gallery_images.choose(report)
    shots: list[tuple[GalleryChoice, Shot]] = []
    broken: list[Unreadable] = []
    left_out, spent = 0, 0
    for choice in choices:
        shot = gallery_images.shoot(report, choice)
        if isinstance(shot, Unreadable):
            broken.append(shot)
        elif spent + gallery_images.weight(shot) > most_bytes:
            left_out += 1
        else:
            spent += gallery_images.weight(shot)
            shots.append((choice, shot))
    groups = []
    for name, heading, _ in GROUPS:
        members = [shot for choice, shot in shots if choice.group == name]
        if members:
            groups.append((name, heading, members))
    warnings = []
    if broken:
        first = broken[0]
        warnings.append(
            f"{formatting.plural(len(broken), 'chosen image')} could not be read; the first is {first.name} "
            f"({first.reason})."
        )
    if left_out:
        warnings.append(
            f"{formatting.plural(left_out, 'chosen image')} left out to keep the page small; --report-max-mb allows more."
        )
    return Section(
        "gallery",
        title,
        _finding(report, [shot for _, shot in shots], len(broken)),
        warnings=warnings,
        template="gallery.html",
        extra={"groups": groups, "many": len(report.models) > 1},
        method=(_method(report),),
        links=(Link("images.csv", "right, false and missed in every image, by run"),),
    )


def rows(report: ReportData) -> pd.DataFrame:
    """What happened in every image, by run, at the run's own best F1."""
    catalog, frames = report.truth.catalog, []
    for scored in report.runs:
        counts = scored.images
        frames.append(
            pd.DataFrame(
                {
                    "run_id": scored.run.result.name,
                    "image_id": list(catalog.image_ids),
                    "file_name": list(catalog.file_names),
                    "score": scored.best.score,
                    "right": counts.right,
                    "false": counts.false,
                    "missed": counts.missed,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _finding(report: ReportData, shots: list[Shot], broken: int) -> str:
    images = len(report.truth.catalog.image_ids)
    if not shots:
        return "No image could be shown." if broken else "There is no image to show."
    said = f"{len(shots)} of {formatting.plural(images, 'image')}"
    if len(report.models) == 1:
        return f"{said}, chosen by the number of errors."
    apart = sum(1 for shot in shots if len({tile.false + tile.missed for tile in shot.tiles}) > 1)
    return f"{said}, each under all models; in {apart} of them the models do not make equally many errors."


def _method(report: ReportData) -> str:
    points = [
        f"{label} {runs[0].best.score:.3f}" if runs[0].best.right else f"{label} none"
        for label, runs in zip(report.labels, report.scored, strict=True)
    ]
    which = "each model's first run" if report.seeds > 1 else "each model"
    return (
        f"Shown are the detections of {which} above the score at which its own F1 over all classes is highest on these "
        f"very images ({', '.join(points)}), so the counts are a little flattering to all. Right: finds an object of "
        "its class with IoU of at least 0.5. Ignored objects, and detections that find them, are not drawn. Images "
        "are chosen by false and missed together; equal ones go by their order. What every model misses, or finds where "
        "nothing is annotated, is often an error of the annotation: look there first. "
        "The lead rests most on the images without which the difference of AP between the two best models is smallest."
    )
