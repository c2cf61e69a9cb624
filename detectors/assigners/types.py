"""Types of assigners: padded targets, predictions, and the assignment of priors to objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from detectors.types import Targets

BACKGROUND = -1
"""The prior is background."""
IGNORE = -2
"""The prior is ignored in the loss."""


class PaddedTargets(NamedTuple):
    """Objects of B images in one tensor, padded to the largest number G of objects.

    Attributes:
        boxes: (B, G, 4) xyxy pixels.
        labels: (B, G) class indices in [0, num_classes).
        valid: (B, G) False for padding, and for boxes without width, height or finite corners.
        ignored: (B, R, 4) xyxy pixels of ignored regions, padded with boxes without area; None if no image has one.
    """

    boxes: Tensor
    labels: Tensor
    valid: Tensor
    ignored: Tensor | None = None

    def of_images(self, rows: slice) -> PaddedTargets:
        """The objects of some of the images."""
        return PaddedTargets(*(None if column is None else column[rows] for column in self))  # type: ignore[arg-type]


class Prediction(NamedTuple):
    """Current predictions of the detector, without gradients.

    Attributes:
        scores: (B, A, C) in [0, 1].
        boxes: (B, A, 4) xyxy pixels.
        image_size: (height, width) of the network's input.
    """

    scores: Tensor
    boxes: Tensor
    image_size: tuple[int, int]


class Assignment(NamedTuple):
    """Assignment of B images' A priors.

    Attributes:
        objects: (B, A) index of the prior's object, `BACKGROUND` or `IGNORE`.
        scores: (B, A) in [0, 1], target scores of positive priors; None: 1, or the IoU if the class loss uses it.
    """

    objects: Tensor
    scores: Tensor | None = None

    def labels(self, truth: PaddedTargets) -> Tensor:
        """(B, A) label of each prior's object, or `BACKGROUND` or `IGNORE`."""
        labels = truth.labels.gather(1, self.objects.clamp(min=0))
        return torch.where(self.objects >= 0, labels, self.objects)


class Positives(NamedTuple):
    """The P positive priors of a batch.

    Attributes:
        image: (P,) index of the image.
        prior: (P,) index of the prior.
        boxes: (P, 4) xyxy of the assigned object.
        weights: (P,) of the box loss; None: 1.
    """

    image: Tensor
    prior: Tensor
    boxes: Tensor
    weights: Tensor | None


class Assigner(Protocol):
    """Assigns an object, `BACKGROUND` or `IGNORE` to each prior."""

    needs_prediction: bool
    """Whether `prediction` is required."""

    def __call__(
        self,
        truth: PaddedTargets,
        priors: Tensor,
        levels: Sequence[int],
        prediction: Prediction | None = None,
    ) -> Assignment:
        """Assign the A priors of B images.

        Args:
            truth: objects of the B images.
            priors: (A, 4) xyxy, the same for all images.
            levels: number of priors of each level, finest first; they sum to A.
            prediction: of the detector, if `needs_prediction`.
        """
        ...


def pad_targets(targets: Sequence[Targets], device: torch.device | str = "cpu") -> PaddedTargets:
    """Objects of a batch in one tensor on `device`; G is at least 1, so that a maximum over objects exists."""
    boxes = pad_sequence([target.boxes for target in targets], batch_first=True).float()
    labels = pad_sequence([target.labels for target in targets], batch_first=True, padding_value=-1)
    if boxes.shape[1] == 0:
        boxes = boxes.new_zeros(len(targets), 1, 4)
        labels = labels.new_full((len(targets), 1), -1)
    boxes, labels = boxes.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    sized = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1) & boxes.isfinite().all(dim=-1)
    valid = (labels >= 0) & sized
    ignored = _pad_ignored(targets, device)
    return PaddedTargets(torch.where(valid[..., None], boxes, 0.0), labels.clamp(min=0), valid, ignored)


def _pad_ignored(targets: Sequence[Targets], device: torch.device | str) -> Tensor | None:
    if all(target.ignored is None for target in targets):
        return None
    none = targets[0].boxes.new_zeros(0, 4)
    regions = [none if target.ignored is None else target.ignored for target in targets]
    padded = pad_sequence(regions, batch_first=True).float().to(device, non_blocking=True)
    return torch.where(padded.isfinite().all(dim=-1, keepdim=True), padded, 0.0)
