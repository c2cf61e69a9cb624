"""Class losses. Each owns its channels, its scores and its loss, so that softmax and sigmoid never meet elsewhere."""

from __future__ import annotations

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from detectors.losses.class_weights import weigh


class ClassLoss(Protocol):
    """What a detector's class branch says, what that scores, and what it costs."""

    soft: bool
    """Whether a positive prior's target is how well its box is placed, instead of 1."""
    weights: Tensor | None
    """(C,) by which the loss of a positive prior is multiplied, by its class; None: by 1."""

    def channels(self, num_classes: int) -> int:
        """Channels of the class branch per prior."""
        ...

    def bias(self) -> float:
        """What the last layer's bias starts at, so that training starts calm."""
        ...

    def scores(self, logits: Tensor) -> Tensor:
        """Scores (..., C) in [0, 1] from logits (..., channels)."""
        ...

    def __call__(self, logits: Tensor, labels: Tensor, quality: Tensor | None = None) -> Tensor:
        """The loss, summed over the priors of each image.

        Args:
            logits: (B, A, channels).
            labels: (B, A) class indices in [0, C), -1 for background, -2 for priors that do not count.
            quality: (B, A) in [0, 1], target of the positive priors; asked for if `soft`.

        Returns:
            (B,), never negative.
        """
        ...


class CrossEntropyLoss:
    """Softmax cross-entropy over background and classes, over the positives and the hardest negatives.

    Liu et al. 2016 (SSD), eq. 3 and section 2.2, hard negative mining: in each image the negatives with the highest
    loss, `negatives` for each positive. An image without objects therefore costs nothing. Channel 0 is background.

    Args:
        negatives: per positive; 3 in the paper.
    """

    soft = False

    def __init__(self, negatives: float = 3.0) -> None:
        self.negatives = negatives
        self.weights: Tensor | None = None

    def channels(self, num_classes: int) -> int:
        """One per class, and one for background."""
        return num_classes + 1

    def bias(self) -> float:
        """0: all classes alike."""
        return 0.0

    def scores(self, logits: Tensor) -> Tensor:
        """Softmax, without background."""
        return logits.softmax(dim=-1)[..., 1:]

    def __call__(self, logits: Tensor, labels: Tensor, quality: Tensor | None = None) -> Tensor:
        """See `ClassLoss`."""
        cost = F.cross_entropy(logits.flatten(0, 1), (labels.clamp(min=-1) + 1).flatten(), reduction="none")
        cost = cost.view_as(labels)
        positive = labels >= 0
        hardest = torch.where(labels == -1, cost, 0.0).sort(dim=1, descending=True).values
        allowed = self.negatives * positive.sum(dim=1, keepdim=True)
        rank = torch.arange(labels.shape[1], device=labels.device)
        found = torch.where(positive, weigh(cost, labels.clamp(min=0), self.weights), 0.0).sum(dim=1)
        return found + torch.where(rank < allowed, hardest, 0.0).sum(dim=1)


class _SigmoidLoss:
    """What class losses with one channel per class, and none for background, have in common."""

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
        """(B,) `cost` (B, A, C) as if all were background, but for what the `chosen` (image, prior, label) have right.

        A positive prior's weight is that of all its channels (Cui et al. 2019, section 4.2).
        """
        image, prior, labels = chosen
        more = right - cost[chosen]
        total = cost.sum(dim=(1, 2)).index_add(0, image, more)
        if self.weights is None:
            return total
        own = cost[image, prior].sum(dim=-1) + more
        return total.index_add(0, image, weigh(own, labels, self.weights) - own)


class FocalLoss(_SigmoidLoss):
    """Sigmoid focal loss, Lin et al. 2017, eq. 5: -alpha_t (1 - p_t)^gamma ln p_t. One channel per class, none for
    background.

    Args:
        alpha: weight of positives; negatives weigh 1 - alpha.
        gamma: how much the easy ones count less.
        start: pi, what every prior scores at the start of training (section 4.1, initialization).
    """

    soft = False

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, start: float = 0.01) -> None:
        super().__init__(start)
        self.alpha = alpha
        self.gamma = gamma

    def __call__(self, logits: Tensor, labels: Tensor, quality: Tensor | None = None) -> Tensor:
        """See `ClassLoss`."""
        # As if all were background, and then the one class of each positive set right: no tensor of targets.
        cost = (1 - self.alpha) * _power(logits, self.gamma) * F.softplus(logits)
        cost = torch.where(labels[..., None] == -2, 0.0, cost)
        image, prior = (labels >= 0).nonzero(as_tuple=True)
        chosen = (image, prior, labels[image, prior])
        right = self.alpha * _power(-logits[chosen], self.gamma) * F.softplus(-logits[chosen])
        return self._summed(cost, right, chosen)


class QualityFocalLoss(_SigmoidLoss):
    """Quality focal loss, Li et al. 2020 (generalised focal loss), eq. 4: -|y - p|^beta ((1 - y) ln(1 - p) + y ln p).

    A positive prior's target y is not 1 but how well its box is placed, so that one number says both.

    Args:
        beta: how much what is nearly right counts less; 2 in the paper.
        start: what every prior scores at the start of training.
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


def _power(logits: Tensor, exponent: float) -> Tensor:
    """``sigmoid(logits) ** exponent``, by logarithms: its gradient is finite where the sigmoid underflows."""
    return torch.exp(exponent * F.logsigmoid(logits))
