"""The types that cross between a detector and those who train, run and measure it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector found in one image.

    Attributes:
        boxes: (N, 4) xyxy, pixels of the network's input; `bench.pipeline.predict` brings them back to the original's.
        scores: (N,) in [0, 1]; higher is surer.
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
    """What a detector must find in one image.

    Attributes:
        boxes: (G, 4) xyxy float32, pixels of the network's input, of positive width and height.
        labels: (G,) int64 class indices in [0, num_classes).
    """

    boxes: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        g = len(self.labels)
        if self.boxes.shape != (g, 4):
            raise ValueError(
                f"Targets.boxes: expected shape ({g}, 4), one row per label, got {tuple(self.boxes.shape)}"
            )


class DenseOutput(NamedTuple):
    """Raw output of a dense detector for a batch of B images and A priors.

    Attributes:
        logits: (B, A, K), K the channels that the class loss asks for.
        codes: (B, A, 4), or (B, A, 4 * bins) for a distribution over distances.
        quality: (B, A) logits of how well the box is placed; None where the detector does not say.
        priors: (A, 4) xyxy in pixels of the network's input.
        image_size: (height, width) of the network's input.
        levels: number of priors of each feature level, finest first; they sum to A.
    """

    logits: Tensor
    codes: Tensor
    quality: Tensor | None
    priors: Tensor
    image_size: tuple[int, int]
    levels: tuple[int, ...]


class Suppression(Protocol):
    """Candidates of one image in, detections out."""

    def __call__(self, candidates: Detections) -> Detections: ...


class Predictor(Protocol):
    """All that evaluation asks of a detector."""

    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1]."""
        ...


class Detector(Predictor, Protocol):
    """A predictor that can be trained, and whose candidates can be suppressed again with other settings."""

    nms: Suppression

    def __call__(self, images: Tensor) -> Any:
        """Raw output for (B, 3, H, W) RGB images, float32 in [0, 1]."""
        ...

    def losses(self, output: Any, targets: list[Targets]) -> dict[str, Tensor]:
        """Each term of the loss, a scalar; the loss is their sum."""
        ...

    def decode(self, output: Any) -> list[Detections]:
        """Candidates of each image, before suppression."""
        ...
