"""Fixes of images: unreadable files, copies within a split and across splits, EXIF rotation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from bench.convert.image_set import ImageSet, Picture
from bench.convert.orientation import upright_boxes
from bench.data.contents import content_digests
from bench.data.images import read_image
from bench.fix.boxes import Fixed
from bench.fix.changes import Change
from bench.process.progress import Progress
from metrics.errors import InputError

_KEPT_FIRST = ("test", "val", "train", None)
"""Order in which splits keep an image that several have: results on test and val stay comparable."""

_THREADS = 4


def remove_unreadable(sets: Sequence[ImageSet], progress: Progress | None = None) -> Fixed:
    """Remove images that cannot be decoded, with their objects; every file is read.

    Args:
        sets: images and objects.
        progress: display; none by default.
    """
    total = sum(len(one.pictures) for one in sets)
    fixed: list[ImageSet] = []
    changes: list[Change] = []
    with (progress or Progress()).stage("read images", total) as stage, ThreadPoolExecutor(_THREADS) as pool:
        for one in sets:
            problems = []
            for problem in pool.map(_problem, one.pictures):
                problems.append(problem)
                stage.advance()
            changes += [
                Change("unreadable_images", "removed", one.purpose or "", picture.name, detail=problem)
                for picture, problem in zip(one.pictures, problems, strict=True)
                if problem
            ]
            readable = np.array([not problem for problem in problems], np.bool_)
            fixed.append(one if readable.all() else one.select(readable))
    return fixed, changes


def remove_copies(sets: Sequence[ImageSet]) -> Fixed:
    """Keep one of the images with the same bytes: in test rather than val rather than train.

    Of several in one split, the one with most objects stays, or else the first. Its annotations are not changed.
    """
    copies: dict[bytes, list[tuple[int, int]]] = defaultdict(list)
    for number, one in enumerate(sets):
        files = [picture.file for picture in one.pictures]
        known = [(k, file) for k, file in enumerate(files) if file is not None]
        digests = content_digests([file for _, file in known])
        for (k, _), digest in zip(known, digests, strict=True):
            copies[digest].append((number, k))
    counts = [np.bincount(one.truth.image, minlength=len(one.pictures)) for one in sets]
    kept = [np.ones(len(one.pictures), np.bool_) for one in sets]
    changes: list[Change] = []
    for places in copies.values():
        if len(places) < 2:
            continue
        best, *others = sorted(
            places, key=lambda at: (_KEPT_FIRST.index(sets[at[0]].purpose), -counts[at[0]][at[1]], at)
        )
        keeper = sets[best[0]]
        where = f"{keeper.purpose}: " if keeper.purpose else ""
        for number, k in others:
            one = sets[number]
            kept[number][k] = False
            kind = "repeated_images" if number == best[0] else "leakage"
            detail = f"{where}{keeper.pictures[best[1]].name} is kept"
            changes.append(Change(kind, "removed", one.purpose or "", one.pictures[k].name, detail=detail))
    return [one if mask.all() else one.select(mask) for one, mask in zip(sets, kept, strict=True)], changes


def make_upright(sets: Sequence[ImageSet]) -> Fixed:
    """Apply EXIF rotation to the pixels, and to the boxes of annotations that ignore it."""
    fixed: list[ImageSet] = []
    changes: list[Change] = []
    for one in sets:
        rotated = [k for k, picture in enumerate(one.pictures) if picture.orientation != 1]
        if not rotated:
            fixed.append(one)
            continue
        xywh, sizes = one.truth.xywh.copy(), one.truth.catalog.sizes.copy()
        pictures = list(one.pictures)
        for k in rotated:
            picture = pictures[k]
            detail = f"orientation {picture.orientation}"
            if picture.stored_boxes:
                height, width = sizes[k].tolist()
                rows = one.truth.image == k
                xywh[rows] = upright_boxes(xywh[rows], picture.orientation, (height, width))
                sizes[k] = (width, height) if picture.orientation >= 5 else (height, width)
                detail += "; boxes turned with the image"
            pictures[k] = replace(picture, made_upright=True, stored_boxes=False, orientation=1)
            changes.append(
                Change("rotated_images", "changed", one.purpose or "", picture.name, detail=detail)
            )
        catalog = replace(one.truth.catalog, sizes=sizes)
        truth = replace(one.truth, catalog=catalog, xywh=xywh)
        fixed.append(replace(one, truth=truth, pictures=tuple(pictures)))
    return fixed, changes


def _problem(picture: Picture) -> str:
    if picture.file is None:
        return ""
    try:
        read_image(picture.file)
    except InputError as error:
        return str(error)
    return ""
