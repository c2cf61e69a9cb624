"""A predictor as it is evaluated: compiled, in tiles, with the mirror image, as the settings say."""

from __future__ import annotations

from torch import nn

from bench.settings.sections import EvaluateConfig
from detectors.types import Predictor
from detectors.wrappers.flipped import Flipped
from detectors.wrappers.tiled import Tiled
from metrics.errors import InputError


def wrap_predictor(predictor: Predictor, settings: EvaluateConfig) -> Predictor:
    """The predictor that looks at images as `settings` say; itself where they say nothing.

    In tiles first, and what all tiles of an image gave is then fused with what those of its mirror image gave.
    A network that is to be compiled is so in its place: `predict` calls the compiled forward pass from now on.

    Raises:
        InputError: what is to be compiled is no variant's network.
    """
    if settings.compile:
        if not isinstance(predictor, nn.Module) or not hasattr(predictor, "decode"):
            raise InputError(
                "evaluate.compile: only a variant's network can be compiled; set it for that alone"
            )
        predictor.compile()
    if settings.tile is not None:
        predictor = Tiled(predictor, settings.tile, settings.tile_overlap)
    return Flipped(predictor) if settings.flip else predictor
