"""One pass: a batch from image files to detections in pixels of the original images, timed stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.placement import fit_images
from bench.pipeline.predict import on_cpu
from bench.timing.clock import Clock
from bench.timing.subject import Timed
from detectors.types import Detections, Detector
from reports.records.timing import END_TO_END


class Pass(NamedTuple):
    """What a pass took and found.

    Attributes:
        ns: nanoseconds of each stage, by its name in `reports.records.timing.STAGES`.
        found: of each image, boxes in its own pixels.
    """

    ns: dict[str, int]
    found: list[Detections]


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Makes passes with one predictor.

    On a device that works while Python goes on, looking at the clock between two stages makes Python wait, and the
    whole slower than it is in use: there the stages and the whole are timed in a pass each.

    Attributes:
        timed: what is timed.
        clock: of its device.
    """

    timed: Timed
    clock: Clock

    @property
    def shows_parts(self) -> bool:
        """Whether forward and post-processing can be told apart."""
        return isinstance(self.timed.predictor, nn.Module) and all(
            hasattr(self.timed.predictor, verb) for verb in ("decode", "nms")
        )

    @torch.inference_mode()
    def __call__(self, images: Sequence[int]) -> Pass:
        """Detect in these images of the split, all in one batch."""
        staged = self._go(images, self.clock.now)
        if not self.clock.asynchronous:
            return staged
        whole = self._go(images, self.clock.read)
        return Pass(staged.ns | {END_TO_END: whole.ns[END_TO_END]}, whole.found)

    def _go(self, images: Sequence[int], read: Callable[[], int]) -> Pass:
        timed, marks = self.timed, [self.clock.now()]
        names = ["decode", "preprocess"]
        pixels = [timed.split.load(image) for image in images]
        marks.append(read())
        inputs, placement = fit_images(pixels, timed.image or _as_it_is(pixels))
        inputs = inputs.to(timed.device)
        marks.append(read())
        if self.shows_parts:
            detector = cast(Detector, timed.predictor)
            with timed.mixed_precision():
                output = detector(inputs)
            marks.append(read())
            found = [detector.nms(candidates) for candidates in detector.decode(output)]
            names += ["forward", "postprocess"]
        else:
            with timed.mixed_precision():
                found = timed.predictor.predict(inputs)
            names += ["predict"]
        found = [
            Detections(placement.to_original(of.boxes, at), of.scores, of.labels)
            for at, of in enumerate(on_cpu(found))
        ]
        marks.append(self.clock.now())
        ns = {name: after - before for name, (before, after) in zip(names, pairwise(marks), strict=True)}
        return Pass(ns | {END_TO_END: marks[-1] - marks[0]}, found)


def _as_it_is(pixels: Sequence[NDArray[np.uint8]]) -> ImageConfig:
    """An input of the size of a single image, whatever that is."""
    (image,) = pixels
    return ImageConfig().model_copy(update={"size": image.shape[:2]})
