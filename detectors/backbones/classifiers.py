"""Torchvision's classification networks as backbones: where each holds the features of every stride."""

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
"""MobileNetV3 with half the channels in its last layers (Howard et al. 2019, section 6.3), as SSDLite wants it."""

_STRIDES = (4, 8, 16, 32)
_FINEST = {SSDLITE: 16}
_INSTEAD = {  # features that are better than the last ones before the classifier: not widened for it
    f"shufflenet_v2_x{width}": {32: "stage4"} for width in ("0_5", "1_0", "1_5", "2_0")
}
_PROBE = (160, 96)
"""(height, width) of the image by which maps are told from other tensors: no map of channels has these proportions."""


class Features(NamedTuple):
    """The part of a classification network that makes features.

    Attributes:
        network: images to features by name, finest first.
        unused: keys of the whole network's weights that it has no use for.
        strides: of the features.
        last: for each, whether its channels come last.
    """

    network: nn.Module
    unused: frozenset[str]
    strides: tuple[int, ...]
    last: tuple[bool, ...]


class _Node(NamedTuple):
    name: str
    channels_last: bool


def classifier_names() -> list[str]:
    """All networks that `classifier_features` takes, in alphabetical order."""
    return sorted([*models.list_models(module=models), SSDLITE])


def classifier_features(name: str, finest: int | None = None) -> Features:
    """Torchvision's network up to its coarsest features, with random weights.

    The features of a stride are the last tensor that all of the network's later layers are made from, before the map
    gets coarser: the output of a stage, and where that is widened first, as in MobileNets and EfficientNets, the
    widened one, which SSDLite uses too (Sandler et al. 2018, section 6.2).

    Args:
        name: see `classifier_names`.
        finest: stride of the finest features; None: 8, and 16 for SSDLite's.

    Raises:
        InputError: it has no features at that stride: it takes images of one size only, or its maps do not lie on
            a grid of its strides.
    """
    nodes = _nodes(name)
    finest = finest or _FINEST.get(name, 8)
    if finest not in nodes:
        known = f"only at {', '.join(map(str, nodes))}" if nodes else f"nor at any other of {_STRIDES}"
        raise InputError(
            f"backbone.name: {name} has no features at stride {finest}, {known}; take another network or finest"
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
    """A network whose maps lose what does not fill a cell, on images padded with zeros until all cells are full.

    Args:
        network: images to features by name, finest first.
        strides: of the features.
        last: for each, whether its channels come last.
    """

    def __init__(self, network: nn.Module, strides: tuple[int, ...], last: tuple[bool, ...]) -> None:
        super().__init__()
        self.network = network
        self.strides = strides
        self.last = last

    def forward(self, images: Tensor) -> list[Tensor]:
        """Maps (B, C, H, W), whose sides are the images' over the stride, rounded up."""
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % self.strides[-1], 0, -height % self.strides[-1]))
        maps = []
        for stride, last, feature in zip(self.strides, self.last, self.network(padded).values(), strict=True):
            feature = feature.permute(0, 3, 1, 2) if last else feature
            maps.append(feature[:, :, : -(-height // stride), : -(-width // stride)])
        return maps


@torch.no_grad()
def on_grid(features: Features) -> nn.Module:
    """The network itself where its maps round up, otherwise as `OnGrid`."""
    odd = (97, 131)
    maps = features.network.eval()(torch.zeros(1, 3, *odd)).values()
    features.network.train()
    sides = [tuple(-(-side // stride) for side in odd) for stride in features.strides]
    if not any(features.last) and [tuple(feature.shape[2:]) for feature in maps] == sides:
        return features.network
    return OnGrid(features.network, features.strides, features.last)


def stride_of(feature: Tensor, size: tuple[int, int]) -> int:
    """How much smaller a map, with its channels first or last, is than the image of `size` (height, width)."""
    last = _has_channels_last(feature, size)
    return size[1] // feature.shape[2 if last else 3]


def _has_channels_last(feature: Tensor, size: tuple[int, int]) -> bool:
    _, first, second, third = feature.shape
    return second * size[1] != third * size[0] and first * size[1] == second * size[0]


def _network(name: str) -> nn.Module:
    # GoogLeNet and Inception warn that how they start will change, unless they are told to start as they always did.
    told: dict[str, Any] = {"init_weights": True} if name in {"googlenet", "inception_v3"} else {}
    if name == SSDLITE:
        told = {"reduced_tail": True, "norm_layer": partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)}
    network: nn.Module = models.get_model(name.removesuffix("_ssdlite"), weights=None, **told)
    if name.startswith(("squeezenet", "vgg")):
        _round_sides_up(network.get_submodule("features").children())
    return network


def _round_sides_up(layers: Iterable[nn.Module]) -> None:
    """Padding where a strided layer has none: else its maps lack a border, and its cells are not where those of all
    other backbones are.
    """
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            layer.padding = tuple(side // 2 for side in layer.kernel_size)
        elif isinstance(layer, nn.MaxPool2d):
            even = layer.kernel_size == 2
            layer.padding, layer.ceil_mode = (0, True) if even else (1, False)


@functools.cache
def _nodes(name: str) -> Mapping[int, _Node]:
    """Where the features of each stride are, finest first; strides that the network does not have are left out."""
    network = _network(name).eval()
    # As `create_feature_extractor` traces, so that names are the same.
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
            f"backbone.name: {name} takes images of one size only, and a detector any; take another network"
        ) from None
    found: dict[int, _Node] = {}
    for node in _bottlenecks(graph.graph):
        where = tracer.node_to_qualname[node]
        if where.startswith("classifier"):  # SqueezeNet's is made of convolutions
            break
        if (maps := probe.maps.get(node)) is not None:
            stride, channels_last = maps
            found[stride] = _Node(where, channels_last)
    found |= {stride: _Node(where, False) for stride, where in _INSTEAD.get(name, {}).items()}
    return dict(sorted(found.items()))


class _Probe(fx.Interpreter):
    """Runs a graph and notes which of its tensors are maps: their stride, and whether their channels come last."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.maps: dict[fx.Node, tuple[int, bool]] = {}

    def run_node(self, n: fx.Node) -> Any:
        """See `torch.fx.Interpreter`."""
        result = super().run_node(n)
        if isinstance(result, Tensor) and result.ndim == 4:
            last = _has_channels_last(result, _PROBE)
            sides = tuple(result.shape[1:3] if last else result.shape[2:])
            for stride in _STRIDES:
                if sides == (_PROBE[0] // stride, _PROBE[1] // stride):
                    self.maps[n] = stride, last
        return result


def _bottlenecks(graph: fx.Graph) -> Iterable[fx.Node]:
    """The nodes through which all that comes from the image flows, in order: no path leads around them."""
    places = {node: place for place, node in enumerate(graph.nodes)}
    of_image: set[fx.Node] = set()
    farthest = -1
    for node, place in list(places.items())[:-1]:  # the last is the output
        if node.op != "placeholder" and of_image.isdisjoint(node.all_input_nodes):
            continue  # a parameter
        of_image.add(node)
        if farthest <= place:
            yield node
        farthest = max([farthest, *(places[user] for user in node.users)])
