"""VGG16 as in SSD300: normalised conv4_3, and dilated convolutions instead of fully connected layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

_POOLS = (4, 9, 16, 23)
"""Indices of the first four pooling layers in VGG16's features."""


class VGG16ForSSD(nn.Module):
    """Liu et al. 2016, section 3: features of conv4_3 at stride 8 and of the convolution made from fc7 at stride 16.

    The thirteen convolutions of VGG16 are ``features`` and, after the fourth pooling, ``later``.
    """

    strides = (8, 16)

    def __init__(self) -> None:
        super().__init__()
        layers = list(make_layers(cfgs["D"], batch_norm=False))
        layers[_POOLS[2]].ceil_mode = True  # 38 cells of 300 pixels at stride 8, as in the paper
        self.scale = nn.Parameter(torch.full((512,), 20.0))  # section 3.1, of the normalised conv4_3
        self.features = nn.Sequential(*layers[: _POOLS[3]])
        self.later = nn.Sequential(*layers[_POOLS[3] : -1])
        self.dilated = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(512, 1024, 3, padding=6, dilation=6),
            nn.ReLU(inplace=True),
            nn.Conv2d(1024, 1024, 1),
            nn.ReLU(inplace=True),
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features at each of `strides`."""
        x = self.features(images)
        return [F.normalize(x) * self.scale.view(1, -1, 1, 1), self.dilated(self.later(x))]

    @staticmethod
    def name_of(key: str) -> str | None:
        """Name of a parameter of torchvision's VGG16 in this network; None if it is not used."""
        index, _, rest = key.removeprefix("features.").partition(".")
        if not key.startswith("features."):
            return None
        return key if int(index) < _POOLS[3] else f"later.{int(index) - _POOLS[3]}.{rest}"
