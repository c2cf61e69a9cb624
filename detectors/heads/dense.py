"""Dense heads: class logits, codes and quality of every prior from the features of each level."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from detectors.deformable_conv import DeformableConv
from detectors.norm import BatchNorm

Norm = Literal["none", "group", "batch"]
HeadConv = Literal["conv", "separable", "light"]
TowerConv = Literal["standard", "deformable"]


class HeadOutput(NamedTuple):
    """Output for all A priors of B images, level by level, row by row, cell by cell.

    Attributes:
        logits: (B, A, class channels).
        codes: (B, A, code channels).
        quality: (B, A); None without a quality branch.
        auxiliary: (B, A, class channels) logits of a second class branch; see `detectors.heads.dual.DualHead`.
    """

    logits: Tensor
    codes: Tensor
    quality: Tensor | None
    auxiliary: Tensor | None = None


class TowerFeatures(NamedTuple):
    """Features of one level, (B, channels, rows, columns) each.

    Attributes:
        classes: of the class tower.
        boxes: of the box tower.
    """

    classes: Tensor
    boxes: Tensor


class SharedHead(nn.Module):
    """One pair of towers for all levels: the head of RetinaNet and, with a quality branch, of FCOS.

    Args:
        channels_in: of every level.
        levels: number of levels.
        priors: per cell.
        class_channels: per prior.
        code_channels: per prior.
        class_bias: initial bias of the class branch.
        convs: convolutions in each tower; 4 in the papers.
        conv: kind of these convolutions; see `DeformableConv`.
        norm: after each convolution; BatchNorm has separate statistics for each level, because their scales differ.
        quality: whether there is a quality branch.
        level_scale: whether the codes of each level are multiplied by a learned scale (Tian et al. 2019, section 3.2).
    """

    def __init__(
        self,
        channels_in: int,
        levels: int,
        priors: int,
        class_channels: int,
        code_channels: int,
        class_bias: float = 0.0,
        convs: int = 4,
        norm: Norm = "none",
        quality: bool = False,
        level_scale: bool = False,
        conv: TowerConv = "standard",
    ) -> None:
        super().__init__()
        self.class_channels = class_channels
        self.code_channels = code_channels
        self.class_tower = _Tower(channels_in, convs, norm, levels, conv)
        self.box_tower = _Tower(channels_in, convs, norm, levels, conv)
        self.class_out = nn.Conv2d(channels_in, priors * class_channels, 3, padding=1)
        self.box_out = nn.Conv2d(channels_in, priors * code_channels, 3, padding=1)
        self.quality_out = nn.Conv2d(channels_in, priors, 3, padding=1) if quality else None
        self.level_scale = nn.Parameter(torch.ones(levels)) if level_scale else None
        for layer in (self.class_out, self.box_out, self.quality_out):
            if layer is not None:
                _start(layer, 0.0)
        _start(self.class_out, class_bias)

    def forward(self, features: Sequence[Tensor]) -> HeadOutput:
        """See `HeadOutput`."""
        return self.outputs(self.towers(features))

    def towers(self, features: Sequence[Tensor]) -> list[TowerFeatures]:
        """Features of both towers at each level."""
        return [
            TowerFeatures(self.class_tower(feature, level), self.box_tower(feature, level))
            for level, feature in enumerate(features)
        ]

    def outputs(self, towers: Sequence[TowerFeatures]) -> HeadOutput:
        """Output for the features of the towers; see `HeadOutput`."""
        logits, codes, quality = [], [], []
        for level, tower in enumerate(towers):
            logits.append(_by_prior(self.class_out(tower.classes), self.class_channels))
            code = _by_prior(self.box_out(tower.boxes), self.code_channels)
            codes.append(code if self.level_scale is None else code * self.level_scale[level])
            if self.quality_out is not None:
                quality.append(_by_prior(self.quality_out(tower.boxes), 1).squeeze(-1))
        return HeadOutput(
            torch.cat(logits, 1), torch.cat(codes, 1), torch.cat(quality, 1) if quality else None
        )


class OwnHeads(nn.Module):
    """Separate heads for each level.

    Args:
        heads: one per level, finest first.
    """

    def __init__(self, heads: Iterable[SharedHead]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, features: Sequence[Tensor]) -> HeadOutput:
        """See `HeadOutput`."""
        return self.outputs(self.towers(features))

    def towers(self, features: Sequence[Tensor]) -> list[TowerFeatures]:
        """See `SharedHead.towers`."""
        return [head.towers([feature])[0] for head, feature in zip(self._each(), features, strict=True)]

    def outputs(self, towers: Sequence[TowerFeatures]) -> HeadOutput:
        """See `SharedHead.outputs`."""
        outputs = [head.outputs([tower]) for head, tower in zip(self._each(), towers, strict=True)]
        logits, codes, quality, _ = zip(*outputs, strict=True)
        return HeadOutput(
            torch.cat(logits, 1), torch.cat(codes, 1), None if quality[0] is None else torch.cat(quality, 1)
        )

    def _each(self) -> list[SharedHead]:
        return cast(list[SharedHead], list(self.heads))


class CorrectionBranch(nn.Module):
    """A class branch on the features of both towers of another head, whose output is added to that head's class logits.

    At first its output is nearly 0.

    Args:
        channels_in: of the features of each tower.
        levels: number of levels.
        class_channels: per cell.
        convs: 3 x 3 convolutions.
        norm: after each; see `SharedHead`.
        conv: kind of these convolutions; see `DeformableConv`.
    """

    def __init__(
        self, channels_in: int, levels: int, class_channels: int, convs: int, norm: Norm, conv: TowerConv
    ) -> None:
        super().__init__()
        self.class_channels = class_channels
        self.joined = nn.Conv2d(2 * channels_in, channels_in, 1)
        self.tower = _Tower(channels_in, convs, norm, levels, conv)
        self.class_out = nn.Conv2d(channels_in, class_channels, 3, padding=1)
        _start(self.class_out, 0.0)

    def forward(self, towers: Sequence[TowerFeatures]) -> Tensor:
        """(B, A, class channels) for one prior per cell of each level."""
        logits = []
        for level, tower in enumerate(towers):
            joined = torch.relu(self.joined(torch.cat(tower, dim=1)))
            logits.append(_by_prior(self.class_out(self.tower(joined, level)), self.class_channels))
        return torch.cat(logits, dim=1)


class ProposalHead(nn.Module):
    """The head of a region proposal network, for all levels: one tower for the logit of an object and the box.

    Ren et al. 2015 (Faster R-CNN), section 3.1; Lin et al. 2017 (FPN), section 4.1.

    Args:
        channels_in: of every level.
        priors: per cell.
        code_channels: per prior.
        convs: 3 x 3 convolutions in the tower; 1 in the paper.
    """

    def __init__(self, channels_in: int, priors: int, code_channels: int = 4, convs: int = 1) -> None:
        super().__init__()
        self.code_channels = code_channels
        self.convs = nn.ModuleList(nn.Conv2d(channels_in, channels_in, 3, padding=1) for _ in range(convs))
        self.class_out = nn.Conv2d(channels_in, priors, 1)
        self.box_out = nn.Conv2d(channels_in, priors * code_channels, 1)
        for layer in (*self.convs, self.class_out, self.box_out):
            _start(layer, 0.0)

    def forward(self, features: Sequence[Tensor]) -> HeadOutput:
        """See `HeadOutput`; one class channel."""
        logits, codes = [], []
        for x in features:
            for conv in self.convs:
                x = torch.relu(conv(x))
            logits.append(_by_prior(self.class_out(x), 1))
            codes.append(_by_prior(self.box_out(x), self.code_channels))
        return HeadOutput(torch.cat(logits, 1), torch.cat(codes, 1), None)


class LevelHead(nn.Module):
    """A class and a box convolution for each level: the head of SSD and, with separable convolutions, of SSDLite.

    Args:
        channels_in: of each level.
        priors: per cell, of each level.
        class_channels: per prior.
        code_channels: per prior.
        class_bias: initial bias of the class branch.
        conv: one 3 x 3 ``conv`` (SSD); ``separable``: a depthwise 3 x 3 convolution, BatchNorm, ReLU6 and a
            pointwise one (SSDLite, Sandler et al. 2018, section 6.2); ``light``: the same two with only a ReLU
            between them, and a full one at the coarsest level (the mb_tiny family).
    """

    def __init__(
        self,
        channels_in: Sequence[int],
        priors: Sequence[int],
        class_channels: int,
        code_channels: int,
        class_bias: float = 0.0,
        conv: HeadConv = "conv",
    ) -> None:
        super().__init__()
        self.class_channels = class_channels
        self.code_channels = code_channels
        makes = [{"conv": _plain, "separable": _separable, "light": _light}[conv]] * len(channels_in)
        if conv == "light":
            makes[-1] = _plain
        self.class_outs = _outs(makes, channels_in, priors, class_channels, class_bias)
        self.box_outs = _outs(makes, channels_in, priors, code_channels, 0.0)

    def forward(self, features: Sequence[Tensor]) -> HeadOutput:
        """See `HeadOutput`."""
        classes = zip(self.class_outs, features, strict=True)
        boxes = zip(self.box_outs, features, strict=True)
        logits = [_by_prior(out(feature), self.class_channels) for out, feature in classes]
        codes = [_by_prior(out(feature), self.code_channels) for out, feature in boxes]
        return HeadOutput(torch.cat(logits, 1), torch.cat(codes, 1), None)


class _Tower(nn.Module):
    def __init__(self, channels: int, convs: int, norm: Norm, levels: int, conv: TowerConv) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_tower_conv(channels, conv) for _ in range(convs))
        self.norms = nn.ModuleList(_norm(norm, channels, levels) for _ in range(convs))

    def forward(self, x: Tensor, level: int) -> Tensor:
        for conv, norms in zip(self.convs, self.norms, strict=True):
            assert isinstance(norms, nn.ModuleList)
            x = torch.relu(norms[level % len(norms)](conv(x)))
        return x


def _tower_conv(channels: int, kind: TowerConv) -> nn.Module:
    conv = nn.Conv2d(channels, channels, 3, padding=1)
    made = DeformableConv(conv) if kind == "deformable" else conv
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return made


def _norm(norm: Norm, channels: int, levels: int) -> nn.ModuleList:
    """Normalisation of one layer: one for all levels, or one per level."""
    match norm:
        case "batch":
            return nn.ModuleList(BatchNorm(channels) for _ in range(levels))
        case "group":
            return nn.ModuleList(
                [nn.GroupNorm(max(1, channels // 8), channels)]
            )  # of 8: 32 groups of 256 channels
        case "none":
            return nn.ModuleList([nn.Identity()])


def _outs(
    makes: Sequence[Callable[[int, int], nn.Sequential]],
    channels_in: Sequence[int],
    priors: Sequence[int],
    channels: int,
    bias: float,
) -> nn.ModuleList:
    each = zip(makes, channels_in, priors, strict=True)
    outs = nn.ModuleList(make(ins, n * channels) for make, ins, n in each)
    for out in outs:
        assert isinstance(out, nn.Sequential)
        _start(out[-1], bias)
    return outs


def _plain(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 3, padding=1))


def _separable(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in, bias=False),
        BatchNorm(channels_in, eps=0.001, momentum=0.03),
        nn.ReLU6(inplace=True),
        nn.Conv2d(channels_in, channels_out, 1),
    )


def _light(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_in, 3, padding=1, groups=channels_in),
        nn.ReLU(),
        nn.Conv2d(channels_in, channels_out, 1),
    )


def _start(layer: nn.Module, bias: float) -> None:
    assert isinstance(layer, nn.Conv2d)
    nn.init.normal_(layer.weight, std=0.01)
    assert layer.bias is not None
    nn.init.constant_(layer.bias, bias)


def _by_prior(x: Tensor, channels: int) -> Tensor:
    """(B, priors * channels, H, W) to (B, H * W * priors, channels)."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, channels)
