"""The predictor that is evaluated: compiled, on tiles, with horizontal flips, as the settings say."""

from __future__ import annotations

from torch import nn

from bench.settings.sections import EvaluateConfig
from detectors.types import Predictor
from detectors.wrappers.flipped import Flipped
from detectors.wrappers.tiled import Tiled
from metrics.errors import InputError


def wrap_predictor(predictor: Predictor, settings: EvaluateConfig) -> Predictor:
    """Apply the settings `compile`, `tile` and `flip` to a predictor; without them, return it unchanged.

    The detections of all tiles are merged first, then fused with those of the mirror image. A network is compiled in
    place.

    Raises:
        InputError: `compile` is set for an external model.
    """
    if settings.compile:
        if not isinstance(predictor, nn.Module) or not hasattr(predictor, "decode"):
            raise InputError(
                "evaluate.compile: only a variant's network can be compiled; set it for that variant alone"
            )
        predictor.compile()
    if settings.tile is not None:
        predictor = Tiled(predictor, settings.tile, settings.tile_overlap)
    return Flipped(predictor) if settings.flip else predictor
