"""Assigners: which object each prior must find."""

from __future__ import annotations

from typing import Literal

from detectors.assigners.atss import ATSSAssigner
from detectors.assigners.hungarian import HungarianAssigner
from detectors.assigners.task_aligned import TaskAlignedAssigner
from detectors.assigners.types import Assigner

Adaptive = Literal["atss", "task_aligned", "hungarian"]


def adaptive(kind: Adaptive) -> Assigner:
    """An assigner that works on any priors without settings of its own, with its paper's numbers."""
    match kind:
        case "atss":
            return ATSSAssigner()
        case "task_aligned":
            return TaskAlignedAssigner()
        case "hungarian":
            return HungarianAssigner()
