"""Gradient of the loss of a step that is divided: into parts if memory is short, accumulated batches, processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bench.pipeline.loader import Batch
from bench.process.log import Log
from detectors.types import Detector, LossSum, Targets, divide_sums, image_losses
from metrics.errors import MachineError, is_out_of_memory
from metrics.plurals import plural

MAX_HALVINGS = 3
"""Largest number of times that a batch is halved if it does not fit into memory."""

T = TypeVar("T")
Part = tuple[Tensor, list[Targets]]


class StepGradient:
    """Backpropagates the loss of a step.

    The loss is that of all images of the step: the sums of every part of a batch, accumulated batch and process are divided
    by the normalizers of the whole step, so that the gradient does not depend on how the step is divided (up to rounding,
    and to BatchNorm, whose statistics are those of a part).

    Processes communicate only between attempts, all in the same order, so that all divide their batches if one of them lacks
    memory. The gradients are therefore added up here and not during the backward pass, as DistributedDataParallel does.

    Args:
        detector: the network, with equal weights in all processes.
        accelerator: of the run.
        log: log of events.
        parts: number of parts into which a batch is divided.

    """

    def __init__(self, detector: nn.Module, accelerator: Accelerator, log: Log, parts: int = 1) -> None:
        self.detector = detector
        self.accelerator = accelerator
        self.log = log
        self.parts = parts
        self._of_parts: list[list[Callable[[], Tensor]]] = []
        self._detector = cast(Detector, detector)
        self._halvings = 0

    def __call__(self, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """Add the gradient to that of the parameters, and return the terms of the loss; the same in all processes.

        Raises:
            MachineError: not even an eighth of a batch fits into memory.
        """
        terms = self._gradients(batches)
        while terms is None:
            self._halve(batches)
            terms = self._gradients(batches)
        return terms

    @property
    def image_losses(self) -> Tensor | None:
        """(N,) losses of the images of the last step in this process, each alone, without gradient; None where they are not known."""
        known = [image_losses(terms) for terms in self._of_parts]
        found = [losses for losses in known if losses is not None]
        return torch.cat(found) if found and len(found) == len(known) else None

    def _gradients(self, batches: Sequence[Batch]) -> dict[str, Tensor] | None:
        """Backpropagate the loss of the step and return its terms; None if memory was not sufficient."""
        parts = [part for batch in batches for part in divided(batch, self.parts)]
        self._of_parts = []
        sums: list[dict[str, LossSum]] = []
        # Not the number of parts, which can differ between processes.
        if len(batches) * self.parts == 1:
            own = self._attempt(lambda: self._normalizers_of_pass(parts[0], sums))
        else:
            own = self._attempt(lambda: self._normalizers(parts))
        if own is None:
            return None
        normalizers = self._over_processes(own)
        terms = self._attempt(lambda: self._backward(parts, sums, normalizers))
        if terms is None:
            return None
        self._share()
        return self._over_processes(terms)

    def _attempt(self, work: Callable[[], T]) -> T | None:
        """Result of `work`; None if it ran out of memory, here or in another process."""
        result = None
        try:
            result = work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        processes = self.accelerator.num_processes
        if processes > 1:
            succeeded = torch.tensor(float(result is not None), device=self.accelerator.device)
            if self.accelerator.reduce(succeeded, "sum") < processes:
                result = None
        if result is None:
            self.detector.zero_grad()
        return result

    def _normalizers_of_pass(self, part: Part, sums: list[dict[str, LossSum]]) -> dict[str, Tensor]:
        """Normalizers of the only part; its sums, with gradients, are appended to `sums`."""
        sums.append(self._forward(part))
        return {name: each.normalizer for name, each in sums[0].items()}

    def _normalizers(self, parts: Sequence[Part]) -> dict[str, Tensor]:
        """Sum of the normalizers of the parts in this process."""
        device = self.accelerator.device
        total: dict[str, Tensor] = {}
        with torch.no_grad(), unchanged_state(self.detector, device), self.accelerator.autocast():
            for pixels, targets in parts:
                inputs = pixels.to(device, non_blocking=True)
                for name, own in self._detector.normalizers(inputs, moved(targets, device)).items():
                    total[name] = total[name] + own if name in total else own
        return total

    def _forward(self, part: Part) -> dict[str, LossSum]:
        device = self.accelerator.device
        with self.accelerator.autocast():
            output = self.detector(part[0].to(device, non_blocking=True))
        sums = self._detector.loss_sums(output, moved(part[1], device))
        self._of_parts.append([term.each for term in sums.values() if term.each is not None])
        return sums

    def _backward(
        self, parts: Sequence[Part], sums: list[dict[str, LossSum]], normalizers: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Backpropagate the shares of the parts in the loss of the step, and return the terms of this process.

        `sums` are those of the first parts, which are removed; others are computed here, one after the other.
        """
        terms: dict[str, Tensor] = {}
        for part in parts:
            shares = divide_sums(sums.pop(0) if sums else self._forward(part), normalizers)
            self.accelerator.backward(torch.stack(list(shares.values())).sum())
            for name, share in shares.items():
                term = share.detach()
                terms[name] = terms[name] + term if name in terms else term
        return terms

    def _share(self) -> None:
        """Add up the gradients of the processes, and average the statistics of BatchNorm."""
        processes = self.accelerator.num_processes
        if processes == 1:
            return
        parameters = [parameter for parameter in self.detector.parameters() if parameter.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:  # not used by the images of this process
                parameter.grad = torch.zeros_like(parameter)
        statistics = [
            statistic
            for layer in self.detector.modules()
            if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training
            for statistic in (layer.running_mean, layer.running_var)
            if statistic is not None
        ]
        tensors = [cast(Tensor, parameter.grad) for parameter in parameters]
        flat = torch.cat(
            [
                *(tensor.flatten() for tensor in tensors),
                *(statistic / processes for statistic in statistics),
            ]
        )
        added = self.accelerator.reduce(flat, "sum")
        tensors += statistics
        for tensor, values in zip(tensors, added.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(values.view_as(tensor))

    def _over_processes(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sum of each value over the processes."""
        if self.accelerator.num_processes == 1:
            return dict(values)
        total = self.accelerator.reduce(torch.stack([value.float() for value in values.values()]), "sum")
        return dict(zip(values, total.unbind(), strict=True))

    def _halve(self, batches: Sequence[Batch]) -> None:
        # Outside the except block, where the frames of the failed attempt still hold its tensors.
        largest = max(len(batch.targets) for batch in batches)
        if self._halvings == MAX_HALVINGS or self.parts >= largest:
            raise MachineError(self._out_of_memory(batches))
        if self.accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        self._halvings += 1
        self.parts *= 2
        self.log.write("out_of_memory", parts=self.parts)

    def _out_of_memory(self, batches: Sequence[Batch]) -> str:
        largest = max(len(batch.targets) for batch in batches)
        return (
            f"out of memory on {self.accelerator.device}, even with {plural(self.parts, 'part')} of a batch of {largest}; "
            "lower train.batch or image.size"
        )


@contextmanager
def unchanged_state(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Context after which buffers, such as statistics of BatchNorm, and random generators are as before."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for buffer, value in before:
            buffer.copy_(value)


def divided(batch: Batch, parts: int) -> Iterator[Part]:
    """Images and targets of at most `parts` parts of nearly equal size."""
    size = -(-len(batch.targets) // parts)
    for start in range(0, len(batch.targets), size):
        yield batch.images[start : start + size], batch.targets[start : start + size]


def moved(targets: list[Targets], device: torch.device) -> list[Targets]:
    """The targets on `device`, copied in two transfers, or three with label maps; and one for each image with ignored
    regions.
    """
    if device.type == "cpu":
        return targets
    maps: Sequence[Tensor | None] = [target.label_map for target in targets]
    present = [each for each in maps if each is not None]
    if len(present) == len(maps):
        maps = torch.stack(present).to(device, non_blocking=True).unbind()
    counts = [len(target.labels) for target in targets]
    boxes = torch.cat([target.boxes for target in targets]).to(device, non_blocking=True)
    labels = torch.cat([target.labels for target in targets]).to(device, non_blocking=True)
    ignored = [
        None if target.ignored is None else target.ignored.to(device, non_blocking=True) for target in targets
    ]
    columns = zip(torch.split(boxes, counts), torch.split(labels, counts), maps, ignored, strict=True)
    return [Targets(*each) for each in columns]
