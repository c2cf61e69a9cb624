"""What crosses between an assigner and a detector: objects of a batch, predictions, and verdicts on priors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from detectors.types import Targets

BACKGROUND = -1
"""Verdict: this prior must find nothing."""
IGNORE = -2
"""Verdict: nobody asks what this prior finds."""


class PaddedTargets(NamedTuple):
    """The objects of B images in one tensor, padded to the G of the fullest image.

    Attributes:
        boxes: (B, G, 4) xyxy pixels.
        labels: (B, G) class indices in [0, num_classes).
        valid: (B, G) whether this is an object; padding and boxes without width, height or finite corners are not.
    """

    boxes: Tensor
    labels: Tensor
    valid: Tensor


class Prediction(NamedTuple):
    """What the detector says now, for the assigners that listen to it; no gradients.

    Attributes:
        scores: (B, A, C) in [0, 1].
        boxes: (B, A, 4) xyxy pixels.
        image_size: (height, width) of the network's input.
    """

    scores: Tensor
    boxes: Tensor
    image_size: tuple[int, int]


class Assignment(NamedTuple):
    """One verdict per prior.

    Attributes:
        objects: (B, A) which of the image's G objects the prior must find, `BACKGROUND` or `IGNORE`.
        scores: (B, A) in [0, 1], what the prior should score where it must find an object; None: 1, or whatever the
            class loss makes of the overlap.
    """

    objects: Tensor
    scores: Tensor | None = None


class Assigner(Protocol):
    """Decides which object each prior must find."""

    listens: bool
    """Whether it needs the detector's prediction."""

    def __call__(
        self,
        truth: PaddedTargets,
        priors: Tensor,
        levels: Sequence[int],
        prediction: Prediction | None = None,
    ) -> Assignment:
        """The verdict for each of B images' A priors.

        Args:
            truth: objects of the B images.
            priors: (A, 4) xyxy, the same for all images.
            levels: number of priors of each level, finest first; they sum to A.
            prediction: given if the assigner `listens`.
        """
        ...


def pad_targets(targets: Sequence[Targets], device: torch.device | str = "cpu") -> PaddedTargets:
    """The objects of a batch in one tensor on `device`; G is at least 1, so that a maximum over objects exists."""
    boxes = pad_sequence([target.boxes for target in targets], batch_first=True).float()
    labels = pad_sequence([target.labels for target in targets], batch_first=True, padding_value=-1)
    if boxes.shape[1] == 0:
        boxes = boxes.new_zeros(len(targets), 1, 4)
        labels = labels.new_full((len(targets), 1), -1)
    boxes, labels = boxes.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    sized = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1) & boxes.isfinite().all(dim=-1)
    valid = (labels >= 0) & sized
    return PaddedTargets(torch.where(valid[..., None], boxes, 0.0), labels.clamp(min=0), valid)
