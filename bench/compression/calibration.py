"""Training images on which the ranges of activations are measured."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.data.types import Split
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from bench.process.progress import Progress
from metrics.errors import InputError

BATCH = 8
"""Images per batch."""


def calibration_batches(
    split: Split, image: ImageConfig, count: int, progress: Progress
) -> Iterator[NDArray[np.float32]]:
    """Images of a split as evaluation would give them to the network: resized, and without augmentation.

    Args:
        split: of training.
        image: settings of the network's input, of which those of prediction are used.
        count: number of images, drawn with a fixed seed; all if there are fewer.
        progress: display of the progress.

    Yields:
        (B, 3, H, W) RGB in [0, 1].

    Raises:
        InputError: the split is not of training: what is measured on validation or test images would no longer be unseen.
    """
    if split.name != "train":
        raise InputError(f"calibration: expected images of the split train, got {split.name}")
    wanted = min(count, len(split))
    loader = make_loader(
        split, image.for_prediction, batch_size=min(BATCH, max(wanted, 1)), shuffle=True, workers=0
    )
    left = wanted
    with progress.stage("calibrating", wanted) as stage:
        if not left:
            return
        for batch in loader:
            images = batch.images[:left].numpy()
            yield images
            left -= len(images)
            stage.advance(len(images))
            if left <= 0:
                return
