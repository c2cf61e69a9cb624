"""Networks of timm (https://github.com/huggingface/pytorch-image-models) as backbones, with weights from local files."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from detectors.backbones.classifiers import Features, has_channels_last
from detectors.backbones.normalisation import Normalisation
from detectors.weights import load_state, read_weights
from metrics.errors import InputError, MachineError
from metrics.messages import reason
from metrics.plurals import plural
from metrics.registry import UnknownName

PREFIX = "timm/"
"""`backbone.name` of a network of timm is this prefix and timm's name."""

_STRIDES = (4, 8, 16, 32)
_PROBE = (160, 96)
"""(height, width) of an image whose aspect ratio distinguishes channels from sides."""


def timm_features(name: str, weights: str | None = None, finest: int | None = None) -> Features:
    """A network of timm up to its coarsest features, by ``features_only``.

    The features of a stride are the last that timm lists for it.

    Args:
        name: timm's, such as ``resnet18`` or, with a tag for weights and their configuration, ``resnet18.a1_in1k``.
        weights: a file of the whole network (see `read_weights`), such as ``model.safetensors`` of the network's page at
            https://huggingface.co/timm; its classifier may have any number of classes. None: random weights.
        finest: stride of the finest features; None: 8.

    Raises:
        InputError: the name is unknown, the network has no features, none at that stride, or accepts images of one size
            only, or the weights do not fit.
        MachineError: timm is not installed.
    """
    finest = finest or 8
    whole = _create(name, num_classes=0)
    if weights is not None:
        state = read_weights(weights)
        load_state(whole, state, weights, unused=_classifier_keys(whole, state))
    # timm loads the weights before it removes and renames layers.
    given = {} if weights is None else {"pretrained_cfg_overlay": {"state_dict": whole.state_dict()}}
    try:
        network = _create(name, features_only=True, pretrained=weights is not None, **given)
    except (RuntimeError, AssertionError, AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"backbone.name: timm has no features of {name} ({reason(error)}); choose another network"
        ) from None
    listed: list[int] = network.feature_info.reduction()
    places = {stride: place for place, stride in enumerate(listed) if stride in _STRIDES}
    if finest not in places:
        known = f"only at {', '.join(map(str, places))}" if places else f"nor at any other of {_STRIDES}"
        raise InputError(
            f"backbone.name: {PREFIX}{name} has no features at stride {finest}, {known}; "
            "choose another network or another backbone.finest"
        )
    places = {stride: places[stride] for stride in sorted(places) if stride >= finest}
    levels = _Levels(network, places)
    return Features(levels, frozenset(), tuple(places), _channels_last(levels, name))


def timm_normalisation(name: str) -> Normalisation:
    """Normalisation of the input that timm's configuration of a network states.

    Raises:
        InputError: the name is unknown.
        MachineError: timm is not installed.
    """
    config = _timm().get_pretrained_cfg(_known(name))
    return Normalisation([255 * mean for mean in config.mean], [255 * std for std in config.std])


class _Levels(nn.Module):
    """Some of the maps of a network, by name.

    Args:
        network: computes a list of maps.
        places: place in the list of the map of each stride.
    """

    def __init__(self, network: nn.Module, places: Mapping[int, int]) -> None:
        super().__init__()
        self.network = network
        self._places = dict(places)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.network(images)
        return {str(stride): maps[place] for stride, place in self._places.items()}


def _create(name: str, **arguments: Any) -> Any:
    log = logging.getLogger("timm")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns about weights of layers that compute no features
    try:
        return _timm().create_model(_known(name), **arguments)
    finally:
        log.setLevel(level)


def _known(name: str) -> str:
    """The name, if timm has a network and, after a dot, weights of this name."""
    timm = _timm()
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture) or (tag and name not in timm.list_pretrained(f"{architecture}.*")):
        names = timm.list_pretrained() if tag else timm.list_models()
        raise InputError(f"backbone.name: {_unknown(name, names)}")
    return name


def _unknown(name: str, names: Collection[str]) -> str:
    error = UnknownName("network of timm", name, names)
    if error.nearest is not None:
        return str(error)
    return f"unknown network of timm {name!r}; `timm.list_models()` lists {plural(len(names), 'name')}"


def _timm() -> Any:
    if find_spec("timm") is None:
        raise MachineError(
            "backbone.name: networks of timm need the package timm; install it with `pip install detbench[timm]`"
        )
    import timm

    return timm


def _classifier_keys(network: Any, state: Mapping[str, Tensor]) -> set[str]:
    """Keys of the classifier, which timm's configuration names: one layer or several."""
    named = network.pretrained_cfg.get("classifier") or ()
    layers = (named,) if isinstance(named, str) else tuple(named)
    return {key for key in state if key.startswith(tuple(f"{layer}." for layer in layers))}


@torch.no_grad()
def _channels_last(levels: _Levels, name: str) -> tuple[bool, ...]:
    """Whether the channels of each map are its last dimension."""
    try:
        maps = levels.eval()(torch.zeros(1, 3, *_PROBE)).values()
    except (RuntimeError, AssertionError):
        raise InputError(
            f"backbone.name: {PREFIX}{name} accepts images of one size only, and a detector needs any size; choose another network"
        ) from None
    levels.train()
    return tuple(has_channels_last(feature, _PROBE) for feature in maps)
