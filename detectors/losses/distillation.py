"""Losses between the outputs of two dense detectors: the student imitates the teacher."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.coders import BoxCoder, DistributionCoder
from detectors.losses.classification import ClassLoss, CrossEntropyLoss
from metrics.iou import aligned_generalized_box_iou


def class_imitation(
    student: Tensor, teacher: Tensor, student_loss: ClassLoss, teacher_loss: ClassLoss, temperature: float
) -> Tensor:
    """Kullback-Leibler divergence of the class scores at a temperature, KL(teacher || student), times temperature squared.

    Hinton et al. 2015, arXiv:1503.02531, section 2: logits are divided by the temperature, and the factor keeps the size of
    the gradients. Between two softmax heads it is the divergence over background and classes; otherwise it is summed over the
    classes, each a distribution over two outcomes, where the logit of a softmax class is ln(p / (1 - p)).

    Args:
        student: (..., channels) logits.
        teacher: (..., channels) logits, without gradient.
        student_loss: that defines the student's channels.
        teacher_loss: that defines the teacher's channels.
        temperature: above 0; higher values show more of the small scores.

    Returns:
        (...), never negative.
    """
    if isinstance(student_loss, CrossEntropyLoss) and isinstance(teacher_loss, CrossEntropyLoss):
        return temperature**2 * _divergence(student / temperature, teacher / temperature)
    own, other = (
        _class_logits(logits, loss) / temperature
        for logits, loss in ((student, student_loss), (teacher, teacher_loss))
    )
    pairs = (torch.stack([logits, torch.zeros_like(logits)], dim=-1) for logits in (own, other))
    return temperature**2 * _divergence(*pairs).sum(dim=-1)


def box_imitation(
    student: Tensor,
    teacher: Tensor,
    priors: tuple[Tensor, Tensor],
    coders: tuple[BoxCoder, BoxCoder],
    temperature: float,
) -> Tensor:
    """Difference between the boxes of student and teacher.

    Between two heads with distributions over the same distances: localization distillation, the Kullback-Leibler divergence
    of the distributions at a temperature, times temperature squared, averaged over the four sides (Zheng et al. 2022,
    arXiv:2102.12252, section 3.1). Otherwise 1 - GIoU of the decoded boxes.

    Args:
        student: (P, code channels).
        teacher: (P, code channels), without gradient.
        priors: (P, 4) xyxy of the student and of the teacher.
        coders: of the student and of the teacher.
        temperature: above 0.

    Returns:
        (P,) in [0, 2], or any number that is not negative for distributions.
    """
    own, other = coders
    if isinstance(own, DistributionCoder) and isinstance(other, DistributionCoder) and own.bins == other.bins:
        shape = (*student.shape[:-1], 4, own.bins + 1)
        sides = _divergence(student.reshape(shape) / temperature, teacher.reshape(shape) / temperature)
        return temperature**2 * sides.mean(dim=-1)
    boxes = own.decode(student, priors[0]), other.decode(teacher, priors[1])
    return 1 - aligned_generalized_box_iou(*boxes)


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) of the softmax of logits (..., K); (...)."""
    return F.kl_div(
        F.log_softmax(student, dim=-1), F.log_softmax(teacher, dim=-1), reduction="none", log_target=True
    ).sum(dim=-1)


def _class_logits(logits: Tensor, loss: ClassLoss) -> Tensor:
    """(..., C) logits of each class against everything else."""
    if not isinstance(loss, CrossEntropyLoss):
        return logits
    total = logits.logsumexp(dim=-1, keepdim=True)
    logs = (logits - total)[..., 1:]
    return logs - torch.log(-torch.expm1(logs.clamp(max=-1e-6)))
