"""Statistics of BatchNorm: estimated where it was folded into the convolutions, or kept in a repeated forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@torch.no_grad()
def reestimate(
    network: nn.Module, layers: Sequence[nn.Module], batches: Iterable[Tensor], images: int = 64
) -> None:
    """Set the statistics of `layers` to those of their input, and their weights so that the output is unchanged.

    A folded layer is y = x weight / sqrt(1 + eps) + bias with statistics (0, 1); normalising by batch would change the
    network's function. With mean m and variance v of its input, weight' = scale sqrt(v + eps) and bias' = bias +
    scale (m - mean), where scale = weight / sqrt(variance + eps), the function is the same in evaluation mode, and nearly
    the same in training mode.

    Args:
        network: is run on the batches in evaluation mode.
        layers: BatchNorm layers of `network`, with affine parameters.
        batches: (B, 3, H, W) images.
        images: number of images that are used.
    """
    sums: dict[nn.Module, Tensor] = {}
    counts: dict[nn.Module, int] = {}

    def observe(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        moments = torch.stack([x.sum(dim=(0, 2, 3)), (x * x).sum(dim=(0, 2, 3))])
        sums[layer] = sums.get(layer, torch.zeros_like(moments)) + moments
        counts[layer] = counts.get(layer, 0) + x.numel() // x.shape[1]

    hooks = [layer.register_forward_pre_hook(observe) for layer in layers]
    training = network.training
    network.eval()
    seen = 0
    try:
        for batch in batches:
            network(batch)
            seen += len(batch)
            if seen >= images:
                break
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    for layer, moments in sums.items():
        assert isinstance(layer, nn.BatchNorm2d)
        assert layer.running_mean is not None
        assert layer.running_var is not None
        mean, square = moments / counts[layer]
        variance = (square - mean * mean).clamp(min=0)
        scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
        layer.bias.add_(scale * (mean.float() - layer.running_mean))
        layer.weight.copy_(scale * torch.sqrt(variance.float() + layer.eps))
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(variance)


@contextmanager
def keep_statistics(network: nn.Module) -> Iterator[None]:
    """Context in which forward passes do not change the running statistics of BatchNorm."""
    layers = [
        layer
        for layer in network.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training
    ]
    before = [(layer.momentum, layer.num_batches_tracked) for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked = layer.num_batches_tracked.clone()
    try:
        yield
    finally:
        for layer, (momentum, batches) in zip(layers, before, strict=True):
            layer.momentum = momentum
            layer.num_batches_tracked = batches
