"""The runs that are compared: matched, and sure to answer to the same truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.matching import Matches, MatchRule, match
from metrics.tables import AnnotationTable, DetectionTable, ImageId

Run = Matches | tuple[AnnotationTable, DetectionTable]
"""One run: its matches, or truth and detections to be matched."""

Runs = Mapping[str, Run | Sequence[Run]]
"""By model: a run, or one for each seed with which it was trained."""

ImageChoice = Literal["same", "intersection"]


@dataclass(frozen=True, eq=False)
class PairedRuns:
    """Runs on the same images.

    Attributes:
        matches: of each model, one or more, in the order in which they were given; all of one rule.
        kept: (I,) index of each image among those of the first run as it was given.
        notes: what was left out.
    """

    matches: dict[str, tuple[Matches, ...]]
    kept: NDArray[np.intp]
    notes: tuple[str, ...]

    @property
    def first(self) -> Matches:
        """The first run, whose truth is everyone's."""
        return next(iter(self.matches.values()))[0]

    @property
    def rule(self) -> MatchRule:
        """Under which all are matched."""
        return self.first.rule

    @property
    def truth(self) -> AnnotationTable:
        """Everyone's."""
        return self.first.truth

    @property
    def image_ids(self) -> tuple[ImageId, ...]:
        """I ids."""
        return self.truth.catalog.image_ids


def pair_runs(runs: Runs, rule: MatchRule | None = None, images: ImageChoice = "same") -> PairedRuns:
    """Match what is not matched yet, and see that all answer to the same truth.

    Args:
        runs: by model.
        rule: for runs that are given as tables; by default that of the first matches, or COCO's.
        images: ``same`` refuses runs with different truth; ``intersection`` compares on the images whose truth all
            runs share, and says how many it left out.

    Raises:
        InputError: no runs, no images, different rules, different classes, or different truth.
    """
    listed = {model: _as_list(model, given) for model, given in runs.items()}
    if not listed:
        raise InputError("compare: no runs were given; give at least one model")
    if images not in ("same", "intersection"):
        raise InputError(f"images: expected 'same' or 'intersection', got {images!r}")
    every = [(model, run) for model, given in listed.items() for run in given]
    rule = rule or next((run.rule for _, run in every if isinstance(run, Matches)), MatchRule())
    first_model, first_run = every[0]
    truth = _tables(first_run)[0]
    truths = [(model, _tables(run)[0]) for model, run in every]
    kept = common_images(truths, images)
    cut = any(len(other.catalog.image_ids) > len(kept) for _, other in truths)
    notes = []
    if cut:
        counts = sorted({len(other.catalog.image_ids) for _, other in truths})
        of = " and ".join(f"{count:,}" for count in counts)
        notes.append(f"compared on the {len(kept):,} images whose truth all runs share (they have {of})")
    common = truth.select(kept) if cut else truth
    matches: dict[str, list[Matches]] = {model: [] for model in listed}
    for model, run in every:
        if cut or not isinstance(run, Matches):
            found = _tables(run)[1]
            matches[model].append(match(common, detections_on(common, found), rule))
        elif _same_rule(run.rule, rule):
            matches[model].append(run)
        else:
            raise InputError(
                f"compare: {model} was matched under another rule than {first_model}; match both under the same MatchRule"
            )
    return PairedRuns({model: tuple(given) for model, given in matches.items()}, kept, tuple(notes))


def common_images(
    truths: Sequence[tuple[str, AnnotationTable]], images: ImageChoice = "intersection"
) -> NDArray[np.intp]:
    """Places, among the images of the first truth, of those that have the same objects in all.

    Args:
        truths: each with the name of its model.
        images: ``same`` refuses truths that differ.

    Raises:
        InputError: no images, different classes, different truth where it must be the same, or no image in common.
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
        raise InputError("compare: no image has the same truth in all runs; evaluate them on the same split")
    return np.flatnonzero(shared)


def detections_on(truth: AnnotationTable, found: DetectionTable) -> DetectionTable:
    """The detections in the images of `truth`, on its catalog."""
    if found.catalog == truth.catalog:
        return found
    wanted = set(truth.catalog.image_ids)
    part = found.select([index for index, image in enumerate(found.catalog.image_ids) if image in wanted])
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
                f"compare: {model}: expected Matches or (truth, found) for each seed, got {type(run).__name__}"
            )
    if not runs:
        raise InputError(f"compare: {model} has no run; leave it out")
    return runs


def _tables(run: Run) -> tuple[AnnotationTable, DetectionTable]:
    return (run.truth, run.detections) if isinstance(run, Matches) else run


def _same_rule(one: MatchRule, other: MatchRule) -> bool:
    return (
        one.iou_thresholds == other.iou_thresholds
        and dict(one.area_ranges) == dict(other.area_ranges)
        and one.max_dets == other.max_dets
        and one.by_class == other.by_class
    )


def _check_classes(first: str, truth: AnnotationTable, model: str, other: AnnotationTable) -> None:
    if truth.catalog.classes == other.catalog.classes:
        return
    ours, theirs = set(truth.catalog.classes), set(other.catalog.classes)
    only = ", ".join(map(repr, sorted(ours ^ theirs)[:5])) or "in another order"
    raise InputError(
        f"compare: {first} and {model} were evaluated on different classes ({only}); evaluate both on the same data set"
    )


def _check_truth(first: str, truth: AnnotationTable, model: str, other: AnnotationTable) -> None:
    ours, theirs = truth.catalog.image_ids, other.catalog.image_ids
    shared = _shared(truth, other)
    if shared.all() and len(ours) == len(theirs):
        return
    both = len({*ours} & {*theirs})
    if both < max(len(ours), len(theirs)):
        what = f"different images ({len(ours):,} and {len(theirs):,}, {both:,} in both)"
    else:
        image = ours[int(np.argmin(shared))]
        what = f"different objects in {np.count_nonzero(~shared):,} of {len(ours):,} images, first in image {image!r}"
    raise InputError(
        f"compare: {first} and {model} were evaluated on {what}; evaluate both on the same split, or pass"
        f" images='intersection' to compare on the {np.count_nonzero(shared):,} images whose truth they share"
    )


def _shared(truth: AnnotationTable, other: AnnotationTable) -> NDArray[np.bool_]:
    """(I,) whether each image of `truth` has the same objects in `other`, in whatever order."""
    if truth is other or truth.fingerprint == other.fingerprint:
        return np.ones(len(truth.catalog.image_ids), np.bool_)
    ours, theirs = _contents(truth), _contents(other)
    place = {image: index for index, image in enumerate(other.catalog.image_ids)}
    return np.array(
        [
            image in place and ours[index] == theirs[place[image]]
            for index, image in enumerate(truth.catalog.image_ids)
        ],
        np.bool_,
    )


def _contents(truth: AnnotationTable) -> list[bytes]:
    """What each image's objects are, whatever their order and ids."""
    columns = (
        np.column_stack([truth.image, truth.label, truth.xywh, truth.area, truth.crowd, truth.ignored]) + 0.0
    )
    columns = columns[np.lexsort(columns.T[::-1])]
    edges = np.searchsorted(columns[:, 0], np.arange(len(truth.catalog.image_ids) + 1))
    return [columns[first:last, 1:].tobytes() for first, last in pairwise(edges)]
