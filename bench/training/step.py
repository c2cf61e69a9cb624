"""One update of the weights: smaller parts of a batch if memory is short, and losses that are not finite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.pipeline.loader import Batch
from bench.process.log import Log
from bench.settings.sections import TrainConfig
from bench.training.schedules import set_learning_rate
from detectors.types import Detector, Targets
from metrics.errors import MachineError, PartialError

MAX_HALVINGS = 3
"""Largest number of times that a batch is halved if it does not fit into memory."""

_MAX_SHOWN = 5


class LossNotFinite(PartialError):
    """The loss or its gradient was NaN or infinite; `image_ids` are the images that caused it."""

    def __init__(self, message: str, image_ids: Sequence[int | str]) -> None:
        super().__init__(message)
        self.image_ids = tuple(image_ids)


class StepResult(NamedTuple):
    """Result of an update.

    Attributes:
        terms: each term of the loss, a scalar on the device, averaged over the images of the step.
        taken: whether the weights were changed.
    """

    terms: dict[str, Tensor]
    taken: bool


class Stepper:
    """Updates the weights of a detector.

    On the CPU, and if steps that are not finite are skipped, each loss is checked before the weights change. Otherwise
    this would synchronise the device at every step: `check` tests all losses since its last call, and a training that
    fails then resumes from the last checkpoint.

    Args:
        detector: the network.
        model: the network as prepared by `accelerator`.
        optimizer: as prepared by `accelerator`.
        accelerator: of the run.
        config: settings of training.
        image_ids: id of every training image, by its index.
        log: log of events.
        parts: number of parts into which a batch is divided.
        skipped: number of consecutive steps that were skipped before.
    """

    def __init__(
        self,
        detector: nn.Module,
        model: nn.Module,
        optimizer: Optimizer,
        accelerator: Accelerator,
        config: TrainConfig,
        image_ids: Sequence[int | str],
        log: Log,
        parts: int = 1,
        skipped: int = 0,
    ) -> None:
        self.detector = detector
        self.model = model
        self.optimizer = optimizer
        self.accelerator = accelerator
        self.config = config
        self.image_ids = image_ids
        self.log = log
        self.parts = parts
        self.skipped = skipped
        self._losses = cast(Detector, detector).losses
        self._halvings = 0
        self.checks_each = accelerator.device.type == "cpu" or config.not_finite == "skip"
        self._unchecked: list[tuple[Tensor, list[int | str]]] = []

    def __call__(self, batches: Sequence[Batch], factor: float) -> StepResult:
        """Update the weights with the mean gradient of `batches`, at `factor` times the highest learning rate.

        Raises:
            LossNotFinite: the loss is not finite and `not_finite` is ``stop``, or too many consecutive steps were
                skipped.
            MachineError: not even an eighth of a batch fits into memory.
        """
        terms = self._gradients(batches)
        while terms is None:
            self._halve(max(len(batch.targets) for batch in batches))
            terms = self._gradients(batches)
        norm = self._clip()
        total = torch.stack(list(terms.values())).sum()
        if norm is not None and self.accelerator.scaler is None:
            total = total + norm * 0  # NaN where the gradient is not finite
        if self.checks_each:
            if not self._finite(total):
                return self._not_finite(batches, terms)
            self.skipped = 0
        else:
            self._unchecked.append((total, self._ids(batches)))
        set_learning_rate(self.optimizer, factor)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return StepResult(terms, True)

    def check(self) -> None:
        """Test the losses since the last call.

        Raises:
            LossNotFinite: a loss is not finite.
        """
        if self._unchecked:
            finite = torch.isfinite(torch.stack([total for total, _ in self._unchecked])).tolist()
            unchecked, self._unchecked = self._unchecked, []
            # fp16 overflows occasionally by design: the scaler skips that step and lowers its scale.
            if self.accelerator.scaler is None and not all(finite):
                self._stop(unchecked[finite.index(False)][1])

    def _gradients(self, batches: Sequence[Batch]) -> dict[str, Tensor] | None:
        """Backpropagate the batches and return the mean terms; None if memory was not sufficient."""
        images = sum(len(batch.targets) for batch in batches)
        terms: dict[str, Tensor] = {}
        chunks = [chunk for batch in batches for chunk in _divided(batch, self.parts)]
        try:
            for number, (pixels, targets) in enumerate(chunks, 1):
                share = len(targets) / images
                if number < len(chunks):
                    with self.accelerator.no_sync(self.model):
                        self._backward(pixels, targets, share, terms)
                else:
                    self._backward(pixels, targets, share, terms)
        except torch.OutOfMemoryError:
            self.optimizer.zero_grad()
            return None
        return terms

    def _backward(
        self, pixels: Tensor, targets: list[Targets], share: float, terms: dict[str, Tensor]
    ) -> None:
        device = self.accelerator.device
        pixels = pixels.to(device, non_blocking=True)
        losses = self._losses(self.model(pixels), _moved(targets, device))
        self.accelerator.backward(sum(losses.values()) * share)
        for name, loss in losses.items():
            term = loss.detach() * share
            terms[name] = terms[name] + term if name in terms else term

    def _halve(self, largest: int) -> None:
        # Outside the except block, where the frames of the failed attempt still hold its tensors.
        if self._halvings == MAX_HALVINGS or self.parts >= largest:
            raise MachineError(
                f"out of memory on {self.accelerator.device}, even with {self.parts} parts of a batch of {largest}; "
                "lower train.batch or image.size"
            )
        if self.accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        self._halvings += 1
        self.parts *= 2
        self.log.write("out_of_memory", parts=self.parts)

    def _clip(self) -> Tensor | None:
        """Clip the norm of the gradient and return it; None without clipping."""
        if self.config.clip:
            norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip)
            return norm if isinstance(norm, Tensor) else None
        return None

    def _finite(self, total: Tensor) -> bool:
        finite = torch.isfinite(total)
        if self.accelerator.num_processes > 1:
            return bool(self.accelerator.reduce(finite.float(), "sum") == self.accelerator.num_processes)
        return bool(finite)

    def _not_finite(self, batches: Sequence[Batch], terms: dict[str, Tensor]) -> StepResult:
        if self.config.not_finite == "stop":
            self._stop(self._offending(batches) or self._ids(batches))
        if self.accelerator.scaler is not None:
            self.optimizer.step()  # detects the overflow too, and must be called before the next step
        self.skipped += 1
        self.log.write("step_left_out", reason="loss is not finite", images=self._ids(batches))
        if self.skipped >= self.config.not_finite_limit:
            self._stop(self._offending(batches) or self._ids(batches))
        self.optimizer.zero_grad()
        return StepResult(terms, False)

    def _stop(self, ids: list[int | str]) -> None:
        shown = ", ".join(str(name) for name in ids[:_MAX_SHOWN]) + (", ..." if len(ids) > _MAX_SHOWN else "")
        self.log.write("loss_not_finite", images=ids)
        again = f" {self.skipped} times in a row" if self.skipped > 1 else ""
        raise LossNotFinite(
            f"the loss is not finite{again} (NaN or infinite) on images {shown}; look at their boxes, lower train.lr, "
            "or skip such steps with --set train.not_finite=skip",
            ids,
        )

    def _offending(self, batches: Sequence[Batch]) -> list[int | str]:
        """The images whose loss alone is not finite."""
        self.detector.eval()
        ids = []
        with torch.no_grad():
            for batch in batches:
                for i, (pixels, targets) in enumerate(_divided(batch, len(batch.targets))):
                    moved = pixels.to(self.accelerator.device)
                    losses = self._losses(self.detector(moved), _moved(targets, moved.device))
                    if not torch.isfinite(torch.stack(list(losses.values()))).all():
                        ids.append(self.image_ids[int(batch.index[i])])
        self.detector.train()
        return ids

    def _ids(self, batches: Sequence[Batch]) -> list[int | str]:
        return [self.image_ids[i] for batch in batches for i in batch.index.tolist()]


def _divided(batch: Batch, parts: int) -> Iterator[tuple[Tensor, list[Targets]]]:
    size = -(-len(batch.targets) // parts)
    for start in range(0, len(batch.targets), size):
        yield batch.images[start : start + size], batch.targets[start : start + size]


def _moved(targets: list[Targets], device: torch.device) -> list[Targets]:
    """Copy the targets to the device in two transfers."""
    if device.type == "cpu":
        return targets
    counts = [len(target.labels) for target in targets]
    boxes = torch.cat([target.boxes for target in targets]).to(device, non_blocking=True)
    labels = torch.cat([target.labels for target in targets]).to(device, non_blocking=True)
    pairs = zip(torch.split(boxes, counts), torch.split(labels, counts), strict=True)
    return [Targets(of_image, image_labels) for of_image, image_labels in pairs]
