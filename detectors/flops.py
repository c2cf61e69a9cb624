"""FLOPs of a network, counted by torch."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from detectors.types import Detector, TwoStageOutput

FLOP_COUNTER = (
    f"torch.utils.flop_counter of torch {torch.__version__.split('+')[0]}: convolutions, matrix products and "
    "attention; without activations, normalisation, resizing, box decoding and NMS"
)


def forward_flops(network: nn.Module, size: tuple[int, int], device: torch.device | None = None) -> int:
    """FLOPs of one image through a network in evaluation mode, of a two-stage detector with the regions of a black image.

    A multiply-add counts as two; see `FLOP_COUNTER`.

    Args:
        network: a detector or another predictor; it stays in its mode.
        size: (height, width) of the network's input.
        device: of the network; None for the CPU.
    """
    images = torch.zeros(1, 3, *size, device=device)
    counter = FlopCounterMode(display=False)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    with torch.no_grad(), counter:
        if hasattr(network, "decode"):
            output = network(images)
            if isinstance(output, TwoStageOutput):  # its heads on regions are a part of `decode`
                cast(Detector, network).decode(output)
        else:
            cast(Any, network).predict(images)
    for module, training in modes:
        module.training = training
    return int(counter.get_total_flops())
