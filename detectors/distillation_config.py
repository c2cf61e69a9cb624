"""Settings of distillation."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from detectors.config import Config
from detectors.search_range import OnlyIf, Range


class DistillConfig(Config):
    """Distillation: a dense detector is trained to imitate a finished one, its teacher, besides its own losses."""

    teacher: str | None = None
    """Folder of the run that is imitated: a dense detector with the same classes, strides and priors per cell. none: no
    distillation."""
    class_weight: Annotated[float, Field(ge=0), Range(0.1, 10, log=True)] = 1.0
    """Weight of the difference of the class scores."""
    temperature: Annotated[
        float,
        Field(gt=0),
        Range(1, 10, log=True),
        OnlyIf("distill.class_weight", "distill.box_weight", above=0),
    ] = 2.0
    """Divisor of the logits of class scores and distributions over distances; above 1, small scores count more."""
    box_weight: Annotated[float, Field(ge=0), Range(0.1, 10, log=True)] = 1.0
    """Weight of the difference of the boxes: of distributions over distances where both have them, otherwise 1 - GIoU."""
    feature_weight: Annotated[float, Field(ge=0), Range(0.0, 1.0)] = 0.0
    """Weight of the squared difference of the levels that the heads read; 0 does not compute it."""
