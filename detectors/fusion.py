"""Weighted boxes fusion of the detections of several predictors in one image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detectors.types import Detections
from metrics.errors import InputError
from metrics.iou import box_iou
from metrics.plurals import plural


def fuse(
    detections: Sequence[Detections],
    iou: float = 0.55,
    once: bool = True,
    weights: Sequence[float] | None = None,
) -> Detections:
    """Fuse each cluster of detections of one class into one detection.

    Solovyev et al. 2021, section 3: by decreasing score, each detection joins the cluster whose fused box has the highest
    IoU with it, if above `iou`, or starts a cluster. The box of a cluster is the mean of its members weighted by their
    scores; its score is their mean score times min(members, predictors) / predictors. With weights of the predictors, each
    score counts with its predictor's weight in all of these means and sums, and the order is that of weighted scores.

    Unlike in the paper, a cluster has at most one detection of each predictor, because the predictor's NMS has already
    separated its detections. Otherwise overlapping objects would be merged and high scores averaged with low ones, and AP
    could fall below that of a single predictor.

    Args:
        detections: of each predictor in the same image; at least one predictor.
        iou: IoU threshold of a cluster; 0.55 in the paper.
        once: whether a cluster has at most one detection of each predictor; False in the paper.
        weights: of each predictor, at least 0, one above 0; only their ratios matter. Detections of a predictor with weight
            0 are left out. None: 1 each.

    Returns:
        Detections by decreasing score, on the device of the first. Of clusters with equal IoU the earlier is joined.
    """
    if not detections:
        raise InputError("fuse: no detections; give those of at least one predictor")
    chosen = _checked_weights(weights, len(detections))
    detections = [each for each, weight in zip(detections, chosen, strict=True) if weight > 0]
    shares = [weight for weight in chosen if weight > 0]
    boxes, scores, labels = (
        torch.cat([getattr(each, column) for each in detections]) for column in ("boxes", "scores", "labels")
    )
    owners = np.repeat(np.arange(len(detections)), [len(each.scores) for each in detections])
    share = torch.tensor(shares, dtype=torch.float64)[owners].to(boxes.device)
    order = (scores * share).argsort(descending=True, stable=True)
    share = share[order]
    weighted = scores[order].double() * share
    columns = _array(boxes[order]), _array(weighted), labels[order].cpu().numpy(), owners[order.cpu().numpy()]
    cluster = torch.from_numpy(_clusters(*columns, iou, once)).to(boxes.device)
    weight = weighted.clamp(min=1e-12)  # detections with score 0 have a box, too
    count = torch.zeros(len(cluster.bincount()), dtype=torch.float64, device=boxes.device)
    count = count.index_add(0, cluster, share)
    total = torch.zeros_like(count).index_add(0, cluster, weight)
    places = weight[:, None] * boxes[order].double()
    fused = torch.zeros(len(count), 4, dtype=torch.float64, device=boxes.device).index_add(0, cluster, places)
    mean = torch.zeros_like(count).index_add(0, cluster, weighted) / count
    score = (mean * count.clamp(max=sum(shares)) / sum(shares)).to(scores.dtype)
    label = labels.new_zeros(len(count)).scatter(0, cluster, labels[order])
    order_by_score = score.argsort(descending=True, stable=True)
    box = (fused / total[:, None]).to(boxes.dtype)
    return Detections(box[order_by_score], score[order_by_score], label[order_by_score])


def _checked_weights(weights: Sequence[float] | None, count: int) -> Sequence[float]:
    if weights is None:
        return [1.0] * count
    if len(weights) != count:
        raise InputError(f"fuse: expected {plural(count, 'weight')}, one per predictor, got {len(weights)}")
    if not (all(0 <= weight < math.inf for weight in weights) and any(weights)):
        raise InputError(f"fuse: expected weights of at least 0, one of them above 0, got {list(weights)}")
    return weights


def _clusters(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    owners: NDArray[np.int64],
    iou: float,
    once: bool,
) -> NDArray[np.int64]:
    """(N,) cluster of each detection, numbered from 0 in order of their first member; scores decrease."""
    member = np.zeros(len(scores), dtype=np.int64)
    fused, weight, of = np.zeros_like(boxes), np.zeros_like(scores), np.full(len(scores), -1)
    has = np.zeros((len(scores), int(owners.max(initial=0)) + 1), dtype=np.bool_)
    count = 0
    for k, (box, score) in enumerate(zip(boxes, np.maximum(scores, 1e-12), strict=True)):
        open_ = of[:count] == labels[k]
        if once:
            open_ &= ~has[:count, owners[k]]
        overlap = np.where(open_, box_iou(box[None], fused[:count])[0], -1.0)
        best = int(overlap.argmax()) if count else 0
        if not count or overlap[best] <= iou:
            best, count = count, count + 1
            of[best] = labels[k]
        member[k] = best
        has[best, owners[k]] = True
        fused[best] = (weight[best] * fused[best] + score * box) / (weight[best] + score)
        weight[best] += score
    return member


def _array(tensor: Tensor) -> NDArray[np.float64]:
    return tensor.double().cpu().numpy()
