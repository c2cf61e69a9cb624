"""One update of the weights: forward and backward in as many parts as memory asks for, and what if it is not finite."""

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
from bench.training.optimizer import set_learning_rate
from detectors.types import Detector, Targets
from metrics.errors import MachineError, PartialError

MOST_HALVINGS = 3
"""How often a batch is halved when it does not fit into memory."""

_SHOWN_IDS = 5


class LossNotFinite(PartialError):
    """The loss, or its gradient, was NaN or infinite; `image_ids` are the images that caused it."""

    def __init__(self, message: str, image_ids: Sequence[int | str]) -> None:
        super().__init__(message)
        self.image_ids = tuple(image_ids)


class StepResult(NamedTuple):
    """What an update did.

    Attributes:
        terms: each term of the loss, a scalar on the device, averaged over the step's images.
        taken: whether the weights were changed.
    """

    terms: dict[str, Tensor]
    taken: bool


class Stepper:
    """Makes updates of a detector's weights.

    On the CPU, and where steps that are not finite are to be left out, each loss is looked at before the weights
    change. Elsewhere that would make the device wait at every step: `check` looks at all losses since the last
    time, and whoever stops then goes back to the last checkpoint.

    Args:
        detector: the network itself.
        model: the same as `accelerator` prepared it.
        optimizer: as `accelerator` prepared it.
        config: settings of training.
        image_ids: the id of every training image, by its index.
        parts: into how many parts a batch is divided.
        skipped: steps in a row that were left out before.
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
        self.at_once = accelerator.device.type == "cpu" or config.not_finite == "skip"
        self._unchecked: list[tuple[Tensor, list[int | str]]] = []

    def __call__(self, batches: Sequence[Batch], factor: float) -> StepResult:
        """Update the weights once by the mean gradient of `batches`, at `factor` of the highest learning rate.

        Raises:
            LossNotFinite: and the policy is to stop, or too many steps in a row were left out.
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
        if self.at_once:
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
        """Look at the losses that were not looked at yet.

        Raises:
            LossNotFinite: one was not finite.
        """
        if self._unchecked:
            finite = torch.isfinite(torch.stack([total for total, _ in self._unchecked])).tolist()
            unchecked, self._unchecked = self._unchecked, []
            # fp16 overflows now and then by design: the scaler leaves that step out and lowers its scale.
            if self.accelerator.scaler is None and not all(finite):
                self._stop(unchecked[finite.index(False)][1])

    def _gradients(self, batches: Sequence[Batch]) -> dict[str, Tensor] | None:
        """Backpropagate the batches and return the mean terms; None where memory did not suffice."""
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
        # Out of the except block, where the frames of the failed attempt still held its tensors.
        if self._halvings == MOST_HALVINGS or self.parts >= largest:
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
        """Limit the gradient's norm, and return what it was; None where it is not looked at."""
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
            self.optimizer.step()  # finds the same and leaves the step out, but must be told before the next
        self.skipped += 1
        self.log.write("step_left_out", reason="loss is not finite", images=self._ids(batches))
        if self.skipped >= self.config.not_finite_limit:
            self._stop(self._offending(batches) or self._ids(batches))
        self.optimizer.zero_grad()
        return StepResult(terms, False)

    def _stop(self, ids: list[int | str]) -> None:
        shown = ", ".join(str(name) for name in ids[:_SHOWN_IDS]) + (", ..." if len(ids) > _SHOWN_IDS else "")
        self.log.write("loss_not_finite", images=ids)
        again = f" {self.skipped} times in a row" if self.skipped > 1 else ""
        raise LossNotFinite(
            f"the loss is not finite{again} (NaN or infinite) on images {shown}; look at their boxes, lower train.lr, "
            "or leave such steps out with --set train.not_finite=skip",
            ids,
        )

    def _offending(self, batches: Sequence[Batch]) -> list[int | str]:
        """The images whose loss, each alone, is not finite."""
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
    """The targets on the device, copied in two pieces however many images there are."""
    if device.type == "cpu":
        return targets
    counts = [len(target.labels) for target in targets]
    boxes = torch.cat([target.boxes for target in targets]).to(device, non_blocking=True)
    labels = torch.cat([target.labels for target in targets]).to(device, non_blocking=True)
    pairs = zip(torch.split(boxes, counts), torch.split(labels, counts), strict=True)
    return [Targets(of_image, names) for of_image, names in pairs]
