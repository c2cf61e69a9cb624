"""Selection of candidates for NMS from the scores of all priors and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from detectors.config import Config
from detectors.types import Detections

_MAX_SORTED = 2**23
"""Largest number of scores that are sorted together; more are processed image by image, to limit memory."""


class CandidatesConfig(Config):
    """Selection of candidates for NMS."""

    prediction_only: ClassVar[bool] = True

    score: float = Field(default=0.01, ge=0, le=1)
    """Score threshold of candidates; `nms.score` is used instead if it is lower."""
    top_k: int = Field(default=1000, ge=1)
    """Largest number of candidates per group, by decreasing score."""
    per: Literal["level", "class", "image"] = "level"
    """Groups of `top_k`: each feature `level` (RetinaNet), each `class` (SSD), or the whole `image`."""


class SelectedCandidates(NamedTuple):
    """K candidates of a batch, image by image, and by decreasing score in each.

    Attributes:
        image: (K,) index of the image in the batch.
        prior: (K,) index of the prior.
        label: (K,) index of the class.
        score: (K,) float32.
    """

    image: Tensor
    prior: Tensor
    label: Tensor
    score: Tensor


def select_candidates(
    scores: Tensor, levels: Sequence[int], floor: float, config: CandidatesConfig
) -> SelectedCandidates:
    """Select the scores above a threshold, at most `config.top_k` of each group of each image.

    Equal scores keep the order of `scores` on every device, unlike in `torch.topk`.

    Args:
        scores: (B, A, C) float32; NaN is never a candidate.
        levels: number of priors of each level; they sum to A.
        floor: score threshold, at least 0.
        config: groups and their size.
    """
    images, priors, classes = scores.shape
    flat = scores.flatten()
    place = (flat > floor).nonzero().squeeze(1)  # few in a trained detector
    if len(place) > _MAX_SORTED and images > 1:
        parts = [
            select_candidates(scores[image : image + 1], levels, floor, config) for image in range(images)
        ]
        placed = [part._replace(image=part.image + image) for image, part in enumerate(parts)]
        return SelectedCandidates(*(torch.cat(column) for column in zip(*placed, strict=True)))
    if len(place) > config.top_k:  # otherwise no group is too large
        group = _group(place, (images, priors, classes), levels, config)
        order = by_falling_score(flat.gather(0, place), group)
        place = place[order[_rank(group[order]) < config.top_k]].sort().values
    image = place // (priors * classes)
    place = place[by_falling_score(flat.gather(0, place), image)]
    image = place // (priors * classes)
    return SelectedCandidates(image, place // classes % priors, place % classes, flat.gather(0, place))


def split_by_image(chosen: SelectedCandidates, boxes: Tensor, images: int) -> list[Detections]:
    """The candidates of each image.

    Args:
        chosen: K candidates.
        boxes: (K, 4) xyxy of these.
        images: number of images of the batch; those without candidates have empty detections.
    """
    counts = chosen.image.bincount(minlength=images).tolist()
    columns = (torch.split(column, counts) for column in (boxes, chosen.score, chosen.label))
    return [Detections(*part) for part in zip(*columns, strict=True)]


def by_falling_score(score: Tensor, group: Tensor | None = None) -> Tensor:
    """Indices that sort by group, then by decreasing score; equal elements keep their order.

    Positive floats are ordered like their bits, so one sort of integers is sufficient, in a tenth of the time of a stable
    sort of floats.

    Args:
        score: (N,) float32, positive; others come last, in any order.
        group: (N,) int64, not negative; None for a single group.
    """
    bits = score.float().view(torch.int32).long()
    key = -bits if group is None else (group << 32) - bits
    return key.sort(stable=True).indices


def _group(
    place: Tensor, shape: tuple[int, int, int], levels: Sequence[int], config: CandidatesConfig
) -> Tensor:
    """Number of the group of each index into the flattened scores; images do not share groups."""
    _, priors, classes = shape
    image = place // (priors * classes)
    match config.per:
        case "class":
            return image * classes + place % classes
        case "level":
            ends = torch.tensor(levels, device=place.device).cumsum(0)
            level = torch.bucketize(place // classes % priors, ends, right=True)
            return image * len(levels) + level
        case "image":
            return image


def _rank(group: Tensor) -> Tensor:
    """For each element of sorted numbers, the number of equal ones before it."""
    place = torch.arange(len(group), device=group.device)
    begins = torch.ones_like(group, dtype=torch.bool)
    begins[1:] = group[1:] != group[:-1]
    return place - torch.where(begins, place, 0).cummax(0).values
