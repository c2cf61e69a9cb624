"""The ledger of a decision: its record on disk, and the time that each part of the work took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reports.records.decision import (
    BegunRound,
    Decision,
    Look,
    SpentTime,
    Step,
    Tuned,
    load_decision,
    save_decision,
)


class Ledger:
    """A decision in its folder; every change is written at once.

    Args:
        folder: of the decision.
        decision: its record; an existing one in the folder is continued instead, with these minutes.
    """

    def __init__(self, folder: Path, decision: Decision) -> None:
        self.folder = folder
        known = load_decision(folder)
        if known is None:
            self.decision = decision
        elif decision.minutes > known.minutes:
            self.decision = known.model_copy(update={"minutes": decision.minutes, "used": ""})
        else:
            self.decision = known
        save_decision(folder, self.decision)

    def update(self, **changes: Any) -> None:
        """Replace fields of the record."""
        self.decision = self.decision.model_copy(update=changes)
        save_decision(self.folder, self.decision)

    def change(self, name: str, **changes: Any) -> None:
        """Replace fields of a model."""
        models = [
            model.model_copy(update=changes) if model.name == name else model
            for model in self.decision.models
        ]
        self.update(models=tuple(models))

    def add_look(self, look: Look) -> None:
        """Add a look, and take out of the experiment what it eliminated."""
        self.update(looks=(*self.decision.looks, look))
        for name in look.eliminated:
            self.change(name, state="eliminated")

    def begin(self, begun: BegunRound) -> tuple[str, ...]:
        """Add a round. Its models take part again; unless it has the length of the last one, the others are set aside.

        Returns:
            The models that took part until now, and do not any more.
        """
        decision = self.decision
        changes: dict[str, Any] = {"rounds": (*decision.rounds, begun)}
        dropped: tuple[str, ...] = ()
        if decision.looks:
            states = dict.fromkeys(begun.models, "active")
            if not decision.keeps_length(begun):
                dropped = tuple(name for name in decision.active if name not in begun.models)
                states = dict.fromkeys(decision.trainable, "set_aside") | states
            changes["models"] = tuple(
                model.model_copy(update={"state": states.get(model.name, model.state)})
                for model in decision.models
            )
            at = max(number for number, look in enumerate(decision.looks) if look.split == "val")
            last = decision.looks[at]
            aside = last.model_copy(update={"set_aside": (*last.set_aside, *dropped)})
            changes["looks"] = (*decision.looks[:at], aside, *decision.looks[at + 1 :])
        self.update(**changes)
        return dropped

    def add_tuned(self, tuned: Tuned) -> None:
        """Add tuned post-processing, in place of an earlier one of the model."""
        others = [each for each in self.decision.tuned if each.name != tuned.name]
        self.update(tuned=(*others, tuned))

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return 60 * self.decision.minutes - self.decision.spent_seconds

    def has(self, step: Step, subject: str = "") -> bool:
        """Whether a part of the work was begun."""
        return any((each.step, each.subject) == (step, subject) for each in self.decision.spent)

    @contextmanager
    def spend(self, step: Step, subject: str = "") -> Iterator[None]:
        """Add the time of a block, also of one that is interrupted; a killed process leaves the part with the time so far."""
        self._add(step, subject, 0.0)
        began = time.monotonic()
        try:
            yield
        finally:
            self._add(step, subject, time.monotonic() - began)

    def at_least(self, step: Step, subject: str, seconds: float) -> None:
        """Raise the time of a part to what it is known to have taken, in processes that were killed, too."""
        known = sum(
            each.seconds for each in self.decision.spent if (each.step, each.subject) == (step, subject)
        )
        self._add(step, subject, max(seconds - known, 0.0))

    def _add(self, step: Step, subject: str, seconds: float) -> None:
        parts = list(self.decision.spent)
        for number, part in enumerate(parts):
            if (part.step, part.subject) == (step, subject):
                parts[number] = part.model_copy(update={"seconds": part.seconds + seconds})
                break
        else:
            parts.append(SpentTime(step=step, subject=subject, seconds=seconds))
        self.update(spent=tuple(parts))
