"""Settings that several variants share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from detectors.config import Config
from detectors.heads.dense import Norm
from detectors.necks.pan import Pyramid
from detectors.space import Choice, Range

Side = Annotated[float, Field(gt=0)]
Shapes = tuple[tuple[tuple[Side, Side], ...], ...]
"""For each level (width, height) of its priors in pixels."""


class FocalConfig(Config):
    """Focal loss."""

    alpha: Annotated[float, Field(ge=0, le=1), Range(0.1, 0.9)] = 0.25
    """Weight of positives against negatives."""
    gamma: Annotated[float, Field(ge=0), Range(0, 5)] = 2.0
    """How much less the easy ones count."""


class HeadConfig(Config):
    """The head that all levels share, and the pyramid below it."""

    neck: Annotated[Pyramid, Choice("fpn", "pan")] = "fpn"
    """`fpn`: the feature pyramid; `pan`: with a path back from fine to coarse."""
    channels: Annotated[int, Field(ge=8), Choice(32, 64, 128)] = 64
    """Of the pyramid and the towers; 256 in the papers."""
    convs: Annotated[int, Field(ge=0, le=8), Choice(1, 2, 4)] = 1
    """Convolutions in each tower; 4 in the papers."""
    norm: Annotated[Norm, Choice("batch", "group")] = "batch"
    """Normalisation in the towers."""
