"""Class losses. Each defines its channels, scores and loss, so that softmax and sigmoid are never mixed."""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.losses.class_weights import weigh


class ClassLoss(Protocol):
    """Channels, scores and loss of a class branch."""

    soft: bool
    """Whether the target of a positive prior is the quality of its box instead of 1."""
    weights: Tensor | None
    """(C,) factors of the loss of positive priors, by class; None: 1."""

    def channels(self, num_classes: int) -> int:
        """Channels of the class branch per prior."""
        ...

    def bias(self) -> float:
        """Initial bias of the last layer."""
        ...

    def scores(self, logits: Tensor) -> Tensor:
        """Scores (..., C) in [0, 1] from logits (..., channels)."""
        ...

    def __call__(self, logits: Tensor, labels: Tensor, quality: Tensor | None = None) -> Tensor:
        """Loss, summed over the priors of each image.

        Args:
            logits: (B, A, channels).
            labels: (B, A) class indices in [0, C), -1 for background, -2 for ignored priors.
            quality: (B, A) in [0, 1], target of the positive priors; required if `soft`.

        Returns:
            (B,), never negative.
        """
        ...


class CrossEntropyLoss:
    """Softmax cross-entropy over background and classes, over the positives and the hardest negatives.

    Liu et al. 2016 (SSD), eq. 3 and section 2.2, hard negative mining: in each image the negatives with the highest
    loss, `negatives` for each positive. The loss of an image without objects is therefore 0. Channel 0 is background.

    Args:
        negatives: per positive; 3 in the paper. None: all negatives (Girshick 2015, Fast R-CNN, eq. 1).
        smoothing: part of the target that is spread evenly over background and all classes (Szegedy et al. 2016,
            arXiv:1512.00567, section 7).
    """

    soft = False

    def __init__(self, negatives: float | None = 3.0, smoothing: float = 0.0) -> None:
        self.negatives = negatives
        self.smoothing = smoothing
        self.weights: Tensor | None = None

    def channels(self, num_classes: int) -> int:
        """One per class, and one for background."""
        return num_classes + 1

    def bias(self) -> float:
        """0: equal scores for all classes."""
        return 0.0

    def scores(self, logits: Tensor) -> Tensor:
        """Softmax, without background."""
        return logits.softmax(dim=-1)[..., 1:]

    def __call__(self, logits: Tensor, labels: Tensor, quality: Tensor | None = None) -> Tensor:
        """See `ClassLoss`."""
        cost = F.cross_entropy(
            logits.flatten(0, 1),
            (labels.clamp(min=-1) + 1).flatten(),
            reduction="none",
            label_smoothing=self.smoothing,
        )
        cost = cost.view_as(labels)
        positive = labels >= 0
        background = torch.where(labels == -1, cost, 0.0)
        found = torch.where(positive, weigh(cost, labels.clamp(min=0), self.weights), 0.0).sum(dim=1)
        if self.negatives is None:
            return found + background.sum(dim=1)
        hardest = background.sort(dim=1, descending=True).values
        allowed = self.negatives * positive.sum(dim=1, keepdim=True)
        rank = torch.arange(labels.shape[1], device=labels.device)
        return found + torch.where(rank < allowed, hardest, 0.0).sum(dim=1)


class _SigmoidLoss:
    """Class losses with one channel per class, and none for background."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.weights: Tensor | None = None

    def channels(self, num_classes: int) -> int:
        """One per class."""
        return num_classes

    def bias(self) -> float:
        """-ln((1 - start) / start)."""
        return -math.log((1 - self.start) / self.start)

    def scores(self, logits: Tensor) -> Tensor:
        """Sigmoid."""
        return logits.sigmoid()

    def _summed(self, cost: Tensor, right: Tensor, chosen: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """(B,) sum of `cost` (B, A, C), the loss of background, with `right` at the `chosen` (image, prior, label) instead.

        The class weight of a positive prior applies to all its channels (Cui et al. 2019, section 4.2).
        """
        image, prior, labels = chosen
        more = right - cost[chosen]
        total = cost.sum(dim=(1, 2)).index_add(0, image, more)
        if self.weights is None:
            return total
        own = cost[image, prior].sum(dim=-1) + more
        return total.index_add(0, image, weigh(own, labels, self.weights) - own)


class BinaryCrossEntropyLoss(_SigmoidLoss):
    """Sigmoid cross-entropy of every channel: -ln p for the class of a positive prior, -ln(1 - p) otherwise.

    With one channel it is the objectness loss of region proposals (Ren et al. 2015, eq. 1).

    Args:
        start: initial score of every prior.
    """

    soft = False

    def __init__(self, start: float = 0.5) -> None:
        super().__init__(start)

    def __call__(self, logits: Tensor, labels: Tensor, quality: Tensor | None = None) -> Tensor:
        """See `ClassLoss`."""
        cost = torch.where(labels[..., None] == -2, 0.0, F.softplus(logits))
        image, prior = (labels >= 0).nonzero(as_tuple=True)
        chosen = (image, prior, labels[image, prior])
        return self._summed(cost, F.softplus(-logits[chosen]), chosen)


class FocalLoss(_SigmoidLoss):
    """Sigmoid focal loss, Lin et al. 2017, eq. 5: -alpha_t (1 - p_t)^gamma ln p_t. One channel per class, none for
    background.

    Args:
        alpha: weight of positives; negatives weigh 1 - alpha.
        gamma: focusing parameter, which reduces the loss of easy examples.
        start: pi, the initial score of every prior (section 4.1, initialization).
    """

    soft = False

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, start: float = 0.01) -> None:
        super().__init__(start)
        self.alpha = alpha
        self.gamma = gamma

    def __call__(self, logits: Tensor, labels: Tensor, quality: Tensor | None = None) -> Tensor:
        """See `ClassLoss`."""
        # The loss of background everywhere, then corrected for the class of each positive: no tensor of targets.
        cost = (1 - self.alpha) * _power(logits, self.gamma) * F.softplus(logits)
        cost = torch.where(labels[..., None] == -2, 0.0, cost)
        image, prior = (labels >= 0).nonzero(as_tuple=True)
        chosen = (image, prior, labels[image, prior])
        right = self.alpha * _power(-logits[chosen], self.gamma) * F.softplus(-logits[chosen])
        return self._summed(cost, right, chosen)


class QualityFocalLoss(_SigmoidLoss):
    """Quality focal loss, Li et al. 2020 (generalised focal loss), eq. 4: -|y - p|^beta ((1 - y) ln(1 - p) + y ln p).

    The target y of a positive prior is the quality of its box instead of 1, so the score includes the quality.

    Args:
        beta: exponent that reduces the loss of nearly correct predictions; 2 in the paper.
        start: initial score of every prior.
    """

    soft = True

    def __init__(self, beta: float = 2.0, start: float = 0.01) -> None:
        super().__init__(start)
        self.beta = beta

    def __call__(self, logits: Tensor, labels: Tensor, quality: Tensor | None = None) -> Tensor:
        """See `ClassLoss`."""
        assert quality is not None
        cost = _power(logits, self.beta) * F.softplus(logits)
        cost = torch.where(labels[..., None] == -2, 0.0, cost)
        image, prior = (labels >= 0).nonzero(as_tuple=True)
        chosen = (image, prior, labels[image, prior])
        target = quality[image, prior]
        off = (target - logits[chosen].sigmoid()).abs()
        right = off**self.beta * F.binary_cross_entropy_with_logits(logits[chosen], target, reduction="none")
        return self._summed(cost, right, chosen)


class VarifocalLoss(_SigmoidLoss):
    """Varifocal loss, Zhang et al. 2021 (VarifocalNet), eq. 2: -q (q ln p + (1 - q) ln(1 - p)) for the class of a positive
    prior, -alpha p^gamma ln(1 - p) otherwise.

    The target q of a positive prior is the quality of its box; unlike in `QualityFocalLoss` it is also the weight.

    Args:
        alpha: weight of negatives; 0.75 in the paper.
        gamma: exponent that reduces the loss of easy negatives; 2 in the paper.
        start: initial score of every prior.
    """

    soft = True

    def __init__(self, alpha: float = 0.75, gamma: float = 2.0, start: float = 0.01) -> None:
        super().__init__(start)
        self.alpha = alpha
        self.gamma = gamma

    def __call__(self, logits: Tensor, labels: Tensor, quality: Tensor | None = None) -> Tensor:
        """See `ClassLoss`."""
        assert quality is not None
        cost = self.alpha * _power(logits, self.gamma) * F.softplus(logits)
        cost = torch.where(labels[..., None] == -2, 0.0, cost)
        image, prior = (labels >= 0).nonzero(as_tuple=True)
        chosen = (image, prior, labels[image, prior])
        target = quality[image, prior]
        right = target * F.binary_cross_entropy_with_logits(logits[chosen], target, reduction="none")
        return self._summed(cost, right, chosen)


def _power(logits: Tensor, exponent: float) -> Tensor:
    """``sigmoid(logits) ** exponent`` by logarithms, so that its gradient is finite where the sigmoid underflows."""
    return torch.exp(exponent * F.logsigmoid(logits))
