"""One update of the weights, and losses that are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from bench.pipeline.loader import Batch
from bench.process.log import Log
from bench.settings.sections import TrainConfig
from bench.training.gradient import StepGradient, divided, moved
from bench.training.schedules import set_learning_rate
from detectors.types import Detector, divide_sums
from metrics.errors import PartialError
from metrics.plurals import plural

_MAX_SHOWN = 5

Quantity = Literal["loss", "gradient"]


class LossNotFinite(PartialError):
    """The loss or only its gradient was NaN or infinite.

    Attributes:
        image_ids: the images that caused it.
        quantity: what was not finite; ``gradient`` if the loss was finite.
    """

    def __init__(self, message: str, image_ids: Sequence[int | str], quantity: Quantity = "loss") -> None:
        super().__init__(message)
        self.image_ids = tuple(image_ids)
        self.quantity = quantity


class StepResult(NamedTuple):
    """Result of an update.

    Attributes:
        terms: each term of the loss of the step over all parts and processes, a scalar on the device.
        taken: whether the weights were changed.
    """

    terms: dict[str, Tensor]
    taken: bool


class _Unchecked(NamedTuple):
    """Result of a step that was not tested: loss, norm of the gradient (None if unknown), ids of the images."""

    loss: Tensor
    norm: Tensor | None
    ids: list[int | str]


class Stepper:
    """Updates the weights of a detector.

    On the CPU, and if steps that are not finite are skipped, each loss is checked before the weights change. Otherwise
    this would synchronise the device at every step: `check` tests all losses since its last call, and a training that
    fails then resumes from the last checkpoint.

    Args:
        detector: the network.
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
        optimizer: Optimizer,
        accelerator: Accelerator,
        config: TrainConfig,
        image_ids: Sequence[int | str],
        log: Log,
        parts: int = 1,
        skipped: int = 0,
    ) -> None:
        self.detector = detector
        self.optimizer = optimizer
        self.accelerator = accelerator
        self.config = config
        self.image_ids = image_ids
        self.log = log
        self.skipped = skipped
        self._parameters = list(detector.parameters())
        self._gradient = StepGradient(detector, accelerator, log, parts)
        self.checks_each = accelerator.device.type == "cpu" or config.not_finite == "skip"
        self._unchecked: list[_Unchecked] = []

    def __call__(self, batches: Sequence[Batch], factor: float) -> StepResult:
        """Update the weights with the gradient of the loss of `batches`, at `factor` times the highest learning rate.

        Raises:
            LossNotFinite: the loss is not finite and `not_finite` is ``stop``, or too many consecutive steps were
                skipped.
            MachineError: not even an eighth of a batch fits into memory.
        """
        terms = self._gradient(batches)
        result = _Unchecked(torch.stack(list(terms.values())).sum(), self._clip(), self._ids(batches))
        if self.checks_each:
            quantity = _not_finite(result)
            if quantity is not None:
                return self._leave_out(quantity, batches, terms)
            self.skipped = 0
        else:
            self._unchecked.append(result)
        set_learning_rate(self.optimizer, factor)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return StepResult(terms, True)

    @property
    def parts(self) -> int:
        """Number of parts into which a batch is divided to fit into memory."""
        return self._gradient.parts

    @property
    def image_losses(self) -> Tensor | None:
        """Losses of the images of the last step; see `StepGradient.image_losses`."""
        return self._gradient.image_losses

    def check(self) -> None:
        """Test the losses since the last call.

        Raises:
            LossNotFinite: a loss is not finite.
        """
        unchecked, self._unchecked = self._unchecked, []
        # fp16 overflows occasionally by design: the scaler skips that step and lowers its scale.
        if unchecked and self.accelerator.scaler is None:
            values = [each.loss if each.norm is None else each.loss + each.norm for each in unchecked]
            finite = torch.isfinite(torch.stack(values)).tolist()
            if not all(finite):
                first = unchecked[finite.index(False)]
                self._stop(_not_finite(first) or "loss", first.ids)

    def _clip(self) -> Tensor | None:
        """Clip the norm of the gradient and return the norm; None for fp16, whose overflows the scaler finds."""
        limit = self.config.clip
        if limit and self.accelerator.scaler is not None:
            self.accelerator.unscale_gradients()
        norm = get_total_norm([each.grad for each in self._parameters if each.grad is not None])
        # Below the limit, torch multiplies all gradients by 1. On a GPU, the comparison would wait for the device.
        if limit and not (self.accelerator.device.type == "cpu" and norm < 0.999 * limit):
            clip_grads_with_norm_(self._parameters, limit, norm)
        return norm if self.accelerator.scaler is None else None

    def _leave_out(
        self, quantity: Quantity, batches: Sequence[Batch], terms: dict[str, Tensor]
    ) -> StepResult:
        """Skip a step that is not finite, or stop."""
        if self.config.not_finite == "stop":
            self._stop(quantity, self._offending(batches) or self._ids(batches))
        if self.accelerator.scaler is not None:
            self.optimizer.step()  # detects the overflow too, and must be called before the next step
        self.skipped += 1
        self.log.write("step_left_out", reason="not finite", quantity=quantity, images=self._ids(batches))
        if self.skipped >= self.config.not_finite_limit:
            self._stop(quantity, self._offending(batches) or self._ids(batches))
        self.optimizer.zero_grad()
        return StepResult(terms, False)

    def _stop(self, quantity: Quantity, ids: list[int | str]) -> None:
        shown = ", ".join(str(name) for name in ids[:_MAX_SHOWN]) + (", ..." if len(ids) > _MAX_SHOWN else "")
        self.log.write("loss_not_finite", quantity=quantity, images=ids)
        again = f" {plural(self.skipped, 'time')} in a row" if self.skipped > 1 else ""
        remedies = ["lower train.lr", "or skip such steps with --set train.not_finite=skip"]
        if quantity == "loss":
            what = f"the loss is not finite{again} (NaN or infinite) on images {shown}"
            remedies.insert(0, "look at their boxes")
        else:
            what = f"the loss is finite, but its gradient is not{again} (NaN or infinite), on images {shown}"
            if self.config.precision != "no":
                remedies.insert(0, "train in float32 (train.precision=no)")
        raise LossNotFinite(f"{what}; {', '.join(remedies)}", ids, quantity)

    def _offending(self, batches: Sequence[Batch]) -> list[int | str]:
        """The images whose loss alone is not finite."""
        self.detector.eval()
        ids = []
        with torch.no_grad():
            for batch in batches:
                for i, (pixels, targets) in enumerate(divided(batch, len(batch.targets))):
                    inputs = pixels.to(self.accelerator.device)
                    with self.accelerator.autocast():
                        output = self.detector(inputs)
                    sums = cast(Detector, self.detector).loss_sums(output, moved(targets, inputs.device))
                    losses = divide_sums(sums)
                    if not torch.isfinite(torch.stack(list(losses.values()))).all():
                        ids.append(self.image_ids[int(batch.index[i])])
        self.detector.train()
        return ids

    def _ids(self, batches: Sequence[Batch]) -> list[int | str]:
        return [self.image_ids[i] for batch in batches for i in batch.index.tolist()]


def _not_finite(result: _Unchecked) -> Quantity | None:
    """What is not finite; None if everything is."""
    if not torch.isfinite(result.loss):
        return "loss"
    return None if result.norm is None or torch.isfinite(result.norm) else "gradient"
