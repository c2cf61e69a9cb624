"""In which order models take their turns: A B B A, so that whatever drifts does not always strike the same one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.records.timing import Mode

SHARE = 0.25
"""Of the time of single real images, what the same image and every other batch size get."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """How much is timed.

    Attributes:
        processes: fresh ones, one after another.
        rounds: turns of each model in each process.
        seconds: for single images of each model, over all processes and rounds.
        batches: sizes, rising, 1 among them.
    """

    processes: int = 3
    rounds: int = 6
    seconds: float = 30.0
    batches: tuple[int, ...] = (1, 2, 4, 8)


class Turn(NamedTuple):
    """One model's turn in a round: it times all kinds of passes, one kind after another."""

    round: int
    model: int


class Kind(NamedTuple):
    """A kind of pass, and what a turn gives it.

    Attributes:
        mode: real images, or one again and again.
        batch: images of a pass.
        seconds: to go on for.
        least: passes that are timed however long they take.
    """

    mode: Mode
    batch: int
    seconds: float
    least: int


def turns(models: int, rounds: int) -> Iterator[Turn]:
    """Every round all models, in the opposite order of the round before: A B C, C B A, A B C, ..."""
    for number in range(rounds):
        order = range(models) if number % 2 == 0 else reversed(range(models))
        yield from (Turn(number, model) for model in order)


def kinds(protocol: Protocol, batches: Sequence[int] | None = None) -> list[Kind]:
    """The kinds of passes of each turn.

    Args:
        protocol: how much is timed.
        batches: sizes that fit into memory; by default all.
    """
    seconds = protocol.seconds / (protocol.processes * protocol.rounds)
    made = [Kind("real", 1, seconds, 5), Kind("fixed", 1, SHARE * seconds, 3)]
    larger = [batch for batch in (protocol.batches if batches is None else batches) if batch > 1]
    return made + [Kind("real", batch, SHARE * seconds, 2) for batch in larger]
