"""Samples of one process: all models are warmed up, then timed in turn."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from bench.timing import conditions
from bench.timing.passes import Passes
from bench.timing.schedule import PassKind, Protocol, pass_kinds, turns
from bench.timing.timed_run import batch_at
from bench.timing.warmup import WarmUp, warm_up
from metrics.errors import is_out_of_memory
from reports.records.timing import END_TO_END, Process

Row = tuple[int, int, int, str, int, str, int, str]
"""One sample: `reports.records.timing.COLUMNS`."""

DISCARDED = 2
"""Passes at the start of each kind in a turn that are not recorded: the caches still hold data of the previous model."""


@dataclass(slots=True)
class ModelSamples:
    """Samples of one model from one process.

    Attributes:
        process: conditions in the process.
        rows: samples.
        too_large: batch sizes that did not fit into memory next to the other models.
    """

    process: Process
    rows: list[Row]
    too_large: list[int]


def sample(
    models: Sequence[Passes],
    images: Sequence[int],
    ids: Sequence[str],
    protocol: Protocol,
    number: int,
    batches: Sequence[Sequence[int]],
    on_turn: Callable[[int, int], None] = lambda round, model: None,
) -> list[ModelSamples]:
    """Time models in turn.

    Args:
        models: models on the same device.
        images: indices of the images, in order; every process starts at another one.
        ids: ids of all images of the split.
        protocol: amount of timing.
        number: number of this process, from 0.
        batches: for each model the batch sizes that fit into memory.
        on_turn: called after each turn with its round and the model's index.

    Returns:
        Samples of each model.
    """
    started, load = datetime.now(UTC), conditions.load()
    timed = [
        _TimedModel(passes, images, ids, pass_kinds(protocol, sizes), number, protocol.processes)
        for passes, sizes in zip(models, batches, strict=True)
    ]
    warmed = [model.warm_up() for model in timed]
    before = conditions.read_clocks()
    for turn in turns(len(models), protocol.rounds):
        gc.collect()  # garbage of the previous model
        timed[turn.model].take_turn(turn.round)
        on_turn(turn.round, turn.model)
    disturbed = conditions.disturbances(before, conditions.read_clocks())
    samples = []
    for model, warm in zip(timed, warmed, strict=True):
        process = Process(
            number=number,
            started=started,
            load_before=load,
            load_after=conditions.load(),
            other_cores=disturbed.other_cores,
            suspended_seconds=disturbed.suspended_seconds,
            clock_jump_seconds=disturbed.clock_jump_seconds,
            device_state=conditions.state_of(model.passes.timed.device),
            first_call_ms=warm.first_ns / 1e6,
            warm_up=warm.iterations,
            warm_up_stable=warm.stable,
        )
        samples.append(ModelSamples(process, model.rows, sorted(model.too_large)))
    return samples


class _TimedModel:
    """One model, its position among the images, and its samples."""

    def __init__(
        self,
        passes: Passes,
        images: Sequence[int],
        ids: Sequence[str],
        plan: Sequence[PassKind],
        process: int,
        processes: int,
    ) -> None:
        self.passes = passes
        self.images = images
        self.ids = ids
        self.plan = plan
        self.process = process
        self.position = process * len(images) // processes
        self.rows: list[Row] = []
        self.too_large: set[int] = set()

    def warm_up(self) -> WarmUp:
        """Warm up all batch sizes; the result is that of single images."""
        single = warm_up(lambda: self._ns(1))
        for kind in self.plan:
            if kind.batch > 1:
                self._within_memory(kind, lambda kind: warm_up(lambda: self._ns(kind.batch)))
        return single

    def take_turn(self, round: int) -> None:
        """Time all kinds of passes, one after another."""
        for kind in self.plan:
            if kind.batch not in self.too_large:
                self._within_memory(kind, lambda kind: self._time(kind, round))

    def _within_memory(self, kind: PassKind, work: Callable[[PassKind], object]) -> None:
        """Do `work`; a batch size that does not fit into memory is recorded, and its samples are dropped."""
        try:
            work(kind)
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self.too_large.add(kind.batch)
        # Outside the except block, whose traceback keeps the tensors of the failed attempt alive.
        self.rows = [row for row in self.rows if row[4] != kind.batch]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _ns(self, batch: int) -> int:
        return self.passes(batch_at(self.images, 0, batch)).ns[END_TO_END]

    def _time(self, kind: PassKind, round: int) -> None:
        for _ in range(DISCARDED):
            self._ns(kind.batch)
        read = self.passes.clock.read
        end, iteration = read() + kind.seconds * 1e9, 0
        while iteration < kind.min_passes or read() < end:
            chosen = batch_at(self.images, 0 if kind.mode == "fixed" else self.position, kind.batch)
            if kind.mode == "real":
                self.position += kind.batch
            key = (self.process, round, iteration, kind.mode, kind.batch)
            # At least 1 ns, also if the clock is too coarse to measure a stage.
            times = {stage: max(ns, 1) for stage, ns in self.passes(chosen).ns.items()}
            self.rows += [(*key, stage, ns, self.ids[chosen[0]]) for stage, ns in times.items()]
            iteration += 1
