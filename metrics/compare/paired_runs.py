"""Runs to compare: matched, and verified to use the same ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.match_rule import MatchRule
from metrics.matching import Matches, match
from metrics.notes import Note
from metrics.plurals import plural
from metrics.tables import AnnotationTable, DetectionTable, ImageId

Run = Matches | tuple[AnnotationTable, DetectionTable]
"""One run: its matches, or ground truth and detections that are still to be matched."""

Runs = Mapping[str, Run | Sequence[Run]]
"""By model: one run, or one run per training seed."""

ImageChoice = Literal["same", "intersection"]


@dataclass(frozen=True, eq=False)
class PairedRuns:
    """Runs on the same images.

    Attributes:
        matches: of each model one or more, in the order given; all under one rule.
        kept: (I,) indices of the compared images among those of the first run.
        notes: which images were left out.
    """

    matches: dict[str, tuple[Matches, ...]]
    kept: NDArray[np.intp]
    notes: tuple[Note, ...]

    @property
    def first(self) -> Matches:
        """The first run."""
        return next(iter(self.matches.values()))[0]

    @property
    def rule(self) -> MatchRule:
        """Match rule of all runs."""
        return self.first.rule

    @property
    def truth(self) -> AnnotationTable:
        """Ground truth of all runs."""
        return self.first.truth

    @property
    def image_ids(self) -> tuple[ImageId, ...]:
        """I ids."""
        return self.truth.catalog.image_ids


def pair_runs(runs: Runs, rule: MatchRule | None = None, images: ImageChoice = "same") -> PairedRuns:
    """Match the runs that are not matched yet and check that all have the same ground truth.

    Args:
        runs: by model.
        rule: for runs given as tables; by default the rule of the first matches, or COCO's.
        images: ``same`` rejects runs with different ground truth; ``intersection`` compares on the images whose ground truth
            is the same in all runs, and adds a note with their number.

    Raises:
        InputError: no runs, no images, or different rules, classes or ground truth.
    """
    by_model = {model: _as_list(model, given) for model, given in runs.items()}
    if not by_model:
        raise InputError("compare: no runs were given; give at least one model")
    if images not in ("same", "intersection"):
        raise InputError(f"images: expected 'same' or 'intersection', got {images!r}")
    pairs = [(model, run) for model, given in by_model.items() for run in given]
    rule = rule or next((run.rule for _, run in pairs if isinstance(run, Matches)), MatchRule())
    first_model = pairs[0][0]
    truths = [(model, _tables(run)[0]) for model, run in pairs]
    kept = common_images(truths, images)
    sizes = sorted({len(truth.catalog.image_ids) for _, truth in truths})
    subset = sizes[-1] > len(kept)
    notes = []
    if subset:
        listed = " and ".join(f"{size:,}" for size in sizes)
        text = f"compared on the {plural(len(kept), 'image')} whose ground truth all runs share (the runs have {listed})"
        notes.append(Note("shared_images", text, values={"shared": len(kept), "most": sizes[-1]}))
    truth = truths[0][1].select(kept) if subset else truths[0][1]
    matches: dict[str, list[Matches]] = {model: [] for model in by_model}
    for model, run in pairs:
        if subset or not isinstance(run, Matches):
            matches[model].append(match(truth, detections_on(truth, _tables(run)[1]), rule))
        elif run.rule == rule:
            matches[model].append(run)
        else:
            raise InputError(
                f"compare: {model} and {first_model} were matched under different rules; use the same MatchRule for both"
            )
    return PairedRuns({model: tuple(given) for model, given in matches.items()}, kept, tuple(notes))


def common_images(
    truths: Sequence[tuple[str, AnnotationTable]], images: ImageChoice = "intersection"
) -> NDArray[np.intp]:
    """Return the indices, in the first table, of the images that have the same objects in all tables.

    Args:
        truths: ground truth, each with the name of its model.
        images: ``same`` rejects tables that differ.

    Raises:
        InputError: no images, different classes, no common image, or different ground truth where it must be the same.
    """
    first_model, truth = truths[0]
    if not truth.catalog.image_ids:
        raise InputError(f"compare: {first_model} was evaluated on no images")
    shared = np.ones(len(truth.catalog.image_ids), np.bool_)
    for model, other in truths[1:]:
        _check_classes(first_model, truth, model, other)
        shared &= _shared(truth, other)
        if images == "same":
            _check_truth(first_model, truth, model, other)
    if not shared.any():
        raise InputError(
            "compare: no image has the same ground truth in all runs; evaluate them on the same split"
        )
    return np.flatnonzero(shared)


def detections_on(truth: AnnotationTable, detections: DetectionTable) -> DetectionTable:
    """Return the detections on the images of `truth`, with its catalog."""
    if detections.catalog == truth.catalog:
        return detections
    ids = set(truth.catalog.image_ids)
    part = detections.select(
        [index for index, image in enumerate(detections.catalog.image_ids) if image in ids]
    )
    return DetectionTable(truth.catalog, part.image, part.label, part.xywh, part.score)


def _as_list(model: str, given: Run | Sequence[Run]) -> list[Run]:
    if isinstance(given, Matches):
        return [given]
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], AnnotationTable):
        return [(given[0], given[1])]
    runs = list(given)
    for run in runs:
        is_pair = isinstance(run, tuple) and len(run) == 2 and isinstance(run[1], DetectionTable)
        if not (isinstance(run, Matches) or is_pair):
            raise InputError(
                f"compare: {model}: expected Matches or (truth, detections) for each seed, got {type(run).__name__}"
            )
    if not runs:
        raise InputError(f"compare: {model} has no runs; remove it")
    return runs


def _tables(run: Run) -> tuple[AnnotationTable, DetectionTable]:
    return (run.truth, run.detections) if isinstance(run, Matches) else run


def _check_classes(first: str, truth: AnnotationTable, model: str, other: AnnotationTable) -> None:
    if truth.catalog.classes == other.catalog.classes:
        return
    ours, theirs = set(truth.catalog.classes), set(other.catalog.classes)
    difference = ", ".join(map(repr, sorted(ours ^ theirs)[:5])) or "in another order"
    raise InputError(
        f"compare: {first} and {model} were evaluated on different classes ({difference}); evaluate both on the same data set"
    )


def _check_truth(first: str, truth: AnnotationTable, model: str, other: AnnotationTable) -> None:
    ours, theirs = truth.catalog.image_ids, other.catalog.image_ids
    shared = _shared(truth, other)
    if shared.all() and len(ours) == len(theirs):
        return
    both = len({*ours} & {*theirs})
    if both < max(len(ours), len(theirs)):
        detail = f"different images ({len(ours):,} and {len(theirs):,}, {both:,} in both)"
    else:
        image = ours[int(np.argmin(shared))]
        detail = f"different objects in {np.count_nonzero(~shared):,} of {plural(len(ours), 'image')}, first in image {image!r}"
    raise InputError(
        f"compare: {first} and {model} were evaluated on {detail}; evaluate both on the same split, or pass"
        f" images='intersection' to compare on the {plural(int(np.count_nonzero(shared)), 'image')} whose ground truth they share"
    )


def _shared(truth: AnnotationTable, other: AnnotationTable) -> NDArray[np.bool_]:
    """(I,) whether each image of `truth` has the same objects in `other`, in any order."""
    if truth is other or truth.fingerprint == other.fingerprint:
        return np.ones(len(truth.catalog.image_ids), np.bool_)
    ours, theirs = _contents(truth), _contents(other)
    index_in_other = {image: index for index, image in enumerate(other.catalog.image_ids)}
    return np.array(
        [
            image in index_in_other and ours[index] == theirs[index_in_other[image]]
            for index, image in enumerate(truth.catalog.image_ids)
        ],
        np.bool_,
    )


def _contents(truth: AnnotationTable) -> list[bytes]:
    """The objects of each image as bytes, independent of their order and ids."""
    columns = (
        np.column_stack([truth.image, truth.label, truth.xywh, truth.area, truth.crowd, truth.ignored]) + 0.0
    )
    columns = columns[np.lexsort(columns.T[::-1])]
    edges = np.searchsorted(columns[:, 0], np.arange(len(truth.catalog.image_ids) + 1))
    return [columns[first:last, 1:].tobytes() for first, last in pairwise(edges)]
