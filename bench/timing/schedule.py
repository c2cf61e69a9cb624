"""Order in which models are timed: A B B A, so that drift affects all models equally."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.records.timing import Mode

SHARE = 0.25
"""Time for the fixed image and for each larger batch size, as a share of the time for single real images."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """Amount of timing.

    Attributes:
        processes: fresh processes, one after another.
        rounds: turns of each model in each process.
        seconds: time for single images of each model, over all processes and rounds.
        batches: batch sizes in ascending order, including 1.
    """

    processes: int = 5
    rounds: int = 6
    seconds: float = 30.0
    batches: tuple[int, ...] = (1, 2, 4, 8)


class Turn(NamedTuple):
    """A model's turn in a round, in which it makes all kinds of passes."""

    round: int
    model: int


class PassKind(NamedTuple):
    """A kind of pass and its share of a turn.

    Attributes:
        mode: real images, or the same image repeatedly.
        batch: images per pass.
        seconds: time per turn.
        min_passes: passes per turn even if they take longer.
    """

    mode: Mode
    batch: int
    seconds: float
    min_passes: int


def turns(models: int, rounds: int) -> Iterator[Turn]:
    """All models in every round, in the reverse order of the round before: A B C, C B A, A B C, ..."""
    for number in range(rounds):
        order = range(models) if number % 2 == 0 else reversed(range(models))
        yield from (Turn(number, model) for model in order)


def pass_kinds(protocol: Protocol, batches: Sequence[int] | None = None) -> list[PassKind]:
    """Kinds of passes in each turn.

    Args:
        protocol: amount of timing.
        batches: batch sizes that fit into memory; all by default.
    """
    seconds = protocol.seconds / (protocol.processes * protocol.rounds)
    single = [PassKind("real", 1, seconds, 5), PassKind("fixed", 1, SHARE * seconds, 3)]
    larger = [batch for batch in (protocol.batches if batches is None else batches) if batch > 1]
    return single + [PassKind("real", batch, SHARE * seconds, 2) for batch in larger]
