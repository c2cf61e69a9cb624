"""Pruning of a network: channels, whole groups of layers at once, or single weights; the smallest ones are removed."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from detectors.compression.traced_layers import TracedNetwork
from detectors.graph.onnx_file import require_packages
from metrics.errors import InputError

MULTIPLE = 8
"""Numbers of channels are multiples of it, because kernels of processors compute that many at once."""


def prune_channels(detector: nn.Module, share: float, size: tuple[int, int]) -> int:
    """Remove the channels with the smallest L2 norm of each group of layers that share them, and adapt these layers.

    Layers share channels through additions, concatenations, normalisation and the layers that read them; the norm is over the
    weights of all of them (Fang et al. 2023, DepGraph, arXiv:2301.12900, by the package torch-pruning). Output layers keep
    their channels, and so do maps that something other than convolutions and linear layers reads, such as the levels from
    which regions are pooled. Layers that are not trained are pruned, too.

    Args:
        detector: is changed; afterwards it is in evaluation mode.
        share: of the channels of each group, in (0, 1). The number of those that are left is rounded to a multiple of
            `MULTIPLE`, and is at least `MULTIPLE`.
        size: (height, width) of its input.

    Returns:
        Number of pruned groups.

    Raises:
        InputError: this kind of detector cannot be pruned, or no group has more channels than are to be left.
        MachineError: the package torch-pruning is missing.
    """
    require_packages(("torch_pruning",), "compress")
    import torch_pruning

    network = TracedNetwork(detector.eval())
    images = torch.zeros(1, 3, *size)
    trained = {name for name, parameter in detector.named_parameters() if parameter.requires_grad}
    detector.requires_grad_(True)  # dependencies are seen in the graph of the gradients
    with torch.enable_grad():
        network.add_readers(images)
        graph: Any = torch_pruning.DependencyGraph().build_dependency(
            network, example_inputs=images, verbose=False
        )
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
    with torch.no_grad():
        groups = [group for group in graph.get_all_groups() if _is_inner(graph, group, network)]
        # All are chosen before the first is removed, which moves the channels of others in concatenations.
        chosen = [_smallest(importance(group).cpu(), share, _parts(graph, group)) for group in groups]
        for group, removed in zip(groups, chosen, strict=True):
            root = group[0].dep
            if removed:
                graph.get_pruning_group(root.target.module, root.handler, removed).prune()
    pruned = sum(bool(removed) for removed in chosen)
    for name, parameter in detector.named_parameters():
        parameter.requires_grad_(name in trained)
    if not pruned:
        raise InputError(
            f"prune: no group of layers has channels to remove; at least {MULTIPLE} are left of each, so prune a wider network"
        )
    return pruned


def prune_weights(detector: nn.Module, share: float) -> int:
    """Set the weights with the smallest magnitude in all convolutions and linear layers to zero, and keep them zero in training.

    The magnitudes of all layers are compared with each other (Han et al. 2015, arXiv:1506.02626). The network computes as
    many operations as before. Gradients of these weights are zero from then on, so that an optimizer that starts without
    momentum leaves them at zero.

    Args:
        detector: is changed.
        share: of all weights of these layers, in (0, 1); rounded down to a whole number.

    Returns:
        Number of weights that are zero.
    """
    weights = [
        layer.weight
        for layer in detector.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    with torch.no_grad():
        magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
        count = int(share * len(magnitudes))
        kept = torch.ones_like(magnitudes)
        kept[magnitudes.argsort(stable=True)[:count]] = 0
        masks = torch.split(kept, [weight.numel() for weight in weights])
        for weight, mask in zip(weights, masks, strict=True):
            weight.mul_(mask.view_as(weight))
            if weight.requires_grad:
                _hold_zero(weight, mask.view_as(weight))
    return count


def _hold_zero(weight: Any, mask: Tensor) -> None:
    weight.register_hook(lambda gradient: gradient * mask.to(gradient.device))


def _is_inner(graph: Any, group: Any, network: TracedNetwork) -> bool:
    """Whether the channels of a group are read by layers of the detector, and by nothing else."""
    read = False
    for dependency, _ in group:
        module = dependency.target.module
        if module in set(network.readers):
            return False
        read |= isinstance(
            module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear
        ) and graph.is_in_channel_pruning_fn(dependency.handler)
    return read


def _parts(graph: Any, group: Any) -> int:
    """Number of parts of the channels that must keep equal sizes: those of grouped convolutions and group normalisation."""
    parts = 1
    for dependency, _ in group:
        module = dependency.target.module
        if isinstance(module, nn.GroupNorm):
            parts = math.lcm(parts, module.num_groups)
        elif isinstance(module, nn.Conv2d) and 1 < module.groups < module.out_channels:
            parts = math.lcm(parts, module.groups)
    return parts


def _smallest(importance: Tensor, share: float, parts: int) -> list[int]:
    """Indices of the channels to remove; of each part equally many, at equal places."""
    count = len(importance)
    unit = math.lcm(MULTIPLE, parts)
    left = unit * max(1, math.floor(count * (1 - share) / unit + 0.5))
    if left >= count or count % parts:
        return []
    size = count // parts
    order = importance.view(parts, size).mean(dim=0).argsort(stable=True)
    removed = order[: size - left // parts]
    return sorted(part * size + int(place) for part in range(parts) for place in removed)
