"""The record of a decision: its models, rounds, looks and time spent, in ``decision.json`` of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from metrics.atomic_files import atomic_write
from reports.records.json_record import FiniteOrNone, FrozenModel, Record, Settings

FILE = "decision.json"

State = Literal["active", "eliminated", "set_aside", "over_limit", "failed"]
"""Of a model: still trained; shown to be worse by the longest trainings; not trained as long as others for lack of time; slower or
larger than allowed; its training failed."""

Step = Literal["check", "timing", "priors", "training", "tuning", "test", "profile", "page"]
Share = Annotated[float, Field(ge=0, le=1)]


class PriorChoice(FrozenModel):
    """Anchor priors that were fitted to the training boxes."""

    used: bool
    """Whether they fit the validation boxes better than the default ones, and are used."""
    recall_before: FiniteOrNone
    """Fraction of validation objects that the default priors reach."""
    recall_after: FiniteOrNone
    iou_before: FiniteOrNone
    """Mean best IoU of validation objects with the default priors."""
    iou_after: FiniteOrNone
    settings: Settings = Field(default_factory=dict)
    """The fitted settings of the variant."""


class DecisionModel(FrozenModel):
    """A model that takes part."""

    name: str
    """Of the preset, or of the variant."""
    variant: str
    preset: str | None = None
    state: State = "active"
    reason: str = ""
    """Why it failed, or which limit it exceeds."""
    run_seconds: float = 0.0
    """Measured time of a run without its epochs: building, validation, evaluation."""
    epoch_seconds: float = 0.0
    """Measured time of an epoch."""
    test_seconds: float = 0.0
    """Estimated time of predicting the test split once."""
    measured: dict[str, float] = Field(default_factory=dict)
    """Limited quantities by name."""
    priors: PriorChoice | None = None


class PlannedRound(FrozenModel):
    """A round of the plan."""

    epochs: int = Field(ge=1)
    models: int = Field(ge=1)
    """Largest number of models that are trained."""


class BegunRound(FrozenModel):
    """A round that was begun; each ends with a look at the validation images."""

    planned: int | None
    """Its place in the plan, from 0; None for a round after those of the plan, of more seeds or models or of longer trainings."""
    epochs: int = Field(ge=0)
    seeds: int = Field(ge=1)
    """Of each model, with those of earlier rounds of as many epochs."""
    models: tuple[str, ...]


class PairRecord(FrozenModel):
    """The difference of two models at a look, as fractions."""

    better: str
    worse: str
    delta: float
    low: FiniteOrNone
    """Limits of the interval at the level of one pair."""
    high: FiniteOrNone
    p_value: FiniteOrNone
    images_se: FiniteOrNone
    seeds_se: FiniteOrNone
    more_seeds: FiniteOrNone = None
    """Times as many seeds that would show a difference of this size with a power of 80%; None if no number would."""
    more_images: FiniteOrNone = None
    """Times as many images, likewise."""
    more_of_both: FiniteOrNone = None
    """Times as many seeds and images, likewise."""


class Standing(FrozenModel):
    """A model at a look."""

    name: str
    value: FiniteOrNone
    """Mean over seeds."""
    low: FiniteOrNone
    """Limits of its 95% confidence interval."""
    high: FiniteOrNone
    seeds: tuple[FiniteOrNone, ...]
    """Value of each seed."""
    runs: tuple[str, ...]
    """Name of the run of each seed."""


class Look(FrozenModel):
    """One look at the differences between models."""

    number: int = Field(ge=1)
    """Counted from 1 for each split; those that are final and those that are not are counted together."""
    split: Literal["val", "test"]
    epochs: int = Field(ge=0)
    """With which the models were trained."""
    images: int = Field(ge=0)
    """Of the split."""
    final: bool
    """Whether models could be eliminated: they had the longest trainings of the plan, or longer ones. What is eliminated is worse after
    trainings of this length; a round of longer trainings can bring it back."""
    level: Share
    """Error rate of the look; of a look that compares nothing or is not final, what it would be."""
    pair_level: Share
    """Error rate of each pair."""
    spent_seconds: float = Field(ge=0)
    """Time spent until the look."""
    too_few: bool = False
    """Whether there are too few images, groups or objects to eliminate anything."""
    standings: tuple[Standing, ...]
    """Best first."""
    pairs: tuple[PairRecord, ...] = ()
    eliminated: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()

    @property
    def compares(self) -> bool:
        """Whether models were compared at the error rate of the look: it is final, and more than one model was left."""
        return self.final and len(self.standings) > 1

    def standing(self, name: str) -> Standing | None:
        """The standing of a model; None if it was not trained for this look."""
        return next((each for each in self.standings if each.name == name), None)

    def pair(self, one: str, other: str) -> PairRecord | None:
        """The pair of two models in either order; None if there is none."""
        return next((pair for pair in self.pairs if {pair.better, pair.worse} == {one, other}), None)

    def eliminating(self, name: str) -> PairRecord | None:
        """The clearest pair that eliminated a model; None if it was not eliminated."""
        if name not in self.eliminated:
            return None
        return max(
            (pair for pair in self.pairs if pair.worse == name),
            key=lambda pair: pair.low or 0.0,
            default=None,
        )


class SpentTime(FrozenModel):
    """A finished part of the work."""

    step: Step
    subject: str
    """Name of the model or run; empty for all of them."""
    seconds: float = Field(ge=0)


class Tuned(FrozenModel):
    """Post-processing that was tuned for a model."""

    name: str
    settings: dict[str, bool | int | float | str]
    """By dotted path; empty if no settings were better than the default ones."""
    before: FiniteOrNone
    """Mean over seeds on the validation images with the default settings."""
    after: FiniteOrNone
    trials: int


class Decision(Record):
    """A decision between models; it can be unfinished."""

    KIND: ClassVar = "record of a decision"
    REMEDY: ClassVar = "delete it and run `bench decide` again, which uses the finished runs"

    schema_version: Literal[1] = 1
    data: str
    """Name of the data set."""
    fingerprint: str
    measure: str = "ap"
    minutes: float = Field(gt=0)
    """Time that was given."""
    error: Share = 0.05
    """Error rate of the whole decision, half of which is for looks at validation images and half for those at test images."""
    seeds: int = Field(default=2, ge=2)
    """Seeds of each model in a round."""
    full_epochs: int = Field(ge=1)
    """Epochs of the settings, the most of all models."""
    data_errors: int = 0
    """Number of errors that the data check found."""
    data_warnings: int = 0
    models: tuple[DecisionModel, ...]
    plan: tuple[PlannedRound, ...] = ()
    rounds: tuple[BegunRound, ...] = ()
    looks: tuple[Look, ...] = ()
    tuned: tuple[Tuned, ...] = ()
    spent: tuple[SpentTime, ...] = ()
    used: str = ""
    """The model to use; empty while the decision is unfinished."""
    used_value: FiniteOrNone = None
    """Its value on the validation images with tuned post-processing, the highest one of the models that were left; None in records of
    earlier versions, which chose by the value before tuning."""

    def model(self, name: str) -> DecisionModel:
        """The model of a name."""
        return next(model for model in self.models if model.name == name)

    @property
    def active(self) -> tuple[str, ...]:
        """Names of the models that are still trained."""
        return tuple(model.name for model in self.models if model.state == "active")

    @property
    def trainable(self) -> tuple[str, ...]:
        """Names of the models that can be trained: also those that were eliminated or set aside."""
        return tuple(model.name for model in self.models if model.state not in ("over_limit", "failed"))

    def keeps_length(self, begun: BegunRound) -> bool:
        """Whether a round that follows those of the record adds seeds or models to the last one."""
        return begun.planned is None and begun.epochs == self.rounds[-1].epochs

    @property
    def spent_seconds(self) -> float:
        """Time spent so far."""
        return sum(each.seconds for each in self.spent)

    def tuned_value(self, name: str) -> float | None:
        """Value on the validation images of a model at the last look, with its post-processing if that was tuned."""
        tuned = next((each.after for each in self.tuned if each.name == name), None)
        standing = self.looks_at("val")[-1].standing(name)
        return standing.value if tuned is None and standing is not None else tuned

    def looks_at(self, split: str) -> list[Look]:
        """The looks at a split, in order."""
        return [look for look in self.looks if look.split == split]

    @property
    def names(self) -> dict[str, str]:
        """Name of the model of each run that a look has compared, by the name of the run."""
        return {run: each.name for look in self.looks for each in look.standings for run in each.runs}

    @property
    def decided(self) -> bool:
        """Whether every other model was eliminated."""
        return all(
            model.state in ("eliminated", "over_limit", "failed")
            for model in self.models
            if model.name != self.used
        )


def load_decision(folder: Path) -> Decision | None:
    """Read the record in `folder`; None if there is none.

    Raises:
        InputError: damaged, or of a newer version.
    """
    return Decision.load(folder / FILE) if (folder / FILE).is_file() else None


def save_decision(folder: Path, decision: Decision) -> None:
    """Write the record into `folder`."""
    atomic_write(folder / FILE, decision.to_json())
