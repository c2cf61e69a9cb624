"""A finished run as a function from an image to its detections."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.pipeline.batch_memory import BatchMemory
from bench.pipeline.placement import fit_images, original_size
from bench.pipeline.predict import on_cpu
from bench.prediction.pixels import rgb_pixels
from bench.runs.finished_run import load_predictor, network_input
from bench.settings.sections import EvaluateConfig
from bench.training.device import pick_device
from metrics.errors import InputError
from metrics.measures.operating_point import score_curve
from metrics.plurals import plural
from reports.records.run import RunFolder

ScoreSource = Literal["given", "validation", "evaluated"]


@dataclass(frozen=True, slots=True, eq=False)
class ImageDetections:
    """Detections in one image, by decreasing score.

    Attributes:
        boxes: (N, 4) float64 xyxy in pixels of the image, clipped to it.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64 class indices.
        classes: names of all classes; `labels` are indices into them.
        size: (height, width) of the image in pixels, after EXIF rotation.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[tuple[str, float, tuple[float, float, float, float]]]:
        """Class name, score and xyxy of each detection."""
        for name, score, box in zip(self.names, self.scores.tolist(), self.boxes.tolist(), strict=True):
            yield name, score, tuple(box)

    @property
    def names(self) -> list[str]:
        """Class name of each detection."""
        return [self.classes[label] for label in self.labels.tolist()]

    def above(self, score: float) -> ImageDetections:
        """The detections with at least this score."""
        keep = self.scores >= score
        return ImageDetections(
            self.boxes[keep], self.scores[keep], self.labels[keep], self.classes, self.size
        )


class TrainedDetector:
    """Detects objects in images as the run did when it was evaluated: same input, precision, tiles and NMS.

    Attributes:
        run: the run folder.
        classes: names of the classes.
        score: score threshold that is used by default.
        score_source: where it comes from: ``given``; ``validation``, the best F1 on the validation images of the run; or
            ``evaluated``, the best F1 on the images the run was evaluated on, for runs without the former.

    Args:
        run: a finished run, or its folder.
        score: score threshold; None for the one with the best F1.
        device: ``cpu``, ``cuda``, ...; ``auto`` is an accelerator if there is one.

    Raises:
        InputError: there is no finished run or no weights, or `score` is outside [0, 1].
        MachineError: the device is missing.
    """

    def __init__(self, run: RunFolder | str | Path, score: float | None = None, device: str = "auto") -> None:
        self.run = run if isinstance(run, RunFolder) else RunFolder.open(run)
        self.device = pick_device(device)
        predictor = load_predictor(self.run)
        if isinstance(predictor, nn.Module):
            predictor.to(self.device).eval()
        self._predictor = predictor
        settings = self.run.result.config
        self._image = network_input(self.run, predictor)
        self._batch = EvaluateConfig.model_validate(settings.get("evaluate", {})).batch
        self._memory = BatchMemory()
        catalog = self.run.truth.catalog
        self.classes, self.class_ids = catalog.classes, catalog.class_ids
        self.score_source: ScoreSource
        self.score, self.score_source = self._threshold(score)

    def __repr__(self) -> str:
        return f"TrainedDetector({self.run.result.name!r}, {plural(len(self.classes), 'class')}, score {self.score:.3f})"

    def __call__(self, image: Any, score: float | None = None) -> ImageDetections:
        """Detections in one image.

        Args:
            image: see `bench.prediction.pixels.rgb_pixels`.
            score: score threshold instead of `self.score`; a detection of exactly this score is kept. Detections below
                ``nms.score`` of the run do not exist.
        """
        return self.predict([image], score)[0]

    def predict(self, images: Sequence[Any], score: float | None = None) -> list[ImageDetections]:
        """Detections in each of several images, in batches of the run's ``evaluate.batch``; arguments as above."""
        threshold = self.score if score is None else _checked(score)
        found = []
        for first in range(0, len(images), self._per_batch):
            pixels = [rgb_pixels(image) for image in images[first : first + self._per_batch]]
            found += [each.above(threshold) for each in self._detect(pixels)]
        return found

    @property
    def _per_batch(self) -> int:
        return 1 if self._image is None else self._batch  # without a fixed input, images differ in size

    @torch.inference_mode()
    def _detect(self, pixels: Sequence[NDArray[np.uint8]]) -> list[ImageDetections]:
        inputs, placement = fit_images(pixels, self._image or original_size(pixels))
        raw = self._memory(
            inputs,
            lambda part: on_cpu(self._predictor.predict(part.to(self.device))),
        )
        results = []
        for index, (each, of_image) in enumerate(zip(raw, pixels, strict=True)):
            boxes = placement.to_original(each.boxes, index).numpy()
            if not (np.isfinite(boxes).all() and torch.isfinite(each.scores).all()):
                raise InputError(
                    f"{self.run.path}: a detection is not finite (NaN or infinite); its weights are damaged"
                )
            order = np.argsort(-each.scores.numpy(), kind="stable")
            size = cast("tuple[int, int]", of_image.shape[:2])
            results.append(
                ImageDetections(
                    boxes[order], each.scores.numpy()[order], each.labels.numpy()[order], self.classes, size
                )
            )
        return results

    def _threshold(self, score: float | None) -> tuple[float, ScoreSource]:
        if score is not None:
            return _checked(score), "given"
        known = self.run.result.score_threshold
        if known is not None:
            return known, "validation"
        matches = self.run.matches()
        best, _ = score_curve(matches.at(matches.rule.iou_thresholds[0])).best()
        return (0.0 if math.isnan(best) else best), "evaluated"


def load(run: str | Path, score: float | None = None, device: str = "auto") -> TrainedDetector:
    """A finished run as a function: ``bench.load("runs/ssd-...")("photo.jpg")``; arguments as those of `TrainedDetector`."""
    return TrainedDetector(run, score, device)


def _checked(score: float) -> float:
    if not 0 <= score <= 1:
        raise InputError(f"score: {score}; expected a number from 0 to 1")
    return float(score)
