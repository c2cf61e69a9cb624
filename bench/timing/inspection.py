"""One model alone in a fresh process: is it what was evaluated, how large is it, and how much memory does it take?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.timing import conditions
from bench.timing.passes import Passes
from bench.timing.subject import Timed, batch_at, weights_of
from detectors.types import Detections
from metrics.iou import box_iou
from metrics.tables import DetectionTable
from reports.records.timing import BatchRun, Subject

FLOP_COUNTER = (
    f"torch.utils.flop_counter of torch {torch.__version__.split('+')[0]}: convolutions, matrix products and "
    "attention; not activations, normalisation, resizing, decoding of boxes and suppression"
)

SAME_IOU = 0.99
SAME_SCORE = 0.005
"""Two detections are the same where they have one label, this IoU, and scores this near: other batch sizes and devices
add in another order."""


def describe(
    passes: Passes, images: Sequence[int], resting_bytes: int, told: Callable[[], None] = lambda: None
) -> Subject:
    """What is timed, and how far its detections are those that the run was evaluated by.

    Args:
        passes: of the model.
        images: which images of the split are timed.
        resting_bytes: memory of the process before the first pass.
        told: called after each image.
    """
    timed = passes.timed
    tensors = weights_of(timed.predictor)
    kernels = [tensor for tensor in tensors if tensor.ndim == 4 and min(tensor.shape[1:]) > 1]
    weights = timed.run.path / "weights.safetensors"
    flops = count_flops(timed)
    nms = getattr(getattr(timed.predictor, "nms", None), "config", None)
    return Subject(
        dtype=str(tensors[0].dtype).removeprefix("torch.") if tensors else "",
        autocast="" if timed.precision == "no" else timed.precision,
        channels_last=bool(kernels)
        and all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in kernels),
        compiled=any(_is_compiled(module) for module in _modules(timed.predictor)),
        input_size=None if timed.image is None else timed.image.size,
        resize="" if timed.image is None else timed.image.resize,
        nms=nms.model_dump(mode="json") if nms is not None and hasattr(nms, "model_dump") else {},
        images=len(images),
        images_in_memory=timed.split.in_memory,
        parameters=sum(tensor.numel() for tensor in tensors) if tensors else None,
        weights_bytes=weights.stat().st_size if weights.is_file() else None,
        resting_bytes=resting_bytes,
        flops=flops,
        flop_counter=FLOP_COUNTER if flops is not None else "",
        agreement=agreement(passes, images, told),
    )


def count_flops(timed: Timed) -> int | None:
    """Operations of one image through the network, two for a multiplication with its addition.

    None for what is no network, or has no input of a fixed size.
    """
    if not isinstance(timed.predictor, nn.Module) or timed.image is None:
        return None
    images = torch.zeros(1, 3, *timed.image.size, device=timed.device)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        if hasattr(timed.predictor, "decode"):
            timed.predictor(images)
        else:
            timed.predictor.predict(images)
    return int(counter.get_total_flops())


def agreement(passes: Passes, images: Sequence[int], told: Callable[[], None] = lambda: None) -> float | None:
    """Share of the stored detections on these images, and of those found now, that have a partner among the others.

    None where there are none at all.
    """
    stored = passes.timed.run.detections
    agreed = total = 0
    for image in images:
        (found,) = passes([image]).found
        mine, others = partners(found, stored, image)
        agreed += int(mine.sum() + others.sum())
        total += len(mine) + len(others)
        told()
    return agreed / total if total else None


def partners(
    found: Detections, stored: DetectionTable, image: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each detection found in an image, and of each stored of it: whether the same is among the others."""
    rows = np.flatnonzero(stored.image == image)
    boxes, scores = stored.boxes[rows], stored.score[rows]
    same = (
        (box_iou(found.boxes.double().numpy(), boxes) >= SAME_IOU)
        & (np.abs(found.scores.double().numpy()[:, None] - scores) <= SAME_SCORE)
        & (found.labels.numpy()[:, None] == stored.label[rows])
    )
    return same.any(axis=1), same.any(axis=0)


def measure_memory(
    passes: Passes, images: Sequence[int], batches: Sequence[int], told: Callable[[BatchRun], None]
) -> None:
    """Peak memory at each batch size, smallest first; one that does not fit is marked, and so are all larger ones.

    Args:
        passes: of the model, the only one of this process.
        images: which images of the split, in order.
        batches: sizes.
        told: given each result as it is known; a process that is killed for its memory has told the others.
    """
    device = passes.timed.device
    fits = True
    for batch in sorted(batches):
        if batch > 1 and passes.timed.image is None:
            told(BatchRun(batch=batch, status="one at a time"))
            continue
        fits = fits and _fits(passes, batch_at(images, 0, batch), device)
        if not fits:
            told(BatchRun(batch=batch, status="out of memory"))
        elif device.type == "cuda":
            told(
                BatchRun(
                    batch=batch,
                    memory_bytes=torch.cuda.max_memory_allocated(device),
                    reserved_bytes=torch.cuda.max_memory_reserved(device),
                )
            )
        else:
            told(BatchRun(batch=batch, memory_bytes=conditions.peak_memory()))


def _fits(passes: Passes, images: Sequence[int], device: torch.device) -> bool:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        for _ in range(3):
            passes(images)
    except (RuntimeError, MemoryError) as error:
        if not conditions.is_out_of_memory(error):
            raise
        return False
    return True


def _is_compiled(module: nn.Module) -> bool:
    """Whether ``torch.compile`` made it, or it was compiled in its place."""
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def _modules(predictor: object) -> list[nn.Module]:
    return [*predictor.modules()] if isinstance(predictor, nn.Module) else []
