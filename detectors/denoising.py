"""Denoising queries: noisy objects that the decoder learns to correct."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from detectors.assigners.types import BACKGROUND, IGNORE, PaddedTargets
from detectors.config import Config
from detectors.search_range import Choice, OnlyIf, Range
from metrics.boxes import convert


class DenoisingConfig(Config):
    """Denoising queries, which are used only in training."""

    groups: Annotated[int, Field(ge=0), Choice(0, 1, 3)] = 3
    """Number of groups of queries, each with two noisy boxes per object (see `box_noise`); 0: no denoising."""
    box_noise: Annotated[float, Field(ge=0, le=2), Range(0.2, 1), OnlyIf("denoising.groups", above=0)] = 1.0
    """Largest shift of a side, in halves of the width or height. A query that is shifted by less than this learns to find
    the object; another one, shifted by one to two times as much, learns to find nothing (Zhang et al. 2022, section 3.3)."""
    label_noise: Annotated[float, Field(ge=0, le=1), Range(0.0, 0.5), OnlyIf("denoising.groups", above=0)] = (
        0.25
    )
    """Probability that the label of a query is drawn at random."""


class DenoisingQueries(NamedTuple):
    """N queries of B images, made from G objects each.

    Attributes:
        labels: (B, N) in [0, C), with noise.
        boxes: (B, N, 4) cxcywh as fractions of the image's sides, with noise, within the image.
        objects: (B, N) index of the object to find, `BACKGROUND`, or `IGNORE` for padding.
        mask: (B, N, N), True where a query (row) must not attend to another (column): in other groups, and padding.
    """

    labels: Tensor
    boxes: Tensor
    objects: Tensor
    mask: Tensor


def denoising_queries(truth: PaddedTargets, classes: int, config: DenoisingConfig) -> DenoisingQueries:
    """Draw denoising queries (Li et al. 2022, DN-DETR; Zhang et al. 2022, DINO).

    The numbers are drawn on the CPU and image by image, so that they do not depend on the device and on how a batch is
    divided into parts.

    Args:
        truth: objects, with boxes cxcywh as fractions of the image's sides.
        classes: C.
        config: settings; at least one group.
    """
    images, most = truth.valid.shape
    shape = (images, config.groups, 2, most)
    drawn = torch.zeros(*shape, 10)
    for image, valid in enumerate(truth.valid.cpu()):
        drawn[image, :, :, valid] = torch.rand(config.groups, 2, int(valid.sum()), 10)
    drawn = drawn.to(truth.boxes.device)

    negative = torch.arange(2, device=drawn.device).view(1, 1, 2, 1)
    shift = (
        (drawn[..., :4] + negative[..., None]) * torch.where(drawn[..., 4:8] < 0.5, -1, 1) * config.box_noise
    )
    half = truth.boxes[:, None, None, :, 2:].repeat(1, 1, 1, 1, 2) / 2
    corners = convert(truth.boxes, "cxcywh", "xyxy")[:, None, None] + shift * half
    low = torch.minimum(corners[..., :2], corners[..., 2:])
    high = torch.maximum(corners[..., :2], corners[..., 2:])
    boxes = convert(torch.cat([low, high], dim=-1).clamp(0, 1), "xyxy", "cxcywh")

    other = (drawn[..., 9] * classes).long().clamp(max=classes - 1)
    labels = torch.where(drawn[..., 8] < config.label_noise, other, truth.labels[:, None, None])

    valid = truth.valid[:, None, None].expand(shape)
    numbers = torch.arange(most, device=drawn.device)
    objects = torch.where(negative == 0, numbers, BACKGROUND)
    objects = torch.where(valid, objects, IGNORE)

    group = torch.arange(config.groups, device=drawn.device).repeat_interleave(2 * most)
    padding = ~valid.flatten(1)
    mask = (group[:, None] != group)[None] | padding[:, None, :]
    mask = mask & ~torch.eye(len(group), dtype=torch.bool, device=mask.device)  # a row needs one key
    return DenoisingQueries(labels.flatten(1), boxes.flatten(1, 3), objects.flatten(1), mask)
