"""What a decision found: the fate of each model, the rivals of the one to use, and what would make it more certain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from metrics.compare.pairwise import FEW_IMAGES
from reports.records.decision import Decision, Look, PairRecord, Standing, State

Outcome = Literal["used", "tied", "eliminated", "set_aside", "over_limit", "failed", "unfinished"]
"""What became of a model; `tied`: it could not be told apart from the one to use."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a model.

    Attributes:
        name: of the model.
        outcome: in a word.
        state: of the record.
        look: the last look at validation images that it took part in; None without any.
        round: its number, from 1.
        test: its standing at the last look at test images that it took part in.
        eliminated_in: the last look that eliminated it, perhaps after shorter trainings than those of the decision.
        by: the pair that eliminated it.
        reason: why it failed or exceeds a limit.
    """

    name: str
    outcome: Outcome
    state: State
    look: Look | None
    round: int
    test: Standing | None
    eliminated_in: Look | None
    by: PairRecord | None
    reason: str

    @property
    def validation(self) -> Standing | None:
        """Its standing at the last look at validation images."""
        return None if self.look is None else self.look.standing(self.name)


_ORDER: tuple[Outcome, ...] = (
    "used",
    "tied",
    "unfinished",
    "set_aside",
    "eliminated",
    "over_limit",
    "failed",
)


def fates(decision: Decision) -> list[Fate]:
    """What became of each model: the one to use first, then those that cannot be told apart from it, set aside or eliminated."""
    found = [_fate(decision, model.name) for model in decision.models]

    def place(fate: Fate) -> tuple[int, int, float]:
        value = None if fate.validation is None else fate.validation.value
        return _ORDER.index(fate.outcome), -fate.round, -(value or 0.0)

    return sorted(found, key=place)


def _fate(decision: Decision, name: str) -> Fate:
    model = decision.model(name)
    looks = decision.looks_at("val")
    number, look = next(
        ((at + 1, each) for at, each in reversed(list(enumerate(looks))) if each.standing(name)), (0, None)
    )
    tests = [standing for each in decision.looks_at("test") if (standing := each.standing(name))]
    out = next((each for each in reversed(decision.looks) if name in each.eliminated), None)
    outcome: Outcome
    if model.state == "active":
        outcome = "used" if name == decision.used else "tied" if decision.used else "unfinished"
    else:
        outcome = model.state
    return Fate(
        name,
        outcome,
        model.state,
        look,
        number,
        tests[-1] if tests else None,
        out,
        None if out is None else out.eliminating(name),
        model.reason,
    )


@dataclass(frozen=True, slots=True)
class Surer:
    """What would make a decision more certain, of one kind.

    Attributes:
        kind: what there should be more of: ``seeds``, ``test_images``, ``validation_images``, ``longer`` trainings of the models that
            were set aside, ``whole`` schedules; or that more ``seeds_cannot``.
        rival: model that cannot be told apart.
        number: seeds of each model, images, or epochs that would be needed.
        have: the present number.
        minutes: about how long it would take on this machine; NaN where time is not what it takes.
        names: models that are concerned.
    """

    kind: Literal["seeds", "seeds_cannot", "test_images", "validation_images", "longer", "whole"]
    rival: str = ""
    number: int = 0
    have: int = 0
    minutes: float = math.nan
    names: tuple[str, ...] = ()


def surer(decision: Decision) -> list[Surer]:
    """What would make a finished decision more certain; empty if it is decided by whole trainings."""
    found: list[Surer] = []
    val, tests = decision.looks_at("val"), decision.looks_at("test")
    tied = [fate.name for fate in fates(decision) if fate.outcome == "tied"]
    last = decision.rounds[-1]
    if any(look.too_few for look in val):
        found.append(Surer("validation_images", number=FEW_IMAGES, have=val[-1].images))
    if tied:
        closest = _closest(val[-1], decision.used, tied)
        if closest is not None and not val[-1].too_few:
            rival = closest.better if closest.worse == decision.used else closest.worse
            if closest.more_seeds is None:
                found.append(Surer("seeds_cannot", rival, have=last.seeds))
            else:
                number = math.ceil(last.seeds * closest.more_seeds)
                seconds = (number - last.seeds) * sum(
                    _run_seconds(decision, name, last.epochs) for name in (decision.used, rival)
                )
                found.append(Surer("seeds", rival, number, last.seeds, seconds / 60))
        on_test = _closest(tests[-1], decision.used, tied) if tests else None
        if on_test is not None and not tests[-1].too_few and on_test.more_images is not None:
            rival = on_test.better if on_test.worse == decision.used else on_test.worse
            images = tests[-1].images
            found.append(Surer("test_images", rival, math.ceil(images * on_test.more_images), images))
    aside = tuple(fate.name for fate in fates(decision) if fate.outcome == "set_aside")
    if aside:
        seconds = decision.seeds * sum(_run_seconds(decision, name, last.epochs) for name in aside)
        found.append(Surer("longer", number=last.epochs, minutes=seconds / 60, names=aside))
    if last.epochs < decision.full_epochs:
        names = tuple(fate.name for fate in fates(decision) if fate.name in last.models)
        seconds = last.seeds * sum(_run_seconds(decision, name, decision.full_epochs) for name in names)
        found.append(
            Surer("whole", number=decision.full_epochs, have=last.epochs, minutes=seconds / 60, names=names)
        )
    return found


def _closest(look: Look, used: str, tied: Sequence[str]) -> PairRecord | None:
    """The pair of the used model with the rival that is hardest to tell apart from it."""
    pairs = [pair for name in tied if (pair := look.pair(used, name)) is not None]
    return min(pairs, key=lambda pair: pair.delta, default=None)


def _run_seconds(decision: Decision, name: str, epochs: int) -> float:
    model = decision.model(name)
    return model.run_seconds + model.epoch_seconds * epochs
