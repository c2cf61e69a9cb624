"""Latency of several files on the same images, timed in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from bench.process.progress import Progress
from bench.timing.clock import Clock

ROUNDS = 60
WARM_UP = 5
"""Rounds before those that count."""


def median_latencies(
    models: Mapping[str, Callable[[Tensor], object]],
    images: Sequence[Tensor],
    progress: Progress,
    clock: Clock | None = None,
) -> dict[str, float]:
    """Median milliseconds of each model for one image.

    In each round every model computes the same image, in an order that rotates, so that changes of the machine's speed meet
    all of them alike.

    Args:
        models: compute the graph of (1, 3, H, W) images, by name.
        images: at least one, each (1, 3, H, W).
        progress: display of the progress.
        clock: of the device; the CPU's by default.
    """
    timer = clock or Clock()
    names = list(models)
    times: dict[str, list[int]] = {name: [] for name in names}
    with progress.stage("timing candidates", WARM_UP + ROUNDS) as stage:
        for number in range(WARM_UP + ROUNDS):
            image = images[number % len(images)]
            first = number % len(names)
            for name in names[first:] + names[:first]:
                start = timer.now()
                models[name](image)
                if number >= WARM_UP:
                    times[name].append(timer.now() - start)
            stage.advance()
    return {name: float(np.median(each)) / 1e6 for name, each in times.items()}
