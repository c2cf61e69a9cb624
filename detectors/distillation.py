"""A dense detector that is trained to imitate another one, besides its own losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from detectors.dense import DenseDetector
from detectors.distillation_config import DistillConfig
from detectors.losses.distillation import box_imitation, class_imitation
from detectors.types import DenseOutput, LossSum, Targets
from metrics.errors import InputError


class DistilledOutput(NamedTuple):
    """Raw output of student and teacher for a batch.

    Attributes:
        student: raw output.
        teacher: raw output, without gradients.
        levels: maps that the student's head reads, adapted to the channels of the teacher's; empty if they do not count.
        wanted: maps that the teacher's head reads, without gradients.
    """

    student: DenseOutput
    teacher: DenseOutput
    levels: Sequence[Tensor]
    wanted: Sequence[Tensor]


class DistilledDetector(nn.Module):
    """A student in training, with the losses of distillation; not a predictor.

    Each prior counts as much as the teacher's highest class score there, and each cell of a level as much as the highest of
    its priors (Du et al. 2021, arXiv:2111.00674): most of an image is background, which the student learns from the ground
    truth. Of a head with two outputs, the one that predicts imitates.

    Args:
        student: is trained.
        teacher: is not changed, stays in evaluation mode, and is no part of `parameters` and `state_dict`.
        config: weights and temperature.
        size: (height, width) of the images.

    Attributes:
        adapters: 1 x 1 convolutions from the student's channels of each level to the teacher's, where they differ and
            features are imitated.

    Raises:
        InputError: one of them is not a dense detector, or they differ in strides, priors per cell or number of classes.
    """

    def __init__(
        self, student: nn.Module, teacher: nn.Module, config: DistillConfig, size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.student, dense = _checked(student, teacher)
        self._teacher = (dense.eval().requires_grad_(False),)  # in a tuple, so that it is no submodule
        self.config = config
        self.adapters = nn.ModuleList()
        if config.feature_weight:
            images = torch.zeros(1, 3, *size, device=next(student.parameters()).device)
            own, other = (_channels(each, images) for each in (self.student, self.teacher))
            self.adapters.extend(
                nn.Identity() if ins == outs else nn.Conv2d(ins, outs, 1)
                for ins, outs in zip(own, other, strict=True)
            )

    @property
    def teacher(self) -> DenseDetector:
        """The imitated detector."""
        return self._teacher[0]

    @property
    def backbone(self) -> nn.Module:
        """The student's, whose learning rate may differ."""
        return self.student.backbone

    def forward(self, images: Tensor) -> DistilledOutput:
        """Raw outputs for (B, 3, H, W) RGB images, float32 in [0, 1]."""
        levels = self.student.levels(images)
        output = self.student.output(levels, images)
        teacher, wanted = self._imitated(images)
        adapted = [adapter(level) for adapter, level in zip(self.adapters, levels, strict=False)]
        return DistilledOutput(output, teacher, adapted, wanted)

    def loss_sums(self, output: DistilledOutput, targets: list[Targets]) -> dict[str, LossSum]:
        """The student's terms, and ``distill_class``, ``distill_box`` and ``distill_feature`` where their weight is not 0."""
        student, teacher, config = output.student, output.teacher, self.config
        terms = self.student.loss_sums(student, targets)
        importance = self._importance(teacher)
        count = importance.sum()
        if config.class_weight:
            each = class_imitation(
                student.logits.float(), teacher.logits.float(), self.student.supervision.class_loss,
                self.teacher.supervision.class_loss, config.temperature,
            )  # fmt: skip
            terms["distill_class"] = LossSum(config.class_weight * (importance * each).sum(), count)
        if config.box_weight:
            each = box_imitation(
                student.codes.float(), teacher.codes.float(), (student.priors, teacher.priors),
                (self.student.coder, self.teacher.coder), config.temperature,
            )  # fmt: skip
            terms["distill_box"] = LossSum(config.box_weight * (importance * each).sum(), count)
        if config.feature_weight:
            cells = self._of_cells(importance, output.wanted)
            total = torch.stack(
                [
                    (of_cell * (level.float() - wanted.float()).square().mean(dim=1)).sum()
                    for of_cell, level, wanted in zip(cells, output.levels, output.wanted, strict=True)
                ]
            ).sum()
            terms["distill_feature"] = LossSum(config.feature_weight * total, _total(cells))
        return terms

    @torch.no_grad()
    def normalizers(self, images: Tensor, targets: list[Targets]) -> dict[str, Tensor]:
        """Normalizer of each term of `loss_sums` for (B, 3, H, W) images and their targets."""
        known = self.student.normalizers(images, targets)
        teacher, wanted = self._imitated(images)
        importance = self._importance(teacher)
        if self.config.class_weight:
            known["distill_class"] = importance.sum()
        if self.config.box_weight:
            known["distill_box"] = importance.sum()
        if self.config.feature_weight:
            known["distill_feature"] = _total(self._of_cells(importance, wanted))
        return known

    @torch.no_grad()
    def _imitated(self, images: Tensor) -> tuple[DenseOutput, Sequence[Tensor]]:
        levels = self.teacher.levels(images)
        return self.teacher.output(levels, images), levels

    @torch.no_grad()
    def _importance(self, teacher: DenseOutput) -> Tensor:
        """(B, A) highest class score of the teacher at each prior."""
        return self.teacher.scores(teacher).amax(dim=-1)

    def _of_cells(self, importance: Tensor, levels: Sequence[Tensor]) -> list[Tensor]:
        """(B, H, W) highest importance of the priors of each cell, for each level."""
        sizes = [level.shape[2] * level.shape[3] for level in levels]
        counts = [size * each for size, each in zip(sizes, self.teacher.priors.per_cell, strict=True)]
        return [
            part.view(len(part), level.shape[2], level.shape[3], -1).amax(dim=-1)
            for part, level in zip(torch.split(importance, counts, dim=1), levels, strict=True)
        ]


def _total(cells: Sequence[Tensor]) -> Tensor:
    return torch.stack([each.sum() for each in cells]).sum()


def _checked(student: nn.Module, teacher: nn.Module) -> tuple[DenseDetector, DenseDetector]:
    for name, network in (("student", student), ("teacher", teacher)):
        if not isinstance(network, DenseDetector):
            raise InputError(
                f"distill.teacher: the {name} is a {type(network).__name__}, not a dense detector; both must be, such as ssd or fcos"
            )
    assert isinstance(student, DenseDetector)
    assert isinstance(teacher, DenseDetector)
    for what, own, other in (
        ("classes", student.num_classes, teacher.num_classes),
        ("strides", *(tuple(cast(Any, each.neck).strides) for each in (student, teacher))),
        ("priors per cell", tuple(student.priors.per_cell), tuple(teacher.priors.per_cell)),
    ):
        if own != other:
            raise InputError(
                f"distill.teacher: the teacher has {what} {other}, the student {own}; they must be equal"
            )
    return student, teacher


@torch.no_grad()
def _channels(detector: DenseDetector, images: Tensor) -> list[int]:
    """Channels of each level; pruning may have changed those that the neck was made with."""
    training = detector.training
    channels = [level.shape[1] for level in detector.eval().levels(images)]
    detector.train(training)
    return channels
