"""Raw outputs of all kinds of detectors in tests: comparison, one image of a batch, scores that are far apart.

A new kind of raw output registers its functions with `select_image` and `separate_scores`.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any, TypeVar

import torch
from torch import Tensor

from detectors.dense import DenseConfig
from detectors.registry import VARIANTS
from detectors.segmentation import SegmentationOutput
from detectors.set_prediction import SetOutput
from detectors.sliding_window import WindowOutput
from detectors.types import DenseOutput, TwoStageOutput

Output = TypeVar("Output")

DENSE = [name for name in VARIANTS.names() if issubclass(VARIANTS[name].config, DenseConfig)]
"""Names of the dense variants."""


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-5, where: str = "output") -> None:
    """Compare raw outputs up to the rounding of a float32 network: about 1e-7 of the largest value at each layer."""
    assert type(actual) is type(expected), where
    if isinstance(expected, Tensor):
        torch.testing.assert_close(
            actual, expected, rtol=tolerance, atol=tolerance, msg=lambda text: f"{where}: {text}"
        )
    elif isinstance(expected, tuple):
        assert len(actual) == len(expected), where
        names = getattr(expected, "_fields", range(len(expected)))
        for name, one, other in zip(names, actual, expected, strict=True):
            assert_close(one, other, tolerance, f"{where}.{name}")
    else:
        assert actual == expected, where


@singledispatch
def select_image(output: Output, k: int) -> Output:
    """Select image `k` of the output, as a batch of one."""
    raise NotImplementedError(f"register select_image for {type(output).__name__}")


@singledispatch
def separate_scores(output: Output) -> Output:
    """Replace the scores, nearly equal with random weights, by scores that differ by far more than rounding.

    With near ties rounding would decide which of two boxes is suppressed, and where a list of detections is cut.
    """
    raise NotImplementedError(f"register separate_scores for {type(output).__name__}")


@select_image.register
def _(output: DenseOutput, k: int) -> DenseOutput:
    names = ("logits", "codes", "quality", "auxiliary")
    maps = {name: getattr(output, name) for name in names}
    return output._replace(**{name: each[k : k + 1] for name, each in maps.items() if each is not None})


@separate_scores.register
def _(output: DenseOutput) -> DenseOutput:
    draw = torch.Generator().manual_seed(2)
    codes = output.codes + 0.2 * torch.randn(output.codes.shape, generator=draw)
    logits = 3 * torch.randn(output.logits.shape, generator=draw)
    quality = None if output.quality is None else torch.randn(output.quality.shape, generator=draw)
    return output._replace(logits=logits, codes=codes, quality=quality)


@select_image.register
def _(output: SegmentationOutput, k: int) -> SegmentationOutput:
    return SegmentationOutput(output.logits[k : k + 1])


@separate_scores.register
def _(output: SegmentationOutput) -> SegmentationOutput:
    """Blocks of 8 x 8 pixels of random classes, so that every component is large enough."""
    draw = torch.Generator().manual_seed(2)
    images, classes, height, width = output.logits.shape
    blocks = 3 * torch.randn(images, classes, -(-height // 8), -(-width // 8), generator=draw)
    logits = blocks.repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)[:, :, :height, :width]
    return SegmentationOutput(logits)


@select_image.register
def _(output: SetOutput, k: int) -> SetOutput:
    own = slice(k, k + 1)
    dense = None if output.dense is None else select_image(output.dense, k)
    features = tuple(feature[own] for feature in output.features)
    return SetOutput(output.logits[own], output.boxes[own], dense, features, output.image_size)


@separate_scores.register
def _(output: SetOutput) -> SetOutput:
    draw = torch.Generator().manual_seed(2)
    boxes = (output.boxes + 0.1 * torch.randn(output.boxes.shape, generator=draw)).clamp(0.01, 0.99)
    return output._replace(logits=3 * torch.randn(output.logits.shape, generator=draw), boxes=boxes)


@select_image.register
def _(output: TwoStageOutput, k: int) -> TwoStageOutput:
    features = tuple(feature[k : k + 1] for feature in output.features)
    return TwoStageOutput(features, select_image(output.proposals, k))


@separate_scores.register
def _(output: TwoStageOutput) -> TwoStageOutput:
    draw = torch.Generator().manual_seed(3)
    features = tuple(30 * torch.randn(feature.shape, generator=draw) for feature in output.features)
    return TwoStageOutput(features, separate_scores(output.proposals))


@select_image.register
def _(output: WindowOutput, k: int) -> WindowOutput:
    grid = None if output.grid is None else select_image(output.grid, k)
    return WindowOutput(output.images[k : k + 1], grid)


@separate_scores.register
def _(output: WindowOutput) -> WindowOutput:
    assert output.grid is not None
    return output._replace(grid=separate_scores(output.grid))
