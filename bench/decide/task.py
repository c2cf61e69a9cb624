"""The task of a decision: models, data, time and the deciding measure, and checks of these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.data.types import Dataset
from bench.runs.folders import digest, slug
from bench.runs.naming import run_name
from bench.settings.config import RunConfig
from metrics.errors import InputError
from metrics.match_rule import MatchRule
from metrics.resampling.statistics import named_statistic
from reports.records.trial import Limit


@dataclass(frozen=True, slots=True)
class Entrant:
    """A model that takes part.

    Attributes:
        name: of its preset, or of its variant.
        preset: None for the variant's defaults.
        config: its settings.
    """

    name: str
    preset: str | None
    config: RunConfig


@dataclass(frozen=True, slots=True)
class DecisionTask:
    """What is to be decided.

    Attributes:
        entrants: at least two.
        dataset: the data.
        minutes: for everything.
        out: parent folder of the run folders and of the decision's folder.
        measure: short name of the deciding measure.
        limits: what a model must not exceed.
        priors: whether anchor priors are fitted to the data.
    """

    entrants: tuple[Entrant, ...]
    dataset: Dataset
    minutes: float
    out: Path
    measure: str = "ap"
    limits: tuple[Limit, ...] = ()
    priors: bool = True

    @property
    def folder(self) -> Path:
        """Folder of the decision: the same for the same models, data and settings, whatever the time."""
        cause = {
            "runs": [run_name(entrant.config, self.dataset) for entrant in self.entrants],
            "measure": self.measure,
            "limits": [str(limit) for limit in self.limits],
            "priors": self.priors,
        }
        return self.out / f"decision-{slug(self.dataset.name)}-{digest(cause)}"


def check_measure(name: str) -> None:
    """Check the name of a deciding measure.

    Raises:
        InputError: there is none of that name that can be resampled, or lower values are better.
    """
    try:
        statistic = named_statistic(name, MatchRule())
    except InputError as error:
        raise InputError(f"--measure {name}: {error}") from None
    if statistic.better != "higher":
        raise InputError(
            f"--measure {name}: expected a measure for which higher values are better, such as ap or ap50"
        )


def check_task(task: DecisionTask) -> None:
    """Check that there is something to decide, with settings that a decision supports.

    Raises:
        InputError: fewer than two models, or another setting.
    """
    if len(task.entrants) < 2:
        names = ", ".join(entrant.name for entrant in task.entrants)
        raise InputError(
            f"--variant, --preset: one model ({names}) leaves nothing to decide; name two or more, or leave both out for all variants"
        )
    for entrant in task.entrants:
        if entrant.config.evaluate.flip or entrant.config.evaluate.tile is not None:
            raise InputError(
                "evaluate.flip, evaluate.tile: not supported by `bench decide`; set them for `bench run` afterwards"
            )
