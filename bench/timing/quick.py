"""Latency estimate in a few seconds, for limits in tuning; reports use `bench profile`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.timing.clock import Clock, clock_of
from bench.timing.warmup import warm_up
from detectors.types import Predictor
from metrics.errors import InputError

MIN_ITERATIONS = 10
"""Iterations that are timed even if they take longer than the given time."""


def quick_latency(
    predictor: Predictor, images: Tensor, seconds: float = 2.0, clock: Clock | None = None
) -> float:
    """Median milliseconds of ``predictor.predict(images)``: from pixels on the device to detections.

    Warms up until the times are stable, for at most `seconds`, then times for `seconds`, at least ten calls. The device is
    synchronised before and after each call. Unlike `bench profile`, this excludes reading and resizing of images and has no
    confidence interval.

    Args:
        predictor: a module is in evaluation mode while it is timed.
        images: (B, 3, H, W) float32 RGB in [0, 1], on the predictor's device.
        seconds: time to measure, above 0.
        clock: clock of the device; chosen by default.

    Returns:
        Median over the calls (the lower one of an even number), for the whole batch.

    Raises:
        InputError: `images` is not a batch, or `seconds` is not above 0.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not len(images):
        raise InputError(f"quick_latency: images: expected shape (B, 3, H, W), got {tuple(images.shape)}")
    if not seconds > 0:
        raise InputError(f"quick_latency: seconds: expected more than 0, got {seconds:g}")
    timer = clock or clock_of(images.device)

    def step() -> int:
        start = timer.now()
        predictor.predict(images)
        return timer.now() - start

    was_training = isinstance(predictor, nn.Module) and predictor.training
    if isinstance(predictor, nn.Module):
        predictor.eval()
    try:
        with torch.inference_mode():
            end = timer.read() + seconds * 1e9
            warm_up(step, is_over=lambda: timer.read() >= end)
            end = timer.read() + seconds * 1e9
            times: list[int] = []
            while len(times) < MIN_ITERATIONS or timer.read() < end:
                times.append(step())
    finally:
        if was_training and isinstance(predictor, nn.Module):
            predictor.train()
    return sorted(times)[(len(times) - 1) // 2] / 1e6
