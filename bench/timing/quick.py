"""One number in a few seconds: for a tuner that keeps within a limit, not for a report."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.timing.clock import Clock, clock_of
from bench.timing.warmup import warm_up
from detectors.types import Predictor
from metrics.errors import InputError

LEAST = 10
"""Iterations that are timed however long each takes."""


def quick_latency(
    predictor: Predictor, images: Tensor, seconds: float = 2.0, clock: Clock | None = None
) -> float:
    """Median milliseconds of ``predictor.predict(images)``: from pixels on the device to detections.

    Warmed up until the times stand still, but no longer than `seconds`; then timed for as long again, at least ten
    times. Each call is synchronised with the device before and after. `bench profile` says how sure such a number
    is and what else belongs to it (reading and resizing images); this does not.

    Args:
        predictor: a module is set to evaluation mode, and back to its own when timing is done.
        images: (B, 3, H, W) float32 RGB in [0, 1], on the device of the predictor.
        seconds: to time for, above 0.
        clock: of that device; by default its own.

    Returns:
        The middle one of the times (of an even number the lower), of the whole batch.

    Raises:
        InputError: `images` is no batch, or `seconds` not above 0.
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
            warm_up(step, enough=lambda: timer.read() >= end)
            end = timer.read() + seconds * 1e9
            times: list[int] = []
            while len(times) < LEAST or timer.read() < end:
                times.append(step())
    finally:
        if was_training and isinstance(predictor, nn.Module):
            predictor.train()
    return sorted(times)[(len(times) - 1) // 2] / 1e6
