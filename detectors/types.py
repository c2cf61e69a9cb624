"""Types of detectors: detections, targets, raw output, and the protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Detections in one image.

    Attributes:
        boxes: (N, 4) xyxy in pixels of the network's input; `bench.pipeline.predict` transforms them to the original image.
        scores: (N,) in [0, 1].
        labels: (N,) int64 class indices in [0, num_classes); background is never a label.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4):
            raise ValueError(
                f"Detections.boxes: expected shape ({n}, 4), one row per score, got {tuple(self.boxes.shape)}"
            )
        if self.labels.shape != (n,):
            raise ValueError(
                f"Detections.labels: expected shape ({n},), one per score, got {tuple(self.labels.shape)}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Training targets of one image.

    Attributes:
        boxes: (G, 4) xyxy float32, pixels of the network's input, of positive width and height.
        labels: (G,) int64 class indices in [0, num_classes).
        label_map: (H, W) uint8 of the network's input: 0 is background, 1 + label a class, 255 is ignored. None unless the
            detector learns from pixels.
        ignored: (R, 4) xyxy float32 of regions that are not background although they have no target: crowds, and objects
            that need not be detected. None for none.
    """

    boxes: Tensor
    labels: Tensor
    label_map: Tensor | None = None
    ignored: Tensor | None = None

    def __post_init__(self) -> None:
        g = len(self.labels)
        if self.boxes.shape != (g, 4):
            raise ValueError(
                f"Targets.boxes: expected shape ({g}, 4), one row per label, got {tuple(self.boxes.shape)}"
            )
        if self.label_map is not None and (self.label_map.ndim != 2 or self.label_map.dtype != torch.uint8):
            raise ValueError(
                f"Targets.label_map: expected (H, W) uint8, got {tuple(self.label_map.shape)} {self.label_map.dtype}"
            )
        if self.ignored is not None and (self.ignored.ndim != 2 or self.ignored.shape[1] != 4):
            raise ValueError(f"Targets.ignored: expected shape (R, 4), got {tuple(self.ignored.shape)}")

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Targets:
        """The same targets on another device."""
        boxes, labels = (each.to(device, non_blocking=non_blocking) for each in (self.boxes, self.labels))
        optional = (
            None if each is None else each.to(device, non_blocking=non_blocking)
            for each in (self.label_map, self.ignored)
        )
        return Targets(boxes, labels, *optional)


class DenseOutput(NamedTuple):
    """Raw output of a dense detector for a batch of B images and A priors.

    Attributes:
        logits: (B, A, K); K is `ClassLoss.channels`.
        codes: (B, A, 4), or (B, A, 4 * bins) for a distribution over distances.
        quality: (B, A) logits of the box quality; None without a quality branch.
        priors: (A, 4) xyxy in pixels of the network's input.
        image_size: (height, width) of the network's input.
        levels: number of priors of each feature level, finest first; they sum to A.
        auxiliary: (B, A, K) logits of a second class branch for the same boxes; None where there is none, or where it is not
            computed. See `detectors.heads.dual.DualHead`.
    """

    logits: Tensor
    codes: Tensor
    quality: Tensor | None
    priors: Tensor
    image_size: tuple[int, int]
    levels: tuple[int, ...]
    auxiliary: Tensor | None = None


class TwoStageOutput(NamedTuple):
    """Raw output of a two-stage detector for a batch of B images.

    Attributes:
        features: levels (B, channels, ...) from which regions are pooled, finest first.
        proposals: objectness logits (B, A, 1) and codes (B, A, 4) of the anchors.
    """

    features: tuple[Tensor, ...]
    proposals: DenseOutput


class LossSum(NamedTuple):
    """A term of the loss as a sum and what it is divided by, both scalars, so that parts of a batch can be added.

    Attributes:
        total: sum over the objects, priors or images of the batch.
        normalizer: number of these, or the sum of their weights, without gradient. The term is ``total / normalizer``; a
            normalizer below 1 counts as 1, so that the loss of a batch without objects is finite.
        each: computes (B,) the term of every image alone, without gradient: its part of `total`, divided by its part of
            `normalizer`. Most trainings do not ask for it. None where a term is not known by image.
    """

    total: Tensor
    normalizer: Tensor
    each: Callable[[], Tensor] | None = None


def image_losses(terms: Sequence[Callable[[], Tensor]]) -> Tensor | None:
    """(B,) loss of every image alone, from the `LossSum.each` of the terms that are known by image; None if there are none."""
    return torch.stack([each() for each in terms]).sum(dim=0) if terms else None


def divided_by_image(totals: Tensor, normalizers: Tensor) -> Tensor:
    """(B,) terms of images from the parts (B,) of their sum and of its normalizer."""
    return (totals / normalizers.clamp(min=1)).float()


def image_terms(totals: Tensor, normalizers: Tensor) -> Callable[[], Tensor]:
    """`LossSum.each` of a term of which the parts (B,) of sum and normalizer are known; see `divided_by_image`."""
    return partial(divided_by_image, totals.detach(), normalizers.detach())


def divide_sums(
    sums: Mapping[str, LossSum], normalizers: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Terms of the loss, each a scalar.

    Args:
        sums: of a batch.
        normalizers: to divide by, by term; those of `sums` by default. For a part of a batch give the sums of the
            normalizers of all parts: the terms of the parts then add up to those of the whole batch.
    """
    given = normalizers or {name: each.normalizer for name, each in sums.items()}
    return {name: each.total / given[name].clamp(min=1) for name, each in sums.items()}


class Suppression(Protocol):
    """Selects the detections of one image from its candidates."""

    def __call__(self, candidates: Detections) -> Detections: ...


class Predictor(Protocol):
    """What evaluation needs of a detector."""

    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1]."""
        ...


class Detector(Predictor, Protocol):
    """A predictor that can be trained, and whose NMS can be repeated with other settings.

    Training calls more methods once before its first step, if the detector has them: ``weigh_classes(counts, names)``
    with the number of training objects of each class; ``prepare(batches)`` with an iterable of batches of images,
    which returns whether the network was changed, see `detectors.dense.DenseDetector`; and ``training_notes(objects,
    image_size)`` with the number of training objects of each image, which returns remarks for the user, see
    `detectors.localizer.Localizer`.
    """

    nms: Suppression

    def __call__(self, images: Tensor) -> Any:
        """Raw output for (B, 3, H, W) RGB images, float32 in [0, 1]."""
        ...

    def loss_sums(self, output: Any, targets: list[Targets]) -> dict[str, LossSum]:
        """Terms of the loss of a batch; the loss is the sum of the divided terms, see `divide_sums`."""
        ...

    def normalizers(self, images: Tensor, targets: list[Targets]) -> dict[str, Tensor]:
        """Normalizer of each term of `loss_sums` for a batch, without gradients.

        A step that is divided into parts calls this for each part before the first backward pass.
        """
        ...

    def decode(self, output: Any) -> list[Detections]:
        """Candidates of each image before NMS."""
        ...


class Segmenter(Detector, Protocol):
    """A detector that predicts a class for every pixel."""

    def class_probabilities(self, output: Any) -> Tensor:
        """(B, 1 + C, H, W) probabilities of background and each class in the pixels of the network's input."""
        ...
