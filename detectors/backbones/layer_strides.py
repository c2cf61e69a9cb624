"""Layers of a backbone by the stride at which they compute: which are frozen, and which become deformable."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from detectors.backbones.classifiers import stride_of
from detectors.deformable_conv import DeformableConv, is_deformable
from metrics.errors import InputError

_PROBE = (320, 192)
"""(height, width) of an image that shows the strides of layers."""


@torch.no_grad()
def make_deformable(body: nn.Module, stride: int, name: str) -> None:
    """Replace the 3 x 3 convolutions whose output has at least `stride` by deformable ones with the same weights.

    Args:
        body: computes features of images.
        stride: smallest stride of the outputs of those convolutions.
        name: of the network, for the error.

    Raises:
        InputError: there is no such convolution.
    """
    chosen: dict[str, nn.Conv2d] = {}

    def choose(path: str, layer: nn.Module, output: Tensor) -> None:
        if isinstance(layer, nn.Conv2d) and stride_of(output, _PROBE) >= stride:
            chosen[path] = layer

    _watch(body, {path: layer for path, layer in body.named_modules() if is_deformable(layer)}, choose)
    if not chosen:
        raise InputError(
            f"backbone.deformable_from: {name} has no 3 x 3 convolutions in one group at strides of {stride} or more; choose "
            "another backbone.name, such as resnet18, or backbone.deformable_from=none"
        )
    for path, layer in chosen.items():
        body.set_submodule(path, DeformableConv(layer), strict=True)


@torch.no_grad()
def layers_up_to(body: nn.Module, stride: int) -> list[nn.Module]:
    """Modules whose parameters are all used before the features become coarser than `stride`."""
    order: list[tuple[nn.Module, int]] = []

    def note(_: str, layer: nn.Module, output: Tensor) -> None:
        # Tokens (B, N, C) are of the stride of the map that they were made from.
        before = order[-1][1] if order else 1
        order.append((layer, stride_of(output, _PROBE) if output.ndim == 4 else before))

    leaves = {
        path: layer
        for path, layer in body.named_modules()
        if not list(layer.children()) and list(layer.parameters())
    }
    _watch(body, leaves, note)
    # Squeeze-and-excitation works on one pixel, so the end is the last layer that is fine enough, not the first that is
    # too coarse.
    end = max((index for index, (_, at) in enumerate(order, start=1) if at <= stride), default=0)
    frozen = {layer for layer, _ in order[:end]}
    # A block can have parameters besides those of its layers, such as a scale.
    return [layer for layer in body.modules() if frozen.issuperset(_leaves(layer))]


@torch.no_grad()
def _watch(
    body: nn.Module, layers: Mapping[str, nn.Module], see: Callable[[str, nn.Module, Tensor], None]
) -> None:
    """Call `see` with path, layer and output of each of these layers, in the order in which they compute an image."""
    hooks = [
        layer.register_forward_hook(lambda layer, _, output, path=path: see(path, layer, output))
        for path, layer in layers.items()
    ]
    training = body.training
    body.eval()(torch.zeros(1, 3, *_PROBE, device=next(body.parameters()).device))
    body.train(training)
    for hook in hooks:
        hook.remove()


def _leaves(module: nn.Module) -> set[nn.Module]:
    return {layer for layer in module.modules() if not list(layer.children()) and list(layer.parameters())}
