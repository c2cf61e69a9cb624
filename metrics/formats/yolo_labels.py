"""Which text file holds the objects of an image of a YOLO data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from metrics.errors import InputError


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

    Args:
        splits: absolute paths of the images of each split.
        roots: folder of the data set, and that of its description if it is another.
        folder: folder of the text files, if it is known.

    Raises:
        InputError: one text file would stand for two images; both are named.
    """
    labels: dict[Path, Path] = {}
    image_of: dict[Path, Path] = {}
    for images in splits:
        for image, file in _find_by_first_rule(images, _rules(images, roots, folder)):
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
        pairs = [(image, file) for image in images if (file := rule(image)) is not None and file.is_file()]
        if pairs:
            return pairs
    return []


def _replaced(image: Path, folder: str) -> Path | None:
    """The text file where the last part `folder` of the path is ``labels``; None without such a part."""
    parts = list(image.parts)
    if folder not in parts[:-1]:
        return None
    parts[len(parts) - 2 - parts[-2::-1].index(folder)] = "labels"
    return Path(*parts).with_suffix(".txt")
