"""Data sets of image files: annotated images become the splits train, val and test."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.data.annotated_images import AnnotatedImages
from bench.data.checks import CheckedImages, check_images
from bench.data.contents import content_digests
from bench.data.division import divide_images, divide_into_folds, image_names
from bench.data.file_images import FileImages
from bench.data.folder_options import FolderOptions
from bench.data.folds import limit_training
from bench.data.groups import groups_of
from bench.data.label_maps import FileLabelMaps
from bench.data.leaks import content_keys, find_leaks, occurring_in
from bench.data.types import SPLITS, Dataset, Split, require_objects
from metrics.errors import InputWarning
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from metrics.tables import Catalog


def assemble_dataset(
    name: str,
    format: str,
    path: Path | None,
    parts: Sequence[AnnotatedImages],
    options: FolderOptions,
    own: Mapping[str, AnnotatedImages] | None = None,
) -> Dataset:
    """Make a data set of what a format has read: check the files, split, look for leakage.

    Args:
        name: of the data set.
        format: name of the format.
        path: the folder or file that was opened; None if there are several.
        parts: the images of each split, or all images without a split, with the same classes.
        options: settings.
        own: images from elsewhere to use as a split, by its name; with the same classes.

    Raises:
        InputError: images are missing or broken, boxes are not in pixels, or a split has no valid object.
    """
    own = own or {}
    given = {part.purpose: check_images(part, options) for part in parts}
    checked = {name: check_images(part, options) for name, part in own.items()}
    everything = (*given.values(), *checked.values())
    contents = content_keys(path for part in everything for path in part.images.paths)
    if options.folds is None:
        by_split = divide_images(given, checked, contents, options)
    else:
        by_split = divide_into_folds(given, checked, contents, options)
    if options.leaks == "dropped":
        by_split = _without_leaks(by_split, contents)
    if options.train_images is not None and options.train_images != len(by_split["train"]):
        train = by_split["train"]
        chosen = limit_training(train.images.truth, image_names(train.images), options)
        by_split["train"] = train.select(chosen)
    leaked = _report_leaks(by_split, contents)
    splits = {name: require_objects(_make_split(name, by_split[name])) for name in SPLITS}
    _note_absent_classes(splits)
    digest = hashlib.sha256("".join(split.fingerprint for split in splits.values()).encode())
    for part in by_split.values():
        digest.update(_partition(part))
    masks = (
        partial(_mask_fingerprint, splits) if any(split.describe_masks for split in splits.values()) else None
    )
    return Dataset(name, format, path, splits, digest.hexdigest(), leaked=leaked, mask_fingerprint=masks)


def _mask_fingerprint(splits: Mapping[str, Split]) -> str:
    """See `Dataset.mask_fingerprint`."""
    described = [
        split.describe_masks().fingerprint if split.describe_masks else "" for split in splits.values()
    ]
    return hashlib.sha256(" ".join(described).encode()).hexdigest()


def _without_leaks(
    by_split: Mapping[str, CheckedImages], contents: Mapping[Path, Hashable]
) -> dict[str, CheckedImages]:
    """Without the images of train that are also in val or test, and those of val that are also in test."""
    keys = {name: [contents[path] for path in part.images.paths] for name, part in by_split.items()}
    groups = {name: groups_of(part.images) for name, part in by_split.items()}
    kept = dict(by_split)
    for place, name in enumerate(SPLITS[:-1]):
        later = [other for other in SPLITS[place + 1 :] if by_split[other] is not by_split[name]]
        copies = occurring_in(keys[name], (key for other in later for key in keys[other]))
        of_group = occurring_in(groups[name] or (), (key for other in later for key in groups[other] or ()))
        leaked = copies | of_group if len(of_group) else copies
        if leaked.any():
            text = (
                f"{name}: {leaked.sum():,} of {plural(len(leaked), 'image')} {agree(leaked.sum(), 'is', 'are')} dropped, because {' or '.join(later)} has the same "
                f"image or another one of its group (data.leaks=dropped)"
            )
            report(Note("dropped_leaks", text, name, {"images": int(leaked.sum()), "of": len(leaked)}))
            kept[name] = by_split[name].select(np.flatnonzero(~leaked))
    return kept


def _report_leaks(by_split: Mapping[str, CheckedImages], contents: Mapping[Path, Hashable]) -> dict[str, int]:
    """Warn of images in two splits, and return how many images of val and test are also in an earlier split."""
    # The same images in several splits were reported already.
    distinct = {id(part): (name, part) for name, part in by_split.items()}
    paths = {name: part.images.paths for name, part in distinct.values()}
    groups = {name: of for name, part in distinct.values() if (of := groups_of(part.images)) is not None}
    for leak in find_leaks(paths, groups if len(groups) == len(paths) else None, contents):
        text = f"leakage: {leak}"
        if leak.kind != "repeated_images":
            text += "; leave them out with --set data.leaks=dropped, or draw new splits with --set data.splits=drawn"
        report(replace(leak, text=text), InputWarning)
    keys = {name: [contents[path] for path in part.images.paths] for name, part in by_split.items()}
    leaked = {}
    for place, name in enumerate(SPLITS[1:], start=1):
        shared = occurring_in(keys[name], (key for other in SPLITS[:place] for key in keys[other]))
        if len(groups) == len(paths):
            of_group = [groups_of(by_split[other].images) or () for other in SPLITS[:place]]
            shared |= occurring_in(
                groups_of(by_split[name].images) or (), (k for one in of_group for k in one)
            )
        leaked[name] = int(shared.sum())
    return leaked


def _partition(part: CheckedImages) -> bytes:
    """Which images share a group, whatever the groups are called; nothing without groups."""
    groups = groups_of(part.images)
    if groups is None:
        return b""
    number: dict[str, int] = {}
    return np.array([number.setdefault(group, len(number)) for group in groups], "<i8").tobytes()


def _make_split(name: str, part: CheckedImages) -> Split:
    truth = part.images.truth
    digest = hashlib.sha256(f"{name} {truth.fingerprint}".encode())
    for content in content_digests(part.images.paths):
        digest.update(content)
    load = FileImages(tuple(map(str, part.images.paths)), part.upright, truth.catalog.sizes)
    split = Split(name, truth, load, digest.hexdigest(), files=part.images.paths)
    masks = part.images.masks
    if masks is None or not any(masks):
        return split
    maps = FileLabelMaps(name, masks, split.files, part.upright, truth.catalog.sizes)
    return replace(split, label_maps=maps, describe_masks=maps.describe)


def _note_absent_classes(splits: Mapping[str, Split]) -> None:
    """Report each split without an object of some class."""
    for name, split in splits.items():
        truth = split.truth
        catalog: Catalog = truth.catalog
        present = set(truth.label[~(truth.crowd | truth.ignored)].tolist())
        absent = [cls for label, cls in enumerate(catalog.classes) if label not in present]
        if absent:
            more = f" and {len(absent) - 8:,} more" if len(absent) > 8 else ""
            names = ", ".join(absent[:8]) + more
            text = f"{name}: no object of {len(absent):,} of {plural(len(catalog.classes), 'class')}: {names}"
            report(Note("absent_classes", text, name, {"classes": len(absent), "of": len(catalog.classes)}))
