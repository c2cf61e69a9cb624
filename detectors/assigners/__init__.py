"""Assigners: which object each prior is trained to detect."""

from __future__ import annotations

from typing import Literal

from detectors.assigners.atss import ATSSAssigner
from detectors.assigners.hungarian import HungarianAssigner
from detectors.assigners.overlap import Forced, OverlapAssigner
from detectors.assigners.task_aligned import TaskAlignedAssigner
from detectors.assigners.types import Assigner

Adaptive = Literal["atss", "task_aligned", "hungarian"]
AnchorAssigner = Literal["overlap", "atss", "task_aligned", "hungarian"]


def adaptive(kind: Adaptive) -> Assigner:
    """The assigner of that name, with the settings of its paper; it works with any priors."""
    match kind:
        case "atss":
            return ATSSAssigner()
        case "task_aligned":
            return TaskAlignedAssigner()
        case "hungarian":
            return HungarianAssigner()


def anchor_assigner(kind: AnchorAssigner, positive: float, band: float, forced: Forced) -> Assigner:
    """The assigner of that name for anchors; the other arguments are those of `overlap`.

    Args:
        kind: its name.
        positive: smallest IoU of a positive anchor.
        band: width of the range of IoU below `positive` in which anchors are ignored.
        forced: see `OverlapAssigner`.
    """
    return OverlapAssigner(positive, positive - band, forced) if kind == "overlap" else adaptive(kind)
