"""Torchvision's classification networks as backbones; the features of each stride are found by tracing."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, fx, nn
from torchvision import models
from torchvision.models.feature_extraction import NodePathTracer, create_feature_extractor

from metrics.errors import InputError

SSDLITE = "mobilenet_v3_large_ssdlite"
"""MobileNetV3 with half the channels in its last layers (Howard et al. 2019, section 6.3), for SSDLite."""

_STRIDES = (4, 8, 16, 32)
_FINEST = {SSDLITE: 16}
_INSTEAD = {  # features before the widening for the classifier
    f"shufflenet_v2_x{width}": {32: "stage4"} for width in ("0_5", "1_0", "1_5", "2_0")
}
_PROBE = (160, 96)
"""(height, width) of an image whose aspect ratio distinguishes feature maps from other tensors."""


class Features(NamedTuple):
    """The part of a classification network that computes features.

    Attributes:
        network: computes features by name, finest first.
        unused: keys of weights of the whole network that are not needed.
        strides: of the features.
        last: for each feature, whether its channels are the last dimension.
    """

    network: nn.Module
    unused: frozenset[str]
    strides: tuple[int, ...]
    last: tuple[bool, ...]


class _Node(NamedTuple):
    name: str
    channels_last: bool


def classifier_names() -> list[str]:
    """Names of all networks for `classifier_features`, in alphabetical order."""
    return sorted([*models.list_models(module=models), SSDLITE])


def classifier_features(name: str, finest: int | None = None) -> Features:
    """Torchvision's network up to its coarsest features, with random weights.

    The features of a stride are the last tensor through which all data flows before the map becomes coarser: the output
    of a stage or, where it is expanded first, as in MobileNet and EfficientNet, the expanded one, as in SSDLite (Sandler
    et al. 2018, section 6.2).

    Args:
        name: see `classifier_names`.
        finest: stride of the finest features; None: 8, and 16 for SSDLite's network.

    Raises:
        InputError: the network has no features at that stride, because it accepts images of one size only, or its maps are
            not on a grid of its strides.
    """
    nodes = _nodes(name)
    finest = finest or _FINEST.get(name, 8)
    if finest not in nodes:
        known = f"only at {', '.join(map(str, nodes))}" if nodes else f"nor at any other of {_STRIDES}"
        raise InputError(
            f"backbone.name: {name} has no features at stride {finest}, {known}; choose another network or another backbone.finest"
        )
    taken = {stride: node for stride, node in nodes.items() if stride >= finest}
    whole = _network(name)
    keys = frozenset(whole.state_dict())
    network = create_feature_extractor(
        whole, {node.name: str(stride) for stride, node in taken.items()}, suppress_diff_warning=True
    )
    last = tuple(node.channels_last for node in taken.values())
    return Features(network, keys - frozenset(network.state_dict()), tuple(taken), last)


class OnGrid(nn.Module):
    """A network whose maps drop incomplete cells, applied to images that are padded with zeros to complete cells.

    Args:
        network: computes features by name, finest first.
        strides: of the features.
        last: for each feature, whether its channels are the last dimension.
    """

    def __init__(self, network: nn.Module, strides: tuple[int, ...], last: tuple[bool, ...]) -> None:
        super().__init__()
        self.network = network
        self.strides = strides
        self.last = last

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps (B, C, H, W); their sides are those of the images divided by the stride, rounded up."""
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % self.strides[-1], 0, -height % self.strides[-1]))
        maps = []
        for stride, last, feature in zip(self.strides, self.last, self.network(padded).values(), strict=True):
            feature = feature.permute(0, 3, 1, 2) if last else feature
            maps.append(feature[:, :, : -(-height // stride), : -(-width // stride)])
        return maps


@torch.no_grad()
def on_grid(features: Features) -> nn.Module:
    """The network itself if the sides of its maps are rounded up, otherwise an `OnGrid`.

    Some networks, such as HRNet, accept images of complete cells only.
    """
    odd = (97, 131)
    try:
        maps = list(features.network.eval()(torch.zeros(1, 3, *odd)).values())
    except (RuntimeError, AssertionError):
        maps = []
    features.network.train()
    sides = [tuple(-(-side // stride) for side in odd) for stride in features.strides]
    if not any(features.last) and [tuple(feature.shape[2:]) for feature in maps] == sides:
        return features.network
    return OnGrid(features.network, features.strides, features.last)


def stride_of(feature: Tensor, size: tuple[int, int]) -> int:
    """Stride of a map, with its channels first or last, for an image of `size` (height, width)."""
    last = has_channels_last(feature, size)
    return size[1] // feature.shape[2 if last else 3]


def has_channels_last(feature: Tensor, size: tuple[int, int]) -> bool:
    """Whether the last dimension of a map is its channels, for an image of `size` (height, width), which is not square."""
    _, first, second, third = feature.shape
    return second * size[1] != third * size[0] and first * size[1] == second * size[0]


def _network(name: str) -> nn.Module:
    # Without this argument, GoogLeNet and Inception warn that their initialisation will change.
    arguments: dict[str, Any] = {"init_weights": True} if name in {"googlenet", "inception_v3"} else {}
    if name == SSDLITE:
        arguments = {"reduced_tail": True, "norm_layer": partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)}
    network: nn.Module = models.get_model(name.removesuffix("_ssdlite"), weights=None, **arguments)
    if name.startswith(("squeezenet", "vgg")):
        _round_sides_up(network.get_submodule("features").children())
    return network


def _round_sides_up(layers: Iterable[nn.Module]) -> None:
    """Add padding to strided layers without it, so that cells have the same positions as in all other backbones."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            layer.padding = tuple(side // 2 for side in layer.kernel_size)
        elif isinstance(layer, nn.MaxPool2d):
            even = layer.kernel_size == 2
            layer.padding, layer.ceil_mode = (0, True) if even else (1, False)


@functools.cache
def _nodes(name: str) -> Mapping[int, _Node]:
    """Nodes of the features of each stride of the network, finest first."""
    network = _network(name).eval()
    # Trace like `create_feature_extractor`, so that the names are the same.
    ops = [kind for _, kind in inspect.getmembers(torchvision.ops, inspect.isclass)]
    tracer = NodePathTracer(
        autowrap_modules=(math, torchvision.ops),
        leaf_modules=[kind for kind in ops if issubclass(kind, nn.Module)],
    )
    graph = fx.GraphModule(network, tracer.trace(network))
    probe = _Probe(graph)
    try:
        with torch.no_grad():
            probe.run(torch.zeros(1, 3, *_PROBE))
    except (RuntimeError, AssertionError):
        raise InputError(
            f"backbone.name: {name} accepts images of one size only, and a detector needs any size; choose another network"
        ) from None
    nodes: dict[int, _Node] = {}
    for node in _bottlenecks(graph.graph):
        where = tracer.node_to_qualname[node]
        if where.startswith("classifier"):  # SqueezeNet's classifier has convolutions
            break
        if (maps := probe.maps.get(node)) is not None:
            stride, channels_last = maps
            nodes[stride] = _Node(where, channels_last)
    nodes |= {stride: _Node(where, False) for stride, where in _INSTEAD.get(name, {}).items()}
    return dict(sorted(nodes.items()))


class _Probe(fx.Interpreter):
    """Runs a graph and records which tensors are maps, with their stride and whether their channels are last."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.maps: dict[fx.Node, tuple[int, bool]] = {}

    def run_node(self, n: fx.Node) -> Any:
        """See `torch.fx.Interpreter`."""
        result = super().run_node(n)
        if isinstance(result, Tensor) and result.ndim == 4:
            last = has_channels_last(result, _PROBE)
            sides = tuple(result.shape[1:3] if last else result.shape[2:])
            for stride in _STRIDES:
                if sides == (_PROBE[0] // stride, _PROBE[1] // stride):
                    self.maps[n] = stride, last
        return result


def _bottlenecks(graph: fx.Graph) -> Iterable[fx.Node]:
    """Nodes through which all data from the image flows, in order."""
    positions = {node: position for position, node in enumerate(graph.nodes)}
    of_image: set[fx.Node] = set()
    farthest = -1
    for node, position in list(positions.items())[:-1]:  # the last is the output
        if node.op != "placeholder" and of_image.isdisjoint(node.all_input_nodes):
            continue  # a parameter
        of_image.add(node)
        if farthest <= position:
            yield node
        farthest = max([farthest, *(positions[user] for user in node.users)])
