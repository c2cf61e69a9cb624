"""Counts of a split: images, objects by class, image sizes, box sizes and aspects, centres."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.survey.subject import SplitSubject
from metrics.notes import Note
from reports.records.data_check import (
    GRID,
    MAX_SIZES,
    QUANTILES,
    Distribution,
    Finding,
    ImageSize,
    SplitFacts,
)

Origin = Literal["given", "made", "fold", "shared", "drawn"]

SIZE_EDGES = tuple(float(2 ** (k / 4)) for k in range(-4, 53))
"""Limits of the bins of box sizes: four per doubling, from half a pixel to 8,192."""

ASPECT_EDGES = tuple(float(2 ** (k / 4)) for k in range(-24, 25))
"""Limits of the bins of aspect ratios: four per doubling, from 1:64 to 64:1."""


def split_facts(subject: SplitSubject, origin: Origin) -> SplitFacts:
    """Count the images and objects of a split."""
    truth, valid = subject.split.truth, subject.valid
    catalog = truth.catalog
    classes, images = len(catalog.classes), len(catalog.image_ids)
    pairs = np.unique(np.stack([truth.label[valid], truth.image[valid]]), axis=1)[0]
    each = np.bincount(truth.image[valid], minlength=images)
    number, with_number = np.unique(each, return_counts=True)
    sizes, unknown = _sizes(catalog.sizes)
    targets = subject.targets
    sides, input_sides = truth.xywh[targets, 2:], subject.input_sides[targets]
    return SplitFacts(
        name=subject.name,
        origin=origin,
        images=images,
        objects=len(truth),
        crowd=int(truth.crowd.sum()),
        ignored=int((truth.ignored & ~truth.crowd).sum()),
        empty_images=images - len(np.unique(truth.image)),
        objects_by_class=tuple(np.bincount(truth.label[valid], minlength=classes).tolist()),
        images_by_class=tuple(np.bincount(pairs, minlength=classes).tolist()),
        objects_per_image=dict(zip(number.tolist(), with_number.tolist(), strict=True)),
        sizes=tuple(sizes[:MAX_SIZES]),
        other_sizes=sum(size.images for size in sizes[MAX_SIZES:]),
        unknown_sizes=unknown,
        box_size=distribution(np.sqrt(sides.prod(1)), SIZE_EDGES),
        box_input_size=distribution(np.sqrt(input_sides.prod(1)), SIZE_EDGES),
        box_aspect=distribution(sides[:, 0] / sides[:, 1], ASPECT_EDGES),
        centers=_centers(subject),
    )


def distribution(values: NDArray[np.float64], edges: Sequence[float]) -> Distribution:
    """Quantiles and histogram of the finite values."""
    values = values[np.isfinite(values)]
    place = np.searchsorted(edges, values, side="right") - 1
    counts = np.bincount(place.clip(0, len(edges) - 2), minlength=len(edges) - 1)
    quantiles = np.quantile(values, QUANTILES).tolist() if len(values) else [None] * len(QUANTILES)
    return Distribution(
        count=len(values), quantiles=tuple(quantiles), edges=tuple(edges), counts=tuple(counts.tolist())
    )


def origins(splits: Sequence[str], notes: Sequence[Note]) -> dict[str, Origin]:
    """How each split came about, by the notes of opening."""
    found: dict[str, Origin] = dict.fromkeys(splits, "given")
    for note in notes:
        if note.kind == "drawn":
            found = dict.fromkeys(splits, "drawn")
        elif note.kind == "made_splits":
            found |= {name: "made" for name in splits if name in note.values}
        elif note.kind == "fold":
            found |= {name: "fold" for name in splits if name in note.values}
        elif note.kind == "too_few_to_split":
            found |= {name: "shared" for name in splits if name in note.subject.split(", ")}
    return found


def count_findings(subject: SplitSubject, facts: SplitFacts) -> list[Finding]:
    """Images without objects, crowd and ignored objects, and classes without an object in this split."""
    truth = subject.split.truth
    found = []
    if facts.empty_images:
        empty = np.setdiff1d(np.arange(facts.images), truth.image)
        found.append(
            Finding(
                kind="empty_images",
                severity="information",
                subject=facts.name,
                count=facts.empty_images,
                of=facts.images,
                examples=subject.image_examples(empty.tolist()),
            )
        )
    for kind, mask in (("crowd_objects", truth.crowd), ("ignored_objects", truth.ignored & ~truth.crowd)):
        if mask.any():
            found.append(
                Finding(
                    kind=kind,
                    severity="information",
                    subject=facts.name,
                    count=int(mask.sum()),
                    of=facts.objects,
                    examples=subject.object_examples(np.flatnonzero(mask).tolist()),
                )
            )
    return found


def _sizes(sizes: NDArray[np.int32]) -> tuple[list[ImageSize], int]:
    """Known sizes, the most frequent first, and the number of images of unknown size."""
    counts = Counter(map(tuple, sizes.tolist()))
    unknown = sum(count for size, count in counts.items() if 0 in size)
    known = sorted((-count, *size) for size, count in counts.items() if 0 not in size)
    return [ImageSize(height=h, width=w, images=-count) for count, h, w in known], unknown


def _centers(subject: SplitSubject) -> tuple[tuple[int, ...], ...]:
    truth, targets = subject.split.truth, subject.targets
    sizes = truth.catalog.sizes[truth.image[targets]][:, ::-1].astype(np.float64)
    known = (sizes > 0).all(1)
    xywh = truth.xywh[targets][known]
    relative = (xywh[:, :2] + xywh[:, 2:] / 2) / sizes[known]
    cell = np.floor(relative * GRID).astype(np.int64).clip(0, GRID - 1)
    counts = np.bincount(cell[:, 1] * GRID + cell[:, 0], minlength=GRID * GRID).reshape(GRID, GRID)
    return tuple(map(tuple, counts.tolist()))
