"""Images beside those of a data set that no annotation knows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from bench.data.annotated_images import AnnotatedImages
from metrics.formats.image_search import image_files
from metrics.notes import Note, report
from metrics.plurals import agree, plural


def report_unannotated(path: Path, parts: Sequence[AnnotatedImages], annotated: Collection[str] = ()) -> None:
    """Report images in the folders of those of a data set that are left out, because it does not list them.

    Args:
        path: the data set. A file is one of several on the same images, so that nothing is reported.
        parts: all its images.
        annotated: names without suffix of images that are not left out for that reason.
    """
    used = {image for part in parts for image in part.paths}
    if not path.is_dir():
        return
    for folder in sorted({image.parent for image in used}):
        beside = [image for image in image_files(folder) if image not in used and image.stem not in annotated]
        if beside:
            text = (
                f"{plural(len(beside), 'image')} in {folder} {agree(len(beside), 'has', 'have')} no annotation and {agree(len(beside), 'is', 'are')} left out, the first "
                f"{beside[0].name}; an image without objects must be listed, or have an annotation file, without objects"
            )
            report(Note("unannotated_images", text, str(folder), {"images": len(beside)}))
