"""Selection of candidates and NMS inside a graph: the same detections as `detectors.nms.NMS` of the selected candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.candidates import CandidatesConfig
from detectors.graph.operators import nms_mask
from detectors.nms import NMSConfig
from metrics.errors import InputError


class GraphCandidates(NamedTuple):
    """Scores and boxes of all priors of B images.

    Attributes:
        boxes: (B, A, 4) xyxy in pixels of the network's input, clipped to it; (B, A, C, 4) where each class has its own.
        scores: (B, A, C) float32.
        levels: number of priors of each level; they sum to A.
    """

    boxes: Tensor
    scores: Tensor
    levels: Sequence[int]


class GraphDetections(NamedTuple):
    """Detections of B images by decreasing score, padded to D, the largest number per image.

    Attributes:
        boxes: (B, D, 4) xyxy in pixels of the network's input; 0 for padding.
        scores: (B, D) float32; 0 for padding.
        labels: (B, D) int64; -1 for padding.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class GraphNMS(nn.Module):
    """Candidates to detections, without shapes that depend on the data.

    Equal scores count in the order of `boxes`, as in `detectors.candidates.select_candidates`: the first has precedence.

    Args:
        candidates: settings of candidates.
        nms: settings of NMS.

    Raises:
        InputError: ONNX has no operator for the method.
    """

    def __init__(self, candidates: CandidatesConfig, nms: NMSConfig) -> None:
        super().__init__()
        if nms.method not in ("hard", "none"):
            raise InputError(
                f"nms.method: {nms.method} has no ONNX operator; export without --nms, or evaluate with nms.method=hard"
            )
        self.candidates = candidates
        self.nms = nms

    def forward(self, found: GraphCandidates) -> GraphDetections:
        """Detections of each image."""
        boxes, scores = found.boxes, found.scores
        classes = scores.shape[2]
        flat = torch.where(scores > self.nms.score, scores, 0.0)
        flat = self._best_of_groups(flat, found.levels).flatten(1)
        if self.nms.method == "hard" and self.nms.agnostic:
            return self._across_classes(boxes, flat, classes)
        if self.nms.method == "hard":
            flat = flat * self._kept(boxes, flat.reshape(scores.shape)).flatten(1)
        best, place = _top(flat, self.nms.max_dets)
        return _gathered(boxes, best, place, classes)

    def _best_of_groups(self, scores: Tensor, levels: Sequence[int]) -> Tensor:
        """(B, A, C) scores with 0 for all but the best `top_k` of each group, and of the image."""
        classes, top = scores.shape[2], self.candidates.top_k
        match self.candidates.per:
            case "level":
                parts = [_only_top(part.flatten(1), top) for part in torch.split(scores, [*levels], dim=1)]
                flat, most = torch.cat(parts, dim=1), top * len(levels)
            case "class":
                by_class = scores.transpose(1, 2)
                kept = _only_top(by_class.flatten(0, 1), top).reshape(by_class.shape)
                flat, most = kept.transpose(1, 2).flatten(1), top * classes
            case "image":
                flat, most = _only_top(scores.flatten(1), top), top
        if most > self.nms.top_k:
            flat = _only_top(flat, self.nms.top_k)
        return flat.reshape(scores.shape)

    def _kept(self, boxes: Tensor, scores: Tensor) -> Tensor:
        """(B, A, C) 1 for the candidates that NMS within each class keeps."""
        by_class = scores.transpose(1, 2)
        arguments = (self.nms.max_dets, self.nms.iou, self.nms.score)
        if boxes.ndim == 3:
            return nms_mask(boxes, by_class.contiguous(), *arguments).transpose(1, 2)
        own = boxes.transpose(1, 2).flatten(0, 1)  # each class of each image alone: its boxes are its own
        mask = nms_mask(own, by_class.flatten(0, 1).unsqueeze(1), *arguments)
        return mask.reshape(by_class.shape).transpose(1, 2)

    def _across_classes(self, boxes: Tensor, flat: Tensor, classes: int) -> GraphDetections:
        best, place = _top(flat, self.nms.top_k)
        all_boxes = _boxes_at(boxes, place, classes)
        mask = nms_mask(all_boxes, best.unsqueeze(1), self.nms.max_dets, self.nms.iou, self.nms.score)
        best, which = _top(best * mask.squeeze(1), self.nms.max_dets)
        return _gathered(boxes, best, place.gather(1, which.clamp(max=self.nms.top_k - 1)), classes)


def _top(scores: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The `number` largest (B, N) scores and their indices; 0 and indices of at least N where there are fewer."""
    best = F.pad(scores, (0, number)).topk(number, dim=1)
    return best.values, best.indices


def _only_top(scores: Tensor, number: int) -> Tensor:
    """(B, N) scores with 0 for all but the `number` largest."""
    if isinstance(scores.shape[1], int) and scores.shape[1] <= number:
        return scores
    best, place = _top(scores, number)
    padded = torch.zeros_like(F.pad(scores, (0, number)))
    return padded.scatter(1, place, best)[:, : scores.shape[1]]


def _boxes_at(boxes: Tensor, place: Tensor, classes: int) -> Tensor:
    """(B, K, 4) boxes at indices (B, K) into the flattened (A, C) scores; any box for indices beyond."""
    rows = boxes.flatten(1, 2) if boxes.ndim == 4 else boxes
    row = place if boxes.ndim == 4 else place // classes
    row = torch.minimum(row, torch.zeros_like(row) + (rows.shape[1] - 1))
    return rows.gather(1, row[..., None].expand(-1, -1, 4))


def _gathered(boxes: Tensor, best: Tensor, place: Tensor, classes: int) -> GraphDetections:
    real = best > 0
    chosen = torch.where(real[..., None], _boxes_at(boxes, place, classes), 0.0)
    return GraphDetections(chosen, best, torch.where(real, place % classes, -1))
