"""The predictor that is evaluated: compiled, in mixed precision, on tiles, with horizontal flips, as the settings say."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import torch
from torch import nn

from bench.pipeline.input_settings import FileInput, ImageConfig
from bench.settings.sections import EvaluateConfig, Precision
from detectors.external.file_model import FileModel
from detectors.types import Predictor
from detectors.wrappers.flipped import Flipped
from detectors.wrappers.mixed_precision import in_mixed_precision
from detectors.wrappers.tiled import Tiled
from metrics.errors import InputError

P = TypeVar("P", bound=Any)
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def wrap_predictor(predictor: Predictor, settings: EvaluateConfig) -> Predictor:
    """Apply the settings `compile`, `precision`, `tile` and `flip` to a predictor; without them, return it unchanged.

    The detections of all tiles are merged first, then fused with those of the mirror image. A network is compiled in
    place.

    Raises:
        InputError: `compile` is set for an external model, or `precision` for a file.
    """
    if settings.precision != "no" and isinstance(predictor, FileModel):
        raise InputError(
            f"evaluate.precision: {settings.precision}: a file is computed in its own precision; see the setting precision"
        )
    if settings.compile:
        if not isinstance(predictor, nn.Module) or not hasattr(predictor, "decode"):
            raise InputError(
                "evaluate.compile: only a variant's network can be compiled; set it for that variant alone"
            )
        predictor.compile()
    predictor = with_precision(predictor, settings.precision)
    if settings.tile is not None:
        predictor = Tiled(predictor, settings.tile, settings.tile_overlap)
    return Flipped(predictor) if settings.flip else predictor


def model_file_of(predictor: Predictor) -> FileModel | None:
    """The file that a predictor computes, without what `wrap_predictor` put around it; None if it is not of a file."""
    inner: Any = predictor
    while not isinstance(inner, FileModel):
        if not hasattr(inner, "predictor"):
            return None
        inner = inner.predictor
    return inner


def network_input(predictor: Predictor, settings: EvaluateConfig) -> ImageConfig | None:
    """Settings of the network's input of an external model; None for single images in their own size.

    Tiles are cut from the original images, and resized by nobody.
    """
    known = model_file_of(predictor)
    if known is None or known.network_input is None or settings.tile is not None:
        return None
    wanted = known.network_input
    return FileInput(
        size=wanted.size,
        resize="stretch" if wanted.resize == "stretch" else "letterbox",
        fill=wanted.fill,
        corner=wanted.resize == "corner",
        antialias=wanted.antialias,
    )


def with_precision(predictor: P, precision: Precision) -> P:
    """The predictor in the precision of ``evaluate.precision``; in float32 it is unchanged, and a network stays a network."""
    return predictor if precision == "no" else cast(P, in_mixed_precision(predictor, _DTYPES[precision]))
