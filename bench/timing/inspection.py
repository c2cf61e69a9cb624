"""Inspection of one model in a fresh process: agreement with its evaluation, size, FLOPs and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.pipeline.inference import model_file_of
from bench.timing import conditions
from bench.timing.passes import Passes
from bench.timing.timed_run import TimedRun, batch_at, weights_of
from detectors.flops import FLOP_COUNTER, forward_flops
from detectors.types import Detections
from metrics.errors import is_out_of_memory
from metrics.iou import box_iou
from metrics.tables import DetectionTable
from reports.records.run import RunFolder
from reports.records.timing import BatchRun, Subject

SAME_IOU = 0.99
SAME_SCORE = 0.005
"""Detections are equal if they have the same label, at least this IoU, and scores that differ by at most this: the order
of additions depends on batch size and device."""


def describe(
    passes: Passes, images: Sequence[int], resting_bytes: int, on_image: Callable[[], None] = lambda: None
) -> Subject:
    """Describe the timed model, and compare its detections with those of the run's evaluation.

    Args:
        passes: passes of the model.
        images: indices of the timed images.
        resting_bytes: memory of the process before the first pass.
        on_image: called after each image.
    """
    timed = passes.timed
    tensors = weights_of(timed.predictor)
    kernels = [tensor for tensor in tensors if tensor.ndim == 4 and min(tensor.shape[1:]) > 1]
    weights = timed.run.path / RunFolder.WEIGHTS
    flops = count_flops(timed)
    nms = getattr(getattr(timed.predictor, "nms", None), "config", None)
    dtype = str(tensors[0].dtype).removeprefix("torch.") if tensors else ""
    parameters = sum(tensor.numel() for tensor in tensors) if tensors else None
    size = weights.stat().st_size if weights.is_file() else None
    if (known := model_file_of(timed.predictor)) is not None:
        dtype, parameters, size = (
            known.file.runtime.precision,
            known.file.parameters,
            known.file.graph.size_bytes,
        )
    return Subject(
        dtype=dtype,
        autocast="" if timed.precision == "no" else timed.precision,
        channels_last=bool(kernels)
        and all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in kernels),
        compiled=any(_is_compiled(module) for module in _modules(timed.predictor)),
        input_size=None if timed.image is None else timed.image.size,
        resize="" if timed.image is None else timed.image.resize,
        nms=nms.model_dump(mode="json") if nms is not None and hasattr(nms, "model_dump") else {},
        images=len(images),
        images_in_memory=timed.split.in_memory,
        parameters=parameters,
        weights_bytes=size,
        resting_bytes=resting_bytes,
        flops=flops,
        flop_counter=FLOP_COUNTER if flops is not None else "",
        agreement=agreement(passes, images, on_image),
    )


def count_flops(timed: TimedRun) -> int | None:
    """`forward_flops` of the predictor; None if it is not a network, or its input has no fixed size."""
    if not isinstance(timed.predictor, nn.Module) or timed.image is None:
        return None
    return forward_flops(timed.predictor, timed.image.size, timed.device)


def agreement(
    passes: Passes, images: Sequence[int], on_image: Callable[[], None] = lambda: None
) -> float | None:
    """Share of all detections on these images, stored and new ones, that have an equal one in the other set.

    None if there are no detections.
    """
    stored = passes.timed.run.detections
    agreed = total = 0
    for image in images:
        (detections,) = passes([image]).detections
        new, old = equal_detections(detections, stored, image)
        agreed += int(new.sum() + old.sum())
        total += len(new) + len(old)
        on_image()
    return agreed / total if total else None


def equal_detections(
    new: Detections, stored: DetectionTable, image: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each new detection of an image has an equal stored one, and each stored one an equal new one."""
    rows = np.flatnonzero(stored.image == image)
    boxes, scores = stored.boxes[rows], stored.score[rows]
    same = (
        (box_iou(new.boxes.double().numpy(), boxes) >= SAME_IOU)
        & (np.abs(new.scores.double().numpy()[:, None] - scores) <= SAME_SCORE)
        & (new.labels.numpy()[:, None] == stored.label[rows])
    )
    return same.any(axis=1), same.any(axis=0)


def measure_memory(
    passes: Passes, images: Sequence[int], batches: Sequence[int], on_result: Callable[[BatchRun], None]
) -> None:
    """Measure peak memory at each batch size, in ascending order; all sizes from the first that does not fit are marked.

    Args:
        passes: passes of the only model of this process.
        images: indices of the images, in order.
        batches: batch sizes.
        on_result: called with each result at once, because the process may be killed at the next size.
    """
    device = passes.timed.device
    fits = True
    for batch in sorted(batches):
        if batch > 1 and passes.timed.image is None:
            on_result(BatchRun(batch=batch, status="one at a time"))
            continue
        fits = fits and _fits(passes, batch_at(images, 0, batch), device)
        if not fits:
            on_result(BatchRun(batch=batch, status="out of memory"))
        elif device.type == "cuda":
            on_result(
                BatchRun(
                    batch=batch,
                    memory_bytes=torch.cuda.max_memory_allocated(device),
                    reserved_bytes=torch.cuda.max_memory_reserved(device),
                )
            )
        else:
            on_result(BatchRun(batch=batch, memory_bytes=conditions.peak_memory()))


def _fits(passes: Passes, images: Sequence[int], device: torch.device) -> bool:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        for _ in range(3):
            passes(images)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _is_compiled(module: nn.Module) -> bool:
    """Whether a module is compiled by ``torch.compile`` or in place."""
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def _modules(predictor: object) -> list[nn.Module]:
    return [*predictor.modules()] if isinstance(predictor, nn.Module) else []
