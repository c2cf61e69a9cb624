"""A predictor as it is evaluated: in tiles, with the mirror image, as the settings say."""

from __future__ import annotations

from bench.sections import EvaluateConfig
from detectors.types import Predictor
from detectors.wrappers.flipped import Flipped
from detectors.wrappers.tiled import Tiled


def wrapped(predictor: Predictor, settings: EvaluateConfig) -> Predictor:
    """The predictor that looks at images as `settings` say; itself where they say nothing.

    In tiles first, and what all tiles of an image gave is then fused with what those of its mirror image gave.
    """
    if settings.tile is not None:
        predictor = Tiled(predictor, settings.tile, settings.tile_overlap)
    return Flipped(predictor) if settings.flip else predictor
