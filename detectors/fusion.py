"""Weighted boxes fusion: what several predictors found in one image, made one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detectors.types import Detections
from metrics.errors import InputError
from metrics.iou import box_iou


def fuse(found: Sequence[Detections], iou: float = 0.55, once: bool = True) -> Detections:
    """One detection for each cluster of detections of one class.

    Solovyev et al. 2021, section 3: by falling score, each detection joins the cluster whose fused box it overlaps
    most, if by more than `iou`, or begins one. A cluster's box is the mean of its members', weighted by their scores;
    its score is their mean, times min(members, predictors) / predictors: what few have found is less sure.

    Other than in the paper, a cluster has at most one detection of each predictor, whose own suppression has kept them
    apart. Joined, two objects that overlap become one, and a sure detection takes the mean of its score and that of
    every doubtful one beside it: where suppression keeps what overlaps by more than `iou`, AP then falls below that of
    a predictor alone.

    Args:
        found: by each predictor, in the same image; at least one.
        iou: above which a detection belongs to a cluster; 0.55 in the paper.
        once: whether a cluster has at most one detection of each predictor; not in the paper.

    Returns:
        By falling score, on the device of the first. Of equally good clusters the earlier is joined.
    """
    if not found:
        raise InputError("fuse: nothing to fuse; give what at least one predictor found")
    boxes, scores, labels = (
        torch.cat([getattr(each, column) for each in found]) for column in ("boxes", "scores", "labels")
    )
    order = scores.argsort(descending=True, stable=True)
    owner = np.repeat(np.arange(len(found)), [len(each.scores) for each in found])[order.cpu().numpy()]
    columns = _array(boxes[order]), _array(scores[order]), labels[order].cpu().numpy(), owner
    cluster = torch.from_numpy(_clusters(*columns, iou, once)).to(boxes.device)
    weight = scores[order].double().clamp(min=1e-12)  # a score of 0 has a place, too
    count = cluster.bincount().double()
    total = torch.zeros_like(count).index_add(0, cluster, weight)
    places = weight[:, None] * boxes[order].double()
    fused = torch.zeros(len(count), 4, dtype=torch.float64, device=boxes.device).index_add(0, cluster, places)
    mean = torch.zeros_like(count).index_add(0, cluster, scores[order].double()) / count
    score = (mean * count.clamp(max=len(found)) / len(found)).to(scores.dtype)
    label = labels.new_zeros(len(count)).scatter(0, cluster, labels[order])
    surest = score.argsort(descending=True, stable=True)
    box = (fused / total[:, None]).to(boxes.dtype)
    return Detections(box[surest], score[surest], label[surest])


def _clusters(
    boxes: NDArray[np.float64],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    owners: NDArray[np.int64],
    iou: float,
    once: bool,
) -> NDArray[np.int64]:
    """(N,) the cluster of each detection, counted from 0 in order of their first; scores fall."""
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
