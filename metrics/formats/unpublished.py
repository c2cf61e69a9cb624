"""Splits of benchmarks whose annotations are not published, so that no image has an object."""

from __future__ import annotations

from pathlib import Path

from metrics.formats.image_annotations import ImageAnnotation
from metrics.notes import Note, report
from metrics.plurals import plural


def without_unpublished(images: list[ImageAnnotation], root: Path) -> list[ImageAnnotation]:
    """The images without those of splits in which none has an object, which is reported; all if none has any.

    Args:
        images: with their splits.
        root: of the data set, for the message.
    """
    annotated = {image.purpose for image in images if image.boxes}
    empty = [image for image in images if image.purpose not in annotated]
    if not annotated or not empty:
        return images
    splits = " and ".join(sorted({str(image.purpose) for image in empty}))
    text = f"{root}: no image of {splits} has an object, as their annotations are not public: {plural(len(empty), 'image is', 'images are')} left out"
    report(Note("left_out", text, str(root), {"images": len(empty)}))
    return [image for image in images if image.purpose in annotated]
