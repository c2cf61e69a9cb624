"""Work on batches that may not fit into memory: halved until they do, with the same results."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from metrics.errors import MachineError, is_out_of_memory
from metrics.notes import Note, report
from metrics.plurals import plural

T = TypeVar("T")


class BatchMemory:
    """Applies functions to batches of images, in parts once a batch has not fitted into memory.

    Only for functions that treat each image by itself, such as a network in evaluation mode. The parts have equal sizes up
    to one image; results differ from those of the whole batch at most by the rounding of the batch size's kernels.

    Attributes:
        most: largest number of images that are passed at once; None as long as every batch has fitted.
    """

    def __init__(self) -> None:
        self.most: int | None = None

    def __call__(self, images: Tensor, work: Callable[[Tensor], list[T]]) -> list[T]:
        """Results of `work`, one per image.

        Raises:
            MachineError: a single image does not fit into memory.
        """
        results: list[T] = []
        while len(results) < len(images):
            part = images[len(results) :][: self.most]
            of_part = _attempt(part, work)
            if of_part is not None:
                results += of_part
            else:
                self._halve(len(part), images)
        return results

    def _halve(self, size: int, images: Tensor) -> None:
        # Outside the except block, where the frames of the failed attempt still hold its tensors.
        if size == 1:
            raise MachineError(
                f"out of memory for a single image of {images.shape[2]} x {images.shape[3]} pixels; lower image.size, or "
                "predict on tiles with evaluate.tile"
            )
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.most = -(-size // 2)
        text = f"out of memory with {plural(size, 'image')} at once; continued with {self.most} (evaluate.batch={self.most})"
        report(Note("halved_batch", text, values={"from": size, "to": self.most}), stacklevel=3)


def _attempt(images: Tensor, work: Callable[[Tensor], list[T]]) -> list[T] | None:
    """Result of `work`; None if memory was not sufficient."""
    try:
        return work(images)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None
