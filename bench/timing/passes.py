"""One pass: a batch from image files to detections in pixels of the original images, timed by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, cast

import torch

from bench.pipeline.placement import fit_images, original_size
from bench.pipeline.predict import on_cpu
from bench.timing.clock import Clock
from bench.timing.timed_run import TimedRun
from detectors.types import Detections, Detector
from reports.records.timing import END_TO_END


class Pass(NamedTuple):
    """Times and detections of a pass.

    Attributes:
        ns: nanoseconds of each stage, by its name in `reports.records.timing.STAGES`.
        detections: detections of each image, in its own pixels.
    """

    ns: dict[str, int]
    detections: list[Detections]


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Passes of one predictor.

    On an asynchronous device, reading the clock between stages makes Python wait and slows down the whole; there, stages
    and the whole are timed in separate passes.

    Attributes:
        timed: run to time.
        clock: clock of its device.
    """

    timed: TimedRun
    clock: Clock

    @property
    def shows_parts(self) -> bool:
        """Whether the forward pass and post-processing can be timed separately."""
        return callable(self.timed.predictor) and all(
            hasattr(self.timed.predictor, verb) for verb in ("decode", "nms")
        )

    @torch.inference_mode()
    def __call__(self, images: Sequence[int]) -> Pass:
        """Detect objects in these images of the split, in one batch."""
        staged = self._measure(images, self.clock.now)
        if not self.clock.asynchronous:
            return staged
        whole = self._measure(images, self.clock.read)
        return Pass(staged.ns | {END_TO_END: whole.ns[END_TO_END]}, whole.detections)

    def _measure(self, images: Sequence[int], read: Callable[[], int]) -> Pass:
        timed, times = self.timed, [self.clock.now()]
        names = ["decode", "preprocess"]
        pixels = [timed.split.load(image) for image in images]
        times.append(read())
        inputs, placement = fit_images(pixels, timed.image or original_size(pixels))
        inputs = inputs.to(timed.device)
        times.append(read())
        if self.shows_parts:
            detector = cast(Detector, timed.predictor)
            output = detector(inputs)
            times.append(read())
            detections = [detector.nms(candidates) for candidates in detector.decode(output)]
            names += ["forward", "postprocess"]
        else:
            detections = timed.predictor.predict(inputs)
            names += ["predict"]
        detections = [
            Detections(placement.to_original(one.boxes, index), one.scores, one.labels)
            for index, one in enumerate(on_cpu(detections))
        ]
        times.append(self.clock.now())
        ns = {name: after - before for name, (before, after) in zip(names, pairwise(times), strict=True)}
        return Pass(ns | {END_TO_END: times[-1] - times[0]}, detections)
