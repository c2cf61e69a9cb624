"""Candidates: from the scores of all priors and classes to the few that suppression looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from detectors.config import Config

_AT_ONCE = 2**23
"""So many scores above the floor are sorted together; of more, image by image, to bound the memory."""


class CandidatesConfig(Config):
    """Which of all priors' boxes become candidates for suppression."""

    score: float = Field(default=0.01, ge=0, le=1)
    """What scores no more is no candidate; where `nms.score` is lower, that holds."""
    top_k: int = Field(default=1000, ge=1)
    """At most so many of each group, the best first."""
    per: Literal["level", "class", "image"] = "level"
    """The groups: each feature level (RetinaNet), each class (SSD), or all together."""


class Chosen(NamedTuple):
    """K candidates of a batch, image by image, and within each by falling score.

    Attributes:
        image: (K,) which of the B images.
        prior: (K,) which of the A priors.
        label: (K,) which of the C classes.
        score: (K,) float32.
    """

    image: Tensor
    prior: Tensor
    label: Tensor
    score: Tensor


def choose(scores: Tensor, levels: Sequence[int], floor: float, config: CandidatesConfig) -> Chosen:
    """The scores above a floor, at most `config.top_k` of each image's every group.

    Of equal scores the first in the order of `scores` comes first, on every device: unlike `torch.topk`, which takes any.

    Args:
        scores: (B, A, C) float32; what is NaN is no candidate.
        levels: how many priors each level has; they sum to A.
        floor: what scores no more is left out; at least 0.
        config: the groups and their size.
    """
    images, priors, classes = scores.shape
    flat = scores.flatten()
    place = (flat > floor).nonzero().squeeze(1)  # few in a trained detector: all that follows is small
    if len(place) > _AT_ONCE and images > 1:
        parts = [choose(scores[image : image + 1], levels, floor, config) for image in range(images)]
        placed = [part._replace(image=part.image + image) for image, part in enumerate(parts)]
        return Chosen(*(torch.cat(column) for column in zip(*placed, strict=True)))
    if len(place) > config.top_k:  # else no group can have too many
        group = _group(place, (images, priors, classes), levels, config)
        order = by_falling_score(flat.gather(0, place), group)
        place = place[order[_rank(group[order]) < config.top_k]].sort().values
    image = place // (priors * classes)
    place = place[by_falling_score(flat.gather(0, place), image)]
    image = place // (priors * classes)
    return Chosen(image, place // classes % priors, place % classes, flat.gather(0, place))


def by_falling_score(score: Tensor, group: Tensor | None = None) -> Tensor:
    """The order by group if there are any, then by falling score, then as they are.

    Positive floats are ordered as their bits are, so that one sort of integers does all three, which takes a tenth of
    the time of a stable sort of floats.

    Args:
        score: (N,) float32, positive (what is not comes last, in any order).
        group: (N,) int64, from 0.
    """
    bits = score.float().view(torch.int32).long()
    key = -bits if group is None else (group << 32) - bits
    return key.sort(stable=True).indices


def _group(
    place: Tensor, shape: tuple[int, int, int], levels: Sequence[int], config: CandidatesConfig
) -> Tensor:
    """The number of the group that each place in the flattened scores is in; images do not share groups."""
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
    """Of each element of sorted numbers, how many equal ones are before it."""
    place = torch.arange(len(group), device=group.device)
    begins = torch.ones_like(group, dtype=torch.bool)
    begins[1:] = group[1:] != group[:-1]
    return place - torch.where(begins, place, 0).cummax(0).values
