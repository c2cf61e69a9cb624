"""The models of a decision: their settings, their costs, and those that fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.decide.finals import Finals
from bench.decide.ledger import Ledger
from bench.decide.rounds import Cost
from bench.decide.task import DecisionTask
from bench.process.progress import Progress
from bench.settings import toml
from bench.settings.config import RunConfig
from bench.tune.search_space import with_values

MOST_EPOCHS = 4
"""Largest multiple of the default number of epochs that is trained if there is time; a given number is not exceeded."""


class Models:
    """The models of a decision.

    Args:
        task: what is to be decided.
        ledger: of the decision.
        progress: shows models that fail.
    """

    def __init__(self, task: DecisionTask, ledger: Ledger, progress: Progress) -> None:
        self.ledger = ledger
        self.progress = progress
        self.entrants = {entrant.name: entrant for entrant in task.entrants}

    def config(self, name: str, epochs: int) -> RunConfig:
        """Settings of a model's runs, with its fitted priors."""
        entrant, priors = self.entrants[name], self.ledger.decision.model(name).priors
        values: dict[str, Any] = {"train.epochs": epochs, "evaluate.split": "val"}
        if priors is not None and priors.used:
            values |= dict(toml.leaves(priors.settings))
        config = entrant.config
        if config.train.freeze_epochs:
            share = config.train.freeze_epochs / max(config.train.epochs, 1)
            values["train.freeze_epochs"] = round(share * epochs)
        return with_values(config, values)

    def fail(self, name: str, error: Exception) -> None:
        """Leave a model out whose training failed."""
        text = str(error).splitlines()[0]
        self.ledger.change(name, state="failed", reason=text)
        self.progress.message(f"{name}: failed, and is left out: {text}")

    @property
    def most_epochs(self) -> int:
        """Epochs of the longest schedule."""
        given = any(entrant.config.is_given("train.epochs") for entrant in self.entrants.values())
        return self.ledger.decision.full_epochs * (1 if given else MOST_EPOCHS)

    @property
    def costs(self) -> dict[str, Cost]:
        """Of each model that can be trained."""
        decision = self.ledger.decision
        return {
            name: Cost(decision.model(name).run_seconds, decision.model(name).epoch_seconds)
            for name in decision.trainable
        }

    def reserved(self, names: Sequence[str]) -> float:
        """Time for tuning, test, profile and page, of the two most expensive of some models."""
        decision = self.ledger.decision
        return Finals.seconds([decision.model(name) for name in names], decision.minutes)
