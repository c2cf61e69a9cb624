"""Priors in regions of an image in which nothing is known: they are not background."""

from __future__ import annotations

import torch
from torch import Tensor

from detectors.assigners.types import BACKGROUND, IGNORE, Assignment, PaddedTargets
from metrics.iou import box_ioa


def ignore_background(
    assignment: Assignment, truth: PaddedTargets, priors: Tensor, overlap: float
) -> Assignment:
    """Ignore the background priors of which too large a part lies in an ignored region.

    This is the rule ``ignore_iof_thr`` of MMDetection's `MaxIoUAssigner` (Chen et al. 2019, arXiv:1906.07155), except that
    a prior that was assigned an object keeps it: objects that are annotated within a crowd are learned.

    Args:
        assignment: of the priors.
        truth: objects and ignored regions of B images.
        priors: (A, 4) xyxy, or (B, A, 4).
        overlap: a prior is ignored if a larger fraction of its area lies in one region; 1 ignores none.

    Returns:
        `assignment` itself if there is no region.
    """
    if truth.ignored is None or overlap >= 1:
        return assignment
    covered = truth.ignored.new_zeros(assignment.objects.shape)
    for region in truth.ignored.unbind(dim=1):  # one after another: a table of all is as large as that of IoU
        covered = torch.maximum(covered, box_ioa(priors, region[:, None]).squeeze(-1))
    leave_out = (assignment.objects == BACKGROUND) & (covered > overlap)
    return assignment._replace(objects=torch.where(leave_out, IGNORE, assignment.objects))
