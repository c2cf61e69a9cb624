"""Annotation files of one name in several folders: of different images, or of the same image, which would be counted twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from metrics.errors import InputError
from metrics.formats.image_search import image_files, name_key
from metrics.notes import Note, report
from metrics.plurals import plural


def check_repeated_names(stems: Sequence[str], root: Path) -> None:
    """Check that annotation files of one name are of different images.

    They are if there are at least two images of that name below the folder of the data set. Without any image it cannot be told,
    which is reported.

    Args:
        stems: path of the annotation file of each image without suffix, below `root`.
        root: folder of the data set.

    Raises:
        InputError: there is only one image for two annotation files.
    """
    of_name: dict[str, list[str]] = defaultdict(list)
    for stem in stems:
        of_name[name_key(PurePosixPath(stem).name)].append(stem)
    repeated = {name: sorted(of) for name, of in of_name.items() if len(of) > 1}
    if not repeated:
        return
    images = Counter(name_key(image.stem) for image in image_files(root, recursive=True))
    twice = [name for name in repeated if images[name] == 1]
    if twice:
        first, second, *_ = repeated[twice[0]]
        raise InputError(
            f"{root}: {first} and {second} are annotations of one image, and so are those of {plural(len(twice), 'name')} in all: its objects "
            f"would count twice; give the path of one folder of annotations, or remove the other"
        )
    unknown = [name for name in repeated if not images[name]]
    if unknown:
        first, second, *_ = repeated[unknown[0]]
        text = (
            f"{root}: {plural(len(unknown), 'name of an annotation file is', 'names of annotation files are')} in several folders, as {first} and {second}: they are read "
            f"as different images; if they are of the same images, give the path of one folder"
        )
        report(Note("repeated_names", text, str(root), {"images": len(unknown)}))
