"""Which text file holds the objects of an image of a YOLO data set."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import image_text_files
from metrics.formats.image_search import IMAGE_SUFFIXES, name_key
from metrics.notes import Note, report
from metrics.plurals import agree, plural


def label_path(image: Path) -> Path:
    """The usual text file of an image: the last folder ``images`` in its path becomes ``labels``, else beside the image."""
    return _replaced(image, "images") or image.with_suffix(".txt")


def find_labels(
    splits: Iterable[Sequence[Path]], roots: Sequence[Path] = (), folder: Path | None = None
) -> dict[Path, Path]:
    """The text file of each image that has one.

    For each split one rule is used, the first by which an image has a text file: ``images`` in the path becomes
    ``labels``; so do ``JPEGImages`` (darknet) and ``data``; the file lies beside the image; or it lies in ``labels``,
    ``obj_*_data`` (CVAT) or the folder of the data set, below the same folders as the image or without folders.
    Where no image of any split has one by these rules, files are found by their names anywhere in the folder of the data set,
    which is reported: in another folder, with ``.TXT``, or called ``a.jpg.txt``.

    Args:
        splits: absolute paths of the images of each split.
        roots: folder of the data set, and that of its description if it is another.
        folder: folder of the text files, if it is known.

    Raises:
        InputError: one text file would stand for two images; both are named. Or two found by name would fit an image.
    """
    labels: dict[Path, Path] = {}
    image_of: dict[Path, Path] = {}
    given = list(splits)
    found = [_find_by_first_rule(images, _rules(images, roots, folder)) for images in given]
    if not any(found) and folder is None and roots:
        found = [_find_by_name([image for images in given for image in images], roots[0])]
    for pairs in found:
        for image, file in pairs:
            labels[image] = file
            other = image_of.setdefault(file, image)
            if other != image:
                fix = (
                    "rename or remove one of the images"
                    if other.parent == image.parent
                    else "put text files into folders like those of the images"
                )
                raise InputError(f"{file}: would be the text file of two images, {other} and {image}; {fix}")
    return labels


Rule = Callable[[Path], Path | None]


def _rules(images: Sequence[Path], roots: Sequence[Path], folder: Path | None) -> list[Rule]:
    common = Path(os.path.commonpath([image.parent for image in images])) if images else Path()

    def mirrored(base: Path) -> list[Rule]:
        tops = [top for top in dict.fromkeys((*roots, common)) if common.is_relative_to(top)]
        rules: list[Rule] = [
            lambda image, top=top: (base / image.relative_to(top)).with_suffix(".txt")  # type: ignore[misc]
            for top in tops
        ]
        return [*rules, lambda image: (base / image.name).with_suffix(".txt")]

    if folder is not None:
        return mirrored(folder)
    rules: list[Rule] = [
        label_path,
        lambda image: _replaced(image, "JPEGImages"),
        lambda image: image.with_suffix(".txt"),
        lambda image: _replaced(image, "data"),
    ]
    for root in dict.fromkeys(roots):
        for base in (root / "labels", *sorted(root.glob("obj_*_data")), root):
            rules += mirrored(base)
    return rules


def _find_by_first_rule(images: Sequence[Path], rules: Sequence[Rule]) -> list[tuple[Path, Path]]:
    for rule in rules:
        places = [(image, file) for image in images if (file := rule(image)) is not None]
        pairs = [(image, file) for image, file in places if file.is_file()]
        if pairs:
            exact = {image for image, _ in pairs}
            others = [(image, _other_spelling(image, file)) for image, file in places if image not in exact]
            return pairs + [(image, file) for image, file in others if file is not None]
    return []


def _other_spelling(image: Path, file: Path) -> Path | None:
    """A text file that is called ``a.TXT`` or ``a.jpg.txt`` instead of ``a.txt``, if there is one."""
    spellings = (file.with_suffix(".TXT"), file.with_name(f"{image.name}.txt"))
    return next((other for other in spellings if other.is_file()), None)


def _find_by_name(images: Sequence[Path], root: Path) -> list[tuple[Path, Path]]:
    """The text files below a folder that are called like images; of several, the one whose folders are most like the image's."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    for file in image_text_files(root, "**/*.txt"):
        by_name[label_name(file)].append(file)
    pairs = []
    for image in images:
        fitting = by_name.get(name_key(image.stem), [])
        if len(fitting) > 1:
            alike = [_common_folders(image, file) for file in fitting]
            fitting = [file for file, count in zip(fitting, alike, strict=True) if count == max(alike)]
        if len(fitting) > 1:
            raise InputError(
                f"{image}: its text file may be {fitting[0]} or {fitting[1]}; keep one of them, or set data.labels to the folder "
                f"of the text files"
            )
        pairs += [(image, file) for file in fitting]
    if pairs:
        image, file = pairs[0]
        text = (
            f"{root}: {len(pairs):,} of {plural(len(images), 'image')} {agree(len(pairs), 'has', 'have')} a text file where YOLO does not look, found by its name: "
            f"{file.relative_to(root)} is of {image.relative_to(root) if image.is_relative_to(root) else image}"
        )
        report(Note("labels_elsewhere", text, str(root), {"images": len(pairs), "of": len(images)}))
    return pairs


def label_name(file: Path) -> str:
    """The name of the image that a text file is called like, without suffix, for comparison: also of ``a.jpg.txt``."""
    stem = Path(file.stem)
    return name_key(stem.stem if stem.suffix.lower() in IMAGE_SUFFIXES else stem.name)


def _common_folders(image: Path, file: Path) -> int:
    """Number of folders at the ends of two paths that are called alike."""
    pairs = zip(reversed(image.parent.parts), reversed(file.parent.parts), strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if name_key(a) != name_key(b)), len(file.parts))


def _replaced(image: Path, folder: str) -> Path | None:
    """The text file where the last part `folder` of the path is ``labels``; None without such a part."""
    parts = list(image.parts)
    if folder not in parts[:-1]:
        return None
    parts[len(parts) - 2 - parts[-2::-1].index(folder)] = "labels"
    return Path(*parts).with_suffix(".txt")
