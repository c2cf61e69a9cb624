"""Box coders: boxes relative to priors, as deltas, as distances from a point, or in parts of the prior."""

from __future__ import annotations

import math
from typing import Literal, Protocol

import torch
from torch import Tensor

LARGEST_GROWTH = math.log(1000 / 16)
"""Largest logarithm of the growth of a decoded box over its prior, so that exp stays finite."""


class BoxCoder(Protocol):
    """Encodes boxes and decodes codes: ``decode(encode(boxes, priors), priors)`` equals `boxes`."""

    channels: int

    def encode(self, boxes: Tensor, priors: Tensor) -> Tensor:
        """Codes (..., channels) of xyxy boxes (..., 4) against priors (..., 4), all in one unit."""
        ...

    def decode(self, codes: Tensor, priors: Tensor) -> Tensor:
        """Boxes (..., 4) xyxy in the unit of the priors (..., 4) from codes (..., channels)."""
        ...


class DeltaCoder:
    """Offsets of the centre and logarithms of the growth, relative to the prior's size.

    t_x = (g_x - a_x) / (a_w v_c), t_w = ln(g_w / a_w) / v_s, and the same for y and h (Girshick et al. 2014, appendix C;
    the variances are SSD's code, Liu et al. 2016).

    Args:
        centre: v_c, the variance of the centre's offset; 0.1 in SSD, 1 in RetinaNet.
        size: v_s, the variance of the growth; 0.2 in SSD, 1 in RetinaNet.
    """

    channels = 4

    def __init__(self, centre: float = 1.0, size: float = 1.0) -> None:
        self.centre = centre
        self.size = size

    def encode(self, boxes: Tensor, priors: Tensor) -> Tensor:
        """Codes (..., 4) of `boxes` (..., 4); sizes below 1e-5 units are replaced by 1e-5."""
        priors_centre, priors_size = _centre_size(priors)
        boxes_centre, boxes_size = _centre_size(boxes)
        priors_size = priors_size.clamp(min=1e-5)
        offset = (boxes_centre - priors_centre) / priors_size / self.centre
        growth = torch.log(boxes_size.clamp(min=1e-5) / priors_size) / self.size
        return torch.cat([offset, growth], dim=-1)

    def decode(self, codes: Tensor, priors: Tensor) -> Tensor:
        """Boxes (..., 4) from `codes` (..., 4); the growth is capped at `LARGEST_GROWTH`."""
        priors_centre, priors_size = _centre_size(priors)
        centre = codes[..., :2] * self.centre * priors_size + priors_centre
        half = torch.exp((codes[..., 2:] * self.size).clamp(max=LARGEST_GROWTH)) * priors_size * 0.5
        return torch.cat([centre - half, centre + half], dim=-1)


class DistanceCoder:
    """Distances from the centre of a square prior to the box's left, top, right and bottom side, in its side (stride).

    Tian et al. 2019 (FCOS), eq. 1, in units of the stride as in its journal version (2022).

    Args:
        link: function from a raw code to a distance: ``exp`` (2019) always has a gradient, ``relu`` (2022, torchvision) has
            none below zero.
    """

    channels = 4

    def __init__(self, link: Literal["exp", "relu"] = "exp") -> None:
        self.link = link

    def encode(self, boxes: Tensor, priors: Tensor) -> Tensor:
        """Codes (..., 4) of `boxes` (..., 4). For ``exp``, distances are at least 0.001 strides, also where the centre
        is outside the box.
        """
        distances = _distances(boxes, priors)
        return torch.log(distances.clamp(min=1e-3)) if self.link == "exp" else distances

    def decode(self, codes: Tensor, priors: Tensor) -> Tensor:
        """Boxes (..., 4) from raw `codes` (..., 4)."""
        distances = (
            torch.exp(codes.clamp(max=LARGEST_GROWTH + 1)) if self.link == "exp" else torch.relu(codes)
        )
        return _boxes_around(priors, distances)


BoxFormat = Literal["xyxy", "cxcywh"]
"""Names in settings."""


class FractionCoder:
    """Boxes in parts of the prior: 0 is its left or upper side, 1 its right or lower side.

    Codes are not limited to [0, 1]. A decoded box has its corners in order: a negative width counts as a positive one.

    Args:
        box_format: ``xyxy``, the corners; ``cxcywh``, the centre and the size.
    """

    channels = 4

    def __init__(self, box_format: BoxFormat = "xyxy") -> None:
        self.box_format = box_format

    def encode(self, boxes: Tensor, priors: Tensor) -> Tensor:
        """Codes (..., 4) of `boxes` (..., 4); sides of priors below 1e-5 units are replaced by 1e-5."""
        size = (priors[..., 2:] - priors[..., :2]).clamp(min=1e-5)
        low, high = ((corner - priors[..., :2]) / size for corner in (boxes[..., :2], boxes[..., 2:]))
        pair = (low, high) if self.box_format == "xyxy" else ((low + high) * 0.5, high - low)
        return torch.cat(pair, dim=-1)

    def decode(self, codes: Tensor, priors: Tensor) -> Tensor:
        """Boxes (..., 4) from `codes` (..., 4)."""
        size = priors[..., 2:] - priors[..., :2]
        one, other = codes[..., :2], codes[..., 2:]
        if self.box_format == "cxcywh":
            one, other = one - other * 0.5, one + other * 0.5
        corners = torch.minimum(one, other), torch.maximum(one, other)
        return torch.cat([priors[..., :2] + corner * size for corner in corners], dim=-1)


class DistributionCoder:
    """Distances of `DistanceCoder`, each the mean of a distribution over 0, 1, ..., `bins` strides.

    Li et al. 2020 (generalised focal loss), eq. 5: softmax over bins + 1 logits, then the expectation.

    Args:
        bins: n, the largest distance that can be represented, in strides; 16 in the paper.
    """

    def __init__(self, bins: int = 16) -> None:
        self.bins = bins
        self.channels = 4 * (bins + 1)

    def targets(self, boxes: Tensor, priors: Tensor) -> Tensor:
        """Target means (..., 4) of the distributions: distances in strides, within [0, bins]."""
        return _distances(boxes, priors).clamp(min=0, max=self.bins)

    def encode(self, boxes: Tensor, priors: Tensor) -> Tensor:
        """Logits (..., 4 * (bins + 1)) of the narrowest distribution, on the two bins next to the distance."""
        distances = self.targets(boxes, priors).unsqueeze(-1)
        grid = torch.arange(self.bins + 1, device=boxes.device, dtype=distances.dtype)
        return torch.log((1 - (distances - grid).abs()).clamp(min=1e-12)).flatten(-2)

    def decode(self, codes: Tensor, priors: Tensor) -> Tensor:
        """Boxes (..., 4) from logits (..., 4 * (bins + 1))."""
        grid = torch.arange(self.bins + 1, device=codes.device, dtype=codes.dtype)
        return _boxes_around(
            priors, codes.reshape(*codes.shape[:-1], 4, self.bins + 1).softmax(dim=-1) @ grid
        )


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) * 0.5, high - low


def _distances(boxes: Tensor, priors: Tensor) -> Tensor:
    centre, size = _centre_size(priors)
    return torch.cat([centre - boxes[..., :2], boxes[..., 2:] - centre], dim=-1) / torch.cat(
        [size, size], dim=-1
    )


def _boxes_around(priors: Tensor, distances: Tensor) -> Tensor:
    centre, size = _centre_size(priors)
    return torch.cat([centre - distances[..., :2] * size, centre + distances[..., 2:] * size], dim=-1)
