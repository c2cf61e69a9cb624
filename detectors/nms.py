"""Suppression: from the many candidates around each object to one detection."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from detectors.config import Config
from detectors.types import Detections


class NMSConfig(Config):
    """How candidates become detections."""

    score: float = 0.05
    """Candidates that score no more than this are dropped."""
    iou: float = 0.5
    """Of two candidates that overlap more than this, the one with the lower score goes."""
    agnostic: bool = False
    """Suppress across classes; off: each class on its own."""
    top_k: int = 5000
    """At most so many candidates of an image enter, the best first."""
    max_dets: int = 100
    """At most so many detections of an image come out, the best first."""


class NMS:
    """Greedy suppression of the candidates of one image (`torchvision.ops.batched_nms` does the greedy part).

    Args:
        config: its settings, also at hand as `config`.
    """

    def __init__(self, config: NMSConfig) -> None:
        self.config = config

    def __call__(self, candidates: Detections) -> Detections:
        """Detections in order of falling score; candidates of equal score keep their order."""
        config = self.config
        boxes, scores, labels = _best(candidates, config.score, config.top_k)
        if config.agnostic:
            keep = nms(boxes, scores, config.iou)
        else:
            keep = batched_nms(boxes, scores, labels, config.iou)
        keep = keep[: config.max_dets]
        return Detections(boxes[keep], scores[keep], labels[keep])


def _best(candidates: Detections, floor: float, top_k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and labels above the floor, sorted by falling score, at most `top_k`."""
    scores, order = torch.sort(candidates.scores, descending=True, stable=True)
    order = order[(scores > floor)][:top_k]
    return candidates.boxes[order], candidates.scores[order], candidates.labels[order]
