"""All samples of one process: every model warmed up, then timed in turn."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from bench.timing import conditions
from bench.timing.passes import Passes
from bench.timing.schedule import Kind, Protocol, kinds, turns
from bench.timing.subject import batch_at
from bench.timing.warmup import WarmUp, warm_up
from reports.records.timing import END_TO_END, Process

Row = tuple[int, int, int, str, int, str, int, str]
"""One sample: `reports.records.timing.COLUMNS`."""

SETTLING = 2
"""Passes at the start of each kind in a turn that do not count: the model before has left its own data in the caches."""


@dataclass(slots=True)
class Sampled:
    """What one process found of one model.

    Attributes:
        process: the circumstances.
        rows: the samples.
        too_large: batch sizes that did not fit into memory beside the other models.
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
    told: Callable[[int, int], None] = lambda round, model: None,
) -> list[Sampled]:
    """Time models in turn.

    Args:
        models: all on one device.
        images: which images of the split, in order; every process begins elsewhere among them.
        ids: of all images of the split.
        protocol: how much is timed.
        number: of this process, from 0.
        batches: for each model the sizes that fit into memory.
        told: called after each turn with its round and the model's number.

    Returns:
        For each model what was found.
    """
    started, load = datetime.now(UTC), conditions.load()
    timed = [
        _Model(passes, images, ids, kinds(protocol, sizes), number, protocol.processes)
        for passes, sizes in zip(models, batches, strict=True)
    ]
    warmed = [model.warm_up() for model in timed]
    before = conditions.readings()
    for turn in turns(len(models), protocol.rounds):
        gc.collect()  # what the model before has left
        timed[turn.model].take_turn(turn.round)
        told(turn.round, turn.model)
    around = conditions.between(before, conditions.readings())
    found = []
    for model, warm in zip(timed, warmed, strict=True):
        process = Process(
            number=number,
            started=started,
            load_before=load,
            load_after=conditions.load(),
            other_cores=around.other_cores,
            suspended_seconds=around.suspended_seconds,
            clock_jump_seconds=around.clock_jump_seconds,
            device_state=conditions.state_of(model.passes.timed.device),
            first_call_ms=warm.first_ns / 1e6,
            warm_up=warm.iterations,
            warm_up_stable=warm.stable,
        )
        found.append(Sampled(process, model.rows, sorted(model.too_large)))
    return found


class _Model:
    """One model, where it is among the images, and its samples so far."""

    def __init__(
        self,
        passes: Passes,
        images: Sequence[int],
        ids: Sequence[str],
        plan: Sequence[Kind],
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
        """Every batch size; what single images took is returned."""
        single = warm_up(lambda: self._ns(1))
        for kind in self.plan:
            if kind.batch > 1:
                self._within_memory(kind, lambda kind: warm_up(lambda: self._ns(kind.batch)))
        return single

    def take_turn(self, round: int) -> None:
        """Time all kinds of passes, one kind after another."""
        for kind in self.plan:
            if kind.batch not in self.too_large:
                self._within_memory(kind, lambda kind: self._time(kind, round))

    def _within_memory(self, kind: Kind, work: Callable[[Kind], object]) -> None:
        """Do `work`; a batch that does not fit into memory is noted, and its samples are dropped with it."""
        try:
            work(kind)
            return
        except (RuntimeError, MemoryError) as error:
            if not conditions.is_out_of_memory(error):
                raise
            self.too_large.add(kind.batch)
        # Out of the except block, where the frames of the failed attempt still held its tensors.
        self.rows = [row for row in self.rows if row[4] != kind.batch]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _ns(self, batch: int) -> int:
        return self.passes(batch_at(self.images, 0, batch)).ns[END_TO_END]

    def _time(self, kind: Kind, round: int) -> None:
        for _ in range(SETTLING):
            self._ns(kind.batch)
        read = self.passes.clock.read
        end, iteration = read() + kind.seconds * 1e9, 0
        while iteration < kind.least or read() < end:
            chosen = batch_at(self.images, 0 if kind.mode == "fixed" else self.position, kind.batch)
            if kind.mode == "real":
                self.position += kind.batch
            place = (self.process, round, iteration, kind.mode, kind.batch)
            # A clock that ticks too coarsely to see a stage still counts it.
            times = {stage: max(ns, 1) for stage, ns in self.passes(chosen).ns.items()}
            self.rows += [(*place, stage, ns, self.ids[chosen[0]]) for stage, ns in times.items()]
            iteration += 1
