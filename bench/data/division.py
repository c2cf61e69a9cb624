"""Division of images into the splits train, val and test: those that are given, and those that are drawn."""

from __future__ import annotations

import shlex
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.annotated_images import AnnotatedImages
from bench.data.checks import CheckedImages
from bench.data.folder_options import FolderOptions
from bench.data.folds import divide_fold
from bench.data.groups import groups_of, likely_groups
from bench.data.leaks import occurring_in
from bench.data.splits import Indices, hash_split, join_units, nearest_seed
from bench.data.types import SPLITS
from bench.data.union import has_distinct_ids, unite_images
from metrics.errors import InputError, InputWarning
from metrics.notes import Note, report
from metrics.plurals import agree, listed_counts, plural

_UNEVEN = 0.5
"""Relative deviation of a part's size from its share that is reported, with a seed whose parts are nearer."""


def require_distinct_purposes(
    parts: Sequence[AnnotatedImages], where: Path, files: Sequence[Path] = ()
) -> None:
    """Raise an `InputError` if two parts have the same purpose, because only the user knows which one is meant.

    Args:
        parts: parts of a data set.
        where: its folder or file.
        files: the file of each part, if each has one; the message names those of the same purpose.
    """
    purposes = [part.purpose for part in parts]
    for purpose in purposes:
        if purposes.count(purpose) > 1:
            same = [file for file, other in zip(files, purposes, strict=False) if other == purpose]
            names = f": {', '.join(file.name for file in same)}" if same else ""
            joined = (
                f", or join them: --data {shlex.quote(f'{same[0]}+{same[1]}')}" if len(set(same)) > 1 else ""
            )
            raise InputError(
                f"{where}: several sets of annotations for {purpose or 'no split'}{names}; give the path of one{joined}"
            )


def settle_purposes(parts: Sequence[AnnotatedImages], name: str = "") -> list[AnnotatedImages]:
    """The splits of one data set as it has been read, at most one of each purpose and none called trainval.

    The size of each part is reported. Parts that list the same files are one; trainval is used as train if there is no train.

    Args:
        parts: with the same classes, sorted: train, val, test, trainval.
        name: put before the split in messages, to distinguish parts.
    """
    for part in parts:
        _note_size(part, name)
    parts = _merge_repeated(parts)
    if any(part.purpose == "train" for part in parts):
        parts = [part for part in parts if part.purpose != "trainval"]
    return [replace(part, purpose="train") if part.purpose == "trainval" else part for part in parts]


def merge_given_splits(parts: Sequence[AnnotatedImages], setting: str) -> list[AnnotatedImages]:
    """All images without a split, so that splits are drawn; `setting` is why."""
    names = ", ".join(part.purpose for part in parts if part.purpose)
    if not names:
        return list(parts)
    report(Note("redrawn_splits", f"the given splits ({names}) are not used ({setting})", names))
    return [merge_purposes(parts, None)]


def merge_purposes(parts: Sequence[AnnotatedImages], purpose: str | None) -> AnnotatedImages:
    """All images of a data set as one split; ids that occur in two splits get the split's name."""
    ids = [part.truth.catalog.image_ids for part in parts]
    labels = None if has_distinct_ids(ids) else [part.purpose or "images" for part in parts]
    if labels is not None:
        text = f"image ids that occur in several splits get the name of the split as a prefix, as in {labels[0]}/{ids[0][0]}"
        report(Note("prefixed_ids", text, ", ".join(labels)))
    return unite_images(parts, purpose, labels)[0]


def _note_size(part: AnnotatedImages, of: str) -> None:
    name, images, objects = part.purpose or "all", len(part.paths), len(part.truth)
    report(
        Note(
            "split_size",
            f"{of} {name}: {plural(images, 'image')}, {plural(objects, 'object')}".strip(),
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


def divide_images(
    parts: Mapping[str | None, CheckedImages],
    own: Mapping[str, CheckedImages],
    contents: Mapping[Path, Hashable],
    options: FolderOptions,
) -> dict[str, CheckedImages]:
    """Train, val and test from the parts that exist; each split that is made is reported.

    Without test, val is halved, so that the best checkpoint is chosen on one half and evaluated on the other. An
    existing test split is left as it is. Images without a split beside others with one are divided among them.

    Args:
        parts: the images of each split, at most one of each purpose; None for images without a split.
        own: splits from elsewhere, which replace those of `parts`.
        contents: a key of each file, equal for equal files; see `bench.data.leaks.content_keys`.
        options: settings.
    """
    train, val, test = options.shares
    share = {name: size for name, size in zip(SPLITS, (train, val, test), strict=True) if name not in own}
    given = {purpose: part for purpose, part in parts.items() if purpose not in own}
    for name in own:
        if name in parts and len(parts) > 1:
            text = f"data.{name} replaces the {name} split of the data set, whose {plural(len(parts[name]), 'image is', 'images are')} not used"
            report(Note("replaced_split", text, name, {"images": len(parts[name])}))
    if len(parts) == 1:
        # A single split, whatever its name, says nothing about how images are to be divided.
        (whole,) = parts.values()
        if not share:
            text = f"the {plural(len(whole), 'image')} of the data set itself {agree(len(whole), 'is', 'are')} not used"
            report(Note("unused_images", text, values={"images": len(whole)}))
        why = "all images" if options.splits == "drawn" else "the data set has no splits: all images"
        given = _cut(whole, share, why, contents, options)
    elif None in given:
        rest = given.pop(None)
        if len(given) == 1:  # a val or test split alone is left as it is
            share = {name: size for name, size in share.items() if name == "train" or name not in given}
        given = _join_splits(rest, given, share, contents, options)
    for name, part in own.items():
        given[name] = part
    for name in SPLITS:
        if name in given:
            continue
        donor = _donor(name, given, own)
        wanted = {split: share[split] for split in SPLITS if split in (donor, name)}
        why = f"the data set has no {name} split: the images of {donor}"
        given |= _cut(given[donor], wanted, why, contents, options)
    return {name: given[name] for name in SPLITS}


def divide_into_folds(
    parts: Mapping[str | None, CheckedImages],
    own: Mapping[str, CheckedImages],
    contents: Mapping[Path, Hashable],
    options: FolderOptions,
) -> dict[str, CheckedImages]:
    """Train, val and test of one fold of all images, see `bench.data.folds`; the arguments are those of `divide_images`.

    Raises:
        InputError: a split is from elsewhere, or there are too few images or groups.
    """
    if own:
        name = next(iter(own))
        raise InputError(
            f"data.{name}: a split from elsewhere, but data.folds divides all images into folds; leave data.{name} out, or join "
            "both data sets with --data a+b"
        )
    (whole,) = parts.values()
    train, val, _ = options.shares
    names = image_names(whole.images)
    indices = divide_fold(whole.images.truth, names, _units(whole, contents), options, val / (train + val))
    if groups_of(whole.images) is None:
        _warn_of_divided_groups(whole.images, list(indices.values()), list(indices))
    return {name: whole.select(chosen) for name, chosen in indices.items()}


def image_names(images: AnnotatedImages) -> list[str]:
    """The name that determines the split of each image: its group's, or that of its file without suffix."""
    return list(groups_of(images) or (path.stem for path in images.paths))


def _donor(missing: str, given: Mapping[str | None, CheckedImages], own: Mapping[str, CheckedImages]) -> str:
    """The split whose images a missing one is taken from: never one from elsewhere, and never test."""
    for name in ("train",) if missing == "val" else ("val", "train"):
        if name in given and name not in own:
            return name
    raise InputError(
        f"the data set has no {missing} split, and no other split that images can be taken from; give one with "
        f"--set data.{missing}=PATH"
    )


def _join_splits(
    rest: CheckedImages,
    given: Mapping[str | None, CheckedImages],
    shares: Mapping[str, float],
    contents: Mapping[Path, Hashable],
    options: FolderOptions,
) -> dict[str | None, CheckedImages]:
    """The given splits and those of `shares`, among which images that have none are divided.

    Images that have a copy, or an image of their group, in a given split of `shares` go there.
    """
    units = _units(rest, contents)
    place = np.full(int(units.max(initial=-1)) + 1, -1)
    groups = groups_of(rest.images)
    for number, name in enumerate(shares):
        if name in given:
            there = {contents[path] for path in given[name].images.paths}
            shared = occurring_in([contents[path] for path in rest.images.paths], there)
            if groups is not None:
                shared |= occurring_in(groups, groups_of(given[name].images) or ())
            place[units[shared]] = number
    of_image = place[units]
    free = rest.select(np.flatnonzero(of_image < 0))
    required = not all(name in given for name in shares)
    why = "images of parts without splits"
    if required and int(_units(free, contents).max(initial=-1)) + 1 < len(
        shares
    ):  # nearly all are copies of given images
        whole = _unite([*(given[name] for name in shares if name in given), rest])
        return {**given, **_cut(whole, shares, f"{why}, and the given ones,", contents, options)}
    if len(free) < len(rest):
        text = f"{len(rest) - len(free):,} {why} have the same content as a given image, or are in its group, and are in its split"
        report(Note("bound_images", text, ", ".join(shares), {"images": len(rest) - len(free)}))
    made = _cut(free, shares, why, contents, options, required)
    joined = dict(given)
    for number, name in enumerate(shares):
        here = [rest.select(np.flatnonzero(of_image == number)), made[name]]
        joined[name] = _unite([*([given[name]] if name in given else []), *here])
    return joined


def _units(part: CheckedImages, contents: Mapping[Path, Hashable]) -> NDArray[np.intp]:
    """(I,) unit of each image: images of one group, and equal ones, are in one."""
    keys = [contents[path] for path in part.images.paths]
    groups = groups_of(part.images)
    return join_units(keys) if groups is None else join_units(keys, groups)


def _unite(pieces: Sequence[CheckedImages]) -> CheckedImages:
    if len(pieces) == 1:
        return pieces[0]
    images, order = unite_images([piece.images for piece in pieces], pieces[0].images.purpose)
    return CheckedImages(images, np.concatenate([piece.upright for piece in pieces])[order])


def _cut(
    part: CheckedImages,
    shares: Mapping[str, float],
    why: str,
    contents: Mapping[Path, Hashable],
    options: FolderOptions,
    required: bool = True,
) -> dict[str | None, CheckedImages]:
    """Parts of the images with these shares, none empty if `required`; images of one group, and equal ones, are in one part."""
    if len(shares) < 2:
        return dict.fromkeys(shares, part)
    groups = groups_of(part.images)
    names = image_names(part.images)
    units = _units(part, contents)
    count = int(units.max(initial=-1)) + 1
    if required and count < len(shares) and groups is not None and len(part) >= len(shares):
        raise InputError(
            f"{why} are in {plural(len(set(groups)), 'group')} (data.groups={options.groups}), too few for {', '.join(shares)}; use a "
            f"finer grouping, or give the splits with data.val=PATH and data.test=PATH"
        )
    if required and count < len(shares):
        text = (
            f"{why} ({len(part):,}) are too few to split, so {', '.join(shares)} are the same images and results only show "
            f"whether training works; add images"
        )
        report(Note("too_few_to_split", text, ", ".join(shares), {"images": len(part)}), InputWarning)
        return dict.fromkeys(shares, part)
    indices = hash_split(names, list(shares.values()), options.seed, units, required)
    counts = {name: len(chosen) for name, chosen in zip(shares, indices, strict=True)}
    listed = listed_counts(counts)
    by = "their names" if groups is None else f"their {plural(len(set(groups)), 'group')}"
    text = f"{why} are split by a hash of {by} and seed {options.seed}: {listed}"
    report(Note("made_splits", text, ", ".join(counts), counts))
    copies = len(part) - len({contents[path] for path in part.images.paths})
    if copies:
        text = f"{copies} of these images have the same content as another one, and are in the split of the other one"
        report(Note("equal_images", text, ", ".join(counts), {"images": copies}))
    if groups is None:
        _warn_of_divided_groups(part.images, indices, list(counts))
    else:
        _report_uneven(names, list(shares.values()), units, counts, options.seed)
    return {name: part.select(chosen) for name, chosen in zip(shares, indices, strict=True)}


def _warn_of_divided_groups(images: AnnotatedImages, parts: Sequence[Indices], names: Sequence[str]) -> None:
    """Warn of each field of the images that seems to group them and whose groups the splits divide."""
    part_of = np.zeros(len(images.paths), np.intp)
    for number, indices in enumerate(parts):
        part_of[indices] = number
    for name, column in likely_groups(images).items():
        seen: dict[str, set[int]] = {}
        for value, number in zip(column, part_of.tolist(), strict=True):
            if value is not None:
                seen.setdefault(value, set()).add(number)
        divided = sum(len(numbers) > 1 for numbers in seen.values())
        if divided:
            text = (
                f"images have a field {name!r}, and for {divided} of its {plural(len(seen), 'value')} the images are in several of "
                f"{', '.join(names)}; if they are alike, results are too optimistic: keep them together with "
                f"--set data.groups={name}"
            )
            report(Note("divided_groups", text, name, {"divided": divided, "of": len(seen)}), InputWarning)


def _report_uneven(
    groups: Sequence[str],
    shares: Sequence[float],
    units: NDArray[np.intp],
    counts: Mapping[str, int],
    seed: int,
) -> None:
    """Report parts whose sizes are far from their shares, with a seed that gives nearer ones, if there is any."""
    wanted = np.array(shares) / sum(shares) * len(groups)
    if (abs(np.array(list(counts.values())) - wanted) <= _UNEVEN * wanted).all():
        return
    other, sizes = nearest_seed(groups, shares, seed, units)
    better = (abs(np.array(sizes) - wanted) / wanted).max() < (
        abs(np.array(list(counts.values())) - wanted) / wanted
    ).max()
    nearer = listed_counts(dict(zip(counts, sizes, strict=True)))
    advice = (
        f"--set data.seed={other} gives {nearer}"
        if better
        else "none of the next 100 seeds gives nearer ones"
    )
    goal = ", ".join(f"{name} {size:.0f}" for name, size in zip(counts, wanted, strict=True))
    text = f"groups are not divided, so the splits differ from their shares ({goal}); {advice}"
    report(Note("uneven_groups", text, ", ".join(counts), counts))
