"""Backbones from settings: network, input normalisation, weights, frozen stages and BatchNorm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision import models

from detectors.backbones.batchnorm import keep_statistics, reestimate
from detectors.backbones.classifiers import classifier_features, classifier_names, on_grid
from detectors.backbones.efficientnet_lite import EfficientNetLite0, packaged_weights
from detectors.backbones.layer_strides import layers_up_to, make_deformable
from detectors.backbones.mb_tiny import MbTiny
from detectors.backbones.normalisation import NORMALISATIONS, Input, Normalisation
from detectors.backbones.timm_networks import PREFIX, timm_features, timm_normalisation
from detectors.backbones.vgg16_ssd import VGG16ForSSD
from detectors.config import Config
from detectors.weights import load_state, load_weights, published, read_weights
from metrics.errors import InputError
from metrics.registry import UnknownName

BACKBONES = ("efficientnet_lite0", "mb_tiny", "vgg16_ssd", *classifier_names())
"""Valid values of `backbone.name`, besides names of timm's networks with the prefix `timm_networks.PREFIX`."""


class BackboneConfig(Config):
    """The network that computes features of images."""

    name: str = "mb_tiny"
    """`mb_tiny`; `efficientnet_lite0`; `vgg16_ssd`, VGG16 as in SSD300; any of torchvision's classification networks, such
    as `resnet50`, `convnext_tiny`, `efficientnet_b0`, `regnet_y_400mf`, `swin_t`; or, with the extra `timm`, any of timm's
    networks, such as `timm/resnet18.a1_in1k`."""
    weights: str | None = None
    """A file of weights; torchvision's name for them, such as IMAGENET1K_V1; for `efficientnet_lite0`, `auto`: ImageNet
    weights of the extra `pretrained`; none: random weights."""
    input: Input | None = None
    """Input that the weights were trained on: `imagenet` RGB by mean and standard deviation; `unit` RGB 0..1; `minus-one-one` RGB
    / 127.5 - 1; `face` (RGB - 127) / 128; `caffe-bgr` BGR 0..255 minus (104, 117, 123); `caffe-rgb` RGB 0..255
    minus (123, 117, 104); `bgr-unit` BGR 0..1; none: `minus-one-one` for `efficientnet_lite0`, that of timm's configuration
    for its networks, `imagenet` for all others."""
    finest: Literal[4, 8, 16] | None = None
    """Stride of the finest features and priors: 4 is P2 of a pyramid, 8 is P3; none: 8, and 16 for SSDLite's network."""
    frozen_stages: int = Field(default=0, ge=0, le=6)
    """Layers up to stride 2 ** frozen_stages are not trained; 0 trains all."""
    deformable_from: Literal[8, 16, 32] | None = None
    """The 3 x 3 convolutions whose output has at least this stride are `deformable` (Zhu et al. 2019), as in
    `head.conv`; 8 are the stages conv3 to conv5 of the paper. none: none of them."""
    norm: Literal["train", "frozen", "reestimate"] = "train"
    """BatchNorm: `train` normalises by batch; `frozen` keeps the loaded statistics; `reestimate`, for weights whose
    BatchNorm was folded into the convolutions, first estimates statistics from training images, then normalises by
    batch."""
    base_channel: int = Field(default=12, ge=4)
    """Width of `mb_tiny`."""
    separable: bool = False
    """Depthwise-separable blocks in `mb_tiny`, as in the face detectors; otherwise fewer, full convolutions."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BACKBONES and not name.startswith(PREFIX):
            raise ValueError(str(UnknownName("backbone", name, BACKBONES)))
        return name

    @model_validator(mode="after")
    def _deformable_layers_are_trained(self) -> Self:
        if self.deformable_from is not None and 2**self.frozen_stages >= self.deformable_from:
            raise ValueError(
                f"deformable_from={self.deformable_from} replaces layers that frozen_stages={self.frozen_stages} does not "
                f"train (up to stride {2**self.frozen_stages}); choose a larger deformable_from or fewer frozen_stages"
            )
        return self


class Backbone(nn.Module):
    """Features of images, finest first.

    Args:
        body: computes features of normalised images.
        strides: of the features; the side of a map is that of the image divided by the stride, rounded up.
        channels: of the features.
        input: normalisation for `body`, by name (see `BackboneConfig.input`) or by numbers.
        frozen_stages: see `BackboneConfig.frozen_stages`.
        norm: see `BackboneConfig.norm`.

    Attributes:
        checkpoint: whether activations are computed again in the backward pass instead of being kept (Chen et al. 2016,
            arXiv:1604.06174). Gradients and statistics of BatchNorm are the same.
    """

    checkpoint = False
    _mean: Tensor
    _deviation: Tensor

    def __init__(
        self,
        body: nn.Module,
        strides: Sequence[int],
        channels: Sequence[int],
        input: Input | Normalisation = "imagenet",
        frozen_stages: int = 0,
        norm: Literal["train", "frozen", "reestimate"] = "train",
    ) -> None:
        super().__init__()
        self.body = body
        self.strides = tuple(strides)
        self.channels = tuple(channels)
        self.norm = norm
        mean, deviation, self._bgr = input if isinstance(input, Normalisation) else NORMALISATIONS[input]
        self.register_buffer("_mean", torch.tensor(mean).view(3, 1, 1) / 255, persistent=False)
        self.register_buffer("_deviation", torch.tensor(deviation).view(3, 1, 1) / 255, persistent=False)
        frozen = layers_up_to(body, 2**frozen_stages) if frozen_stages else []
        if norm == "frozen":
            frozen += _batch_norms(body)
        for layer in frozen:
            layer.requires_grad_(False)
        self._eval_only = [layer for layer in frozen if isinstance(layer, nn.BatchNorm2d)]
        self.train(self.training)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of (B, 3, H, W) RGB images in [0, 1]."""
        if self.checkpoint and torch.is_grad_enabled():
            features: list[Tensor] = checkpoint(
                self._features,
                images,
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), keep_statistics(self)),
            )
            return features
        return self._features(images)

    def _features(self, images: Tensor) -> list[Tensor]:
        if self._bgr:
            images = images.flip(1)
        return _as_list(self.body((images - self._mean) / self._deviation))

    def train(self, mode: bool = True) -> Backbone:
        """Set the mode; frozen BatchNorm always stays in evaluation mode."""
        super().train(mode)
        for layer in self._eval_only:
            layer.eval()
        return self

    def prepare(self, batches: Iterable[Tensor], images: int = 64) -> bool:
        """Estimate the statistics of folded BatchNorm before training, if `norm` is ``reestimate``.

        Args:
            batches: (B, 3, H, W) training images in [0, 1]; no more are read than needed.
            images: number of images that are used.

        Returns:
            Whether statistics were estimated. The output in evaluation mode does not change.
        """
        if self.norm != "reestimate":
            return False
        reestimate(
            self,
            [layer for layer in _batch_norms(self.body) if layer not in self._eval_only],
            batches,
            images,
        )
        return True


def make_backbone(config: BackboneConfig) -> Backbone:
    """Build the backbone of these settings, and load its weights."""
    match config.name:
        case "mb_tiny":
            tiny = MbTiny(config.base_channel, config.separable, config.finest or 8)
            if config.weights is not None:
                load_weights(tiny, config.weights, rename=_of_mb_tiny)
            return _backbone(tiny, tiny.strides, config)
        case "vgg16_ssd":
            if config.finest not in {None, 8}:
                raise InputError(
                    f"backbone.finest: vgg16_ssd has features at strides 8 and 16, not {config.finest}"
                )
            vgg = VGG16ForSSD()
            if config.weights is not None:
                _load_vgg16(vgg, config.weights)
            return _backbone(vgg, VGG16ForSSD.strides, config)
        case "efficientnet_lite0":
            lite = EfficientNetLite0(config.finest or 8)
            if config.weights is not None:
                state = packaged_weights() if config.weights == "auto" else read_weights(config.weights)
                load_state(lite, state, f"backbone.weights: {config.weights}", rename=lite.name_of)
            return _backbone(lite, lite.strides, config, "minus-one-one")
        case name if name.startswith(PREFIX):
            name = name.removeprefix(PREFIX)
            features = timm_features(name, config.weights, config.finest)
            return _backbone(on_grid(features), features.strides, config, timm_normalisation(name))
        case name:
            features = classifier_features(name, config.finest)
            if config.weights is not None:
                state = _state(name, config.weights)
                load_state(features.network, state, config.weights, unused=features.unused)
            return _backbone(on_grid(features), features.strides, config)


def _backbone(
    body: nn.Module,
    strides: Sequence[int],
    config: BackboneConfig,
    usual: Input | Normalisation = "imagenet",
) -> Backbone:
    """A backbone of these settings; `usual` is the input that they leave open."""
    if config.deformable_from is not None:
        make_deformable(body, config.deformable_from, config.name)
    return Backbone(body, strides, _channels(body), config.input or usual, config.frozen_stages, config.norm)


def _of_mb_tiny(key: str) -> str | None:
    """Key in the backbone of a key in a face detector; None for its heads."""
    return None if "_headers." in key else key


def _load_vgg16(body: nn.Module, weights: str) -> None:
    """Load the thirteen convolutions that SSD shares with the classifier; the dilated ones keep their weights."""
    shared = {VGG16ForSSD.name_of(key): tensor for key, tensor in _state("vgg16", weights).items()}
    own = {
        key: tensor
        for key, tensor in body.state_dict().items()
        if not key.startswith(("features.", "later."))
    }
    load_state(body, {**own, **{key: tensor for key, tensor in shared.items() if key is not None}}, weights)


def _state(name: str, weights: str) -> Mapping[str, Tensor]:
    """Weights from a file, or of torchvision by name."""
    if "/" in weights or "." in weights or Path(weights).exists():
        return read_weights(weights)
    return _download(name, weights)


def _download(name: str, weights: str) -> Mapping[str, Tensor]:
    known = models.get_model_weights(name.removesuffix("_ssdlite"))
    if weights not in known.__members__:
        raise InputError(
            f"backbone.weights: {name} has no weights named {weights!r}, and there is no such file; "
            f"known: {', '.join(known.__members__)}"
        )
    return published(known[weights], f"backbone.weights: {weights} of {name}")


@torch.no_grad()
def _channels(body: nn.Module) -> list[int]:
    training = body.training
    features = body.eval()(torch.zeros(1, 3, 64, 64))
    body.train(training)
    return [feature.shape[1] for feature in _as_list(features)]


def _as_list(features: Mapping[str, Tensor] | Sequence[Tensor]) -> list[Tensor]:
    return list(features.values()) if isinstance(features, Mapping) else list(features)


def _batch_norms(module: nn.Module) -> list[nn.Module]:
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
