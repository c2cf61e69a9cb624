"""Data sets of image files: annotated images become the splits train, val and test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.checks import AnnotatedImages, CheckedImages, FolderOptions, check_images
from bench.data.contents import content_digests
from bench.data.images import read_image
from bench.data.leaks import find_leaks
from bench.data.splits import hash_split
from bench.data.types import SPLITS, Dataset, Split, require_objects
from metrics.errors import InputError, InputWarning
from metrics.notes import Note, report
from metrics.tables import Catalog


def assemble_dataset(
    format: str,
    path: Path,
    parts: Sequence[AnnotatedImages],
    options: FolderOptions,
    defaults: Mapping[str, Any] | None = None,
) -> Dataset:
    """Make a data set of what a format has read: check the files, unify classes, split, look for leakage.

    Args:
        format: name of the format.
        path: the folder or file that was opened.
        parts: the images of each split, or all images without a split.
        options: settings.
        defaults: see `Dataset.defaults`.

    Raises:
        InputError: images are missing or broken, boxes are not in pixels, classes contradict each other, or a split
            has no valid object.
    """
    for part in parts:
        _note_size(part)
    order = (*SPLITS, "trainval", None)
    parts = _merge_repeated(sorted(parts, key=lambda part: order.index(part.purpose)))
    checked = [check_images(part, options) for part in _unify_classes(parts)]
    by_split = _divide(checked, options)
    # The same images in several splits were reported already.
    distinct = {id(part): (name, part) for name, part in by_split.items()}
    for leak in find_leaks({name: part.images.paths for name, part in distinct.values()}):
        report(replace(leak, text=f"leakage: {leak}; split the data again"), InputWarning)
    splits = {name: require_objects(_make_split(name, by_split[name])) for name in SPLITS}
    _note_absent_classes(splits)
    fingerprint = hashlib.sha256("".join(split.fingerprint for split in splits.values()).encode()).hexdigest()
    return Dataset(_dataset_name(path), format, path, splits, fingerprint, defaults=dict(defaults or {}))


def require_distinct_purposes(parts: Sequence[AnnotatedImages], where: Path) -> None:
    """Raise an `InputError` if two parts have the same purpose, because only the user knows which one is meant."""
    purposes = [part.purpose for part in parts]
    for purpose in purposes:
        if purposes.count(purpose) > 1:
            raise InputError(
                f"{where}: several sets of annotations for {purpose or 'no split'}; give the path of one"
            )


def _note_size(part: AnnotatedImages) -> None:
    name, images, objects = part.purpose or "all", len(part.paths), len(part.truth)
    report(
        Note(
            "split_size",
            f"{name}: {images} images, {objects} objects",
            name,
            {"images": images, "objects": objects},
        )
    )


def _merge_repeated(parts: Sequence[AnnotatedImages]) -> list[AnnotatedImages]:
    """Drop parts that list the same files as an earlier one, as in a YAML file with the same train and val."""
    merged: list[AnnotatedImages] = []
    for part in parts:
        same = next((other for other in merged if set(other.paths) == set(part.paths)), None)
        if same is None:
            merged.append(part)
        else:
            text = f"{same.purpose} and {part.purpose} list the same images and are treated as one set"
            report(Note("same_images", text, f"{same.purpose}, {part.purpose}", {"images": len(part.paths)}))
    if len(merged) == 1 < len(parts):
        return [replace(merged[0], purpose=None)]
    return merged


def _unify_classes(parts: Sequence[AnnotatedImages]) -> list[AnnotatedImages]:
    """Give all parts the classes of all; an id must have the same name everywhere."""
    catalogs = [part.truth.catalog for part in parts]
    if all(c.class_ids == catalogs[0].class_ids and c.classes == catalogs[0].classes for c in catalogs):
        return list(parts)
    names: dict[int, str] = {}
    for part, catalog in zip(parts, catalogs, strict=True):
        for class_id, name in zip(catalog.class_ids, catalog.classes, strict=True):
            if names.setdefault(class_id, name) != name:
                raise InputError(
                    f"{part.purpose or 'annotations'}: class id {class_id} is {name!r} here but "
                    f"{names[class_id]!r} in another split; use the same ids in all splits"
                )
    ids = tuple(sorted(names))
    label_of = {class_id: label for label, class_id in enumerate(ids)}
    unified = []
    for part, catalog in zip(parts, catalogs, strict=True):
        labels = np.array([label_of[class_id] for class_id in catalog.class_ids], dtype=np.int32)
        catalog = replace(catalog, class_ids=ids, classes=tuple(names[class_id] for class_id in ids))
        truth = replace(part.truth, catalog=catalog, label=labels[part.truth.label])
        unified.append(replace(part, truth=truth))
    return unified


def _divide(parts: Sequence[CheckedImages], options: FolderOptions) -> dict[str, CheckedImages]:
    """Train, val and test from the parts that exist; each split that is made is reported.

    Without test, val is halved, so that the best checkpoint is chosen on one half and evaluated on the other. An
    existing test split is left as it is.
    """
    given = {part.images.purpose: part for part in parts}
    if "trainval" in given:
        whole = given.pop("trainval")
        given.setdefault("train", whole)
    train, val, test = options.shares
    share = {"train": train, "val": val, "test": test}
    if len(given) == 1:
        (only_part,) = given.values()
        return _cut(only_part, share, "the data set has no splits: all images", options)
    missing = [name for name in SPLITS if name not in given]
    if not missing:
        return {name: given[name] for name in SPLITS}
    donor = "val" if missing[0] in {"test", "train"} else "train"
    wanted = {name: share[name] for name in SPLITS if name in (donor, missing[0])}
    why = f"the data set has no {missing[0]} split: the images of {donor}"
    made = _cut(given[donor], wanted, why, options)
    return {name: made.get(name) or given[name] for name in SPLITS}


def _cut(
    part: CheckedImages, shares: Mapping[str, float], why: str, options: FolderOptions
) -> dict[str, CheckedImages]:
    if len(part) < len(shares):
        text = (
            f"{why} ({len(part)}) are too few to split, so {', '.join(shares)} are the same images and results only show "
            f"whether training works; add images"
        )
        report(Note("too_few_to_split", text, ", ".join(shares), {"images": len(part)}), InputWarning)
        return dict.fromkeys(shares, part)
    names = [path.stem for path in part.images.paths]
    indices = hash_split(names, list(shares.values()), options.seed)
    made = {name: part.select(chosen) for name, chosen in zip(shares, indices, strict=True)}
    counts = {name: len(piece) for name, piece in made.items()}
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    text = f"{why} are split by a hash of their names and seed {options.seed}: {listed}"
    report(Note("made_splits", text, ", ".join(counts), counts))
    return made


def _make_split(name: str, part: CheckedImages) -> Split:
    truth = part.images.truth
    digest = hashlib.sha256(f"{name} {truth.fingerprint}".encode())
    for content in content_digests(part.images.paths):
        digest.update(content)
    load = _FileLoader(tuple(map(str, part.images.paths)), part.upright, truth.catalog.sizes)
    return Split(name, truth, load, digest.hexdigest(), files=part.images.paths)


@dataclass(frozen=True, slots=True, eq=False)
class _FileLoader:
    """Loads image i; can be sent to other processes."""

    paths: tuple[str, ...]
    upright: NDArray[np.bool_]
    sizes: NDArray[np.int32]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        path = Path(self.paths[index])
        image = read_image(path, upright=bool(self.upright[index]))
        height, width = self.sizes[index].tolist()
        if height and width and image.shape[:2] != (height, width):
            raise InputError(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels, but annotated as {width}x{height}; the file has "
                f"changed, or was not checked: set data.check=header"
            )
        return image


def _note_absent_classes(splits: Mapping[str, Split]) -> None:
    """Report each split without an object of some class."""
    for name, split in splits.items():
        truth = split.truth
        catalog: Catalog = truth.catalog
        present = set(truth.label[~(truth.crowd | truth.ignored)].tolist())
        absent = [cls for label, cls in enumerate(catalog.classes) if label not in present]
        if absent:
            more = f" and {len(absent) - 8} more" if len(absent) > 8 else ""
            names = ", ".join(absent[:8]) + more
            text = f"{name}: no object of {len(absent)} of {len(catalog.classes)} classes: {names}"
            report(Note("absent_classes", text, name, {"classes": len(absent), "of": len(catalog.classes)}))


def _dataset_name(path: Path) -> str:
    path = path.resolve()
    if path.is_dir() or path.stem in {"data", "dataset", "instances", "annotations", "_annotations.coco"}:
        return path.name if path.is_dir() else path.parent.name
    return path.stem
