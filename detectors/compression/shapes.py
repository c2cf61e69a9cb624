"""Shapes of a network's tensors that differ from those of its settings, and a network with such shapes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from metrics.errors import InputError

Shape = tuple[int, ...]


def changed_shapes(network: nn.Module, original: nn.Module) -> dict[str, Shape]:
    """Shape of each tensor of a network that has another shape than in the network that it was made of, by name."""
    before = original.state_dict()
    return {
        name: tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if name in before and tensor.shape != before[name].shape
    }


def set_shapes(network: nn.Module, shapes: Mapping[str, Shape]) -> None:
    """Replace tensors of a network by empty ones of other shapes, and adapt its layers to them; weights are loaded afterwards.

    Args:
        network: built from the settings.
        shapes: of its tensors by name, as `changed_shapes` returns them.

    Raises:
        InputError: the network has no such tensor, or it has another number of dimensions.
    """
    tensors = network.state_dict()
    wrong = [
        name for name, shape in shapes.items() if name not in tensors or tensors[name].ndim != len(shape)
    ]
    if wrong:
        raise InputError(
            f"pruned: {wrong[0]} with shape {tuple(shapes[wrong[0]])} is not a tensor of this network; its settings are those of "
            "another one"
        )
    for name, shape in shapes.items():
        path, _, own = name.rpartition(".")
        layer = network.get_submodule(path)
        old = getattr(layer, own)
        new = torch.empty(shape, dtype=old.dtype, device=old.device)
        setattr(layer, own, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)
        if own == "weight" or own == "running_mean":
            _adapt(layer, shape)
    network.to(memory_format=torch.channels_last)


def _adapt(layer: nn.Module, shape: Shape) -> None:
    """Set the numbers of channels of a layer whose weights have this shape."""
    match layer:
        case nn.ConvTranspose2d():
            layer.in_channels, layer.out_channels = shape[0], shape[1] * layer.groups
        case nn.Conv2d():
            if layer.groups == layer.in_channels > 1:  # depthwise
                layer.groups = shape[0]
            layer.in_channels, layer.out_channels = shape[1] * layer.groups, shape[0]
        case nn.Linear():
            layer.out_features, layer.in_features = shape
        case nn.BatchNorm2d():
            layer.num_features = shape[0]
        case nn.GroupNorm():
            layer.num_channels = shape[0]
        case nn.LayerNorm():
            layer.normalized_shape = shape
