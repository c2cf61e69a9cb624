"""Images of a data set with their boxes: suspicious ones first, some of each class, and what the network gets."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis.sample_images import PageSample
from reports.elements import formatting
from reports.elements.formatting import plural
from reports.elements.page import Section
from reports.records.data_check import DataCheck


def gallery(
    check: DataCheck, suspicious: Sequence[PageSample], others: Sequence[PageSample], left_out: int
) -> Section:
    """Images as they are annotated.

    Args:
        check: the data check.
        suspicious: images of findings.
        others: images of classes.
        left_out: number of images that did not fit on the page.
    """
    images = sum(split.images for split in check.splits)
    shown = [*suspicious, *others]
    finding = f"{len(shown)} of {plural(images, 'image')}"
    if suspicious:
        finding += f", {len(suspicious)} of them suspicious: the boxes in question are drawn in yellow"
    if not shown:
        finding = "No image could be shown"
    warnings = [formatting.images_left_out(left_out)] if left_out else []
    groups = [("Suspicious images", suspicious), ("Images by class", others)]
    return Section(
        "gallery",
        "Images with boxes",
        f"{finding}.",
        warnings=warnings,
        template="data_gallery.html",
        extra={
            "groups": [(heading, samples) for heading, samples in groups if samples],
            "classes": [of.name for of in check.classes],
            "shown_classes": sorted({label for sample in shown for label in sample.classes}),
            "splits": [split.name for split in check.splits],
        },
        method=(
            "Suspicious images are examples of the findings above: the first of each finding, then the second of each, and so "
            "on. Images of a class are evenly spaced over the training images that have it, for the most frequent classes. "
            "Boxes of crowd regions and ignored objects are drawn, too.",
        ),
    )


def network_input(check: DataCheck, samples: Sequence[PageSample]) -> Section | None:
    """Training images as the network gets them; None without images."""
    if not samples:
        return None
    facts = check.input
    how = (
        "keep their aspect ratio and are padded with grey" if facts.resize == "letterbox" else "are stretched"
    )
    return Section(
        "input",
        "The network's input",
        f"Images {how} to {facts.width} x {facts.height} pixels; in training, every epoch changes them differently.",
        template="data_input.html",
        extra={"samples": samples, "classes": [of.name for of in check.classes]},
        method=(
            "The pictures are those that a run with these settings and this seed trains on in its first epochs. Boxes that "
            f"augmentation or resizing makes smaller than {facts.min_side:g} px are not trained on and not drawn.",
        ),
    )
