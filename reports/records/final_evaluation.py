"""The final evaluation of a study: the best settings retrained with fresh seeds, and tested once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Self

from pydantic import AwareDatetime, Field, model_validator

from reports.records.json_record import FiniteOrNone, FrozenModel
from reports.records.trial import Scalar, StudyObjective


class Finalist(FrozenModel):
    """Settings that reached the final evaluation."""

    trial: int | None = None
    """The trial that has these settings; None for the default settings."""
    values: dict[str, Scalar] = Field(default_factory=dict)
    """The tuned settings by dotted path; empty for the default settings."""
    tuned: FiniteOrNone = None
    """The (first) objective in the study, on the validation split."""
    retrained: tuple[FiniteOrNone, ...] = ()
    """On the validation split, one value per fresh seed."""
    test: tuple[FiniteOrNone, ...] = ()
    """On the test split, one value per set of weights; empty unless these are the chosen or the default settings."""
    test_interval: tuple[float, float] | None = None
    """95% confidence interval of the mean of `test`, over test images (and over seeds, where there are several)."""
    measured: dict[str, float] = Field(default_factory=dict)
    """Measured value of each limited quantity, by the limit's name."""
    exceeded: tuple[str, ...] = ()
    """Names of the limits that these settings exceed; such settings are not chosen."""

    @property
    def name(self) -> str:
        """``default``, or ``trial 17``."""
        return finalist_name(self.trial)

    @property
    def mean_retrained(self) -> float:
        """Mean over the fresh seeds; NaN where there are none."""
        return _mean(self.retrained)

    @property
    def mean_test(self) -> float:
        """Mean on the test split; NaN where it was not tested."""
        return _mean(self.test)

    @property
    def validation(self) -> float:
        """The value that the choice rests on: the mean over fresh seeds, or the study's value where there are none."""
        if self.retrained:
            return self.mean_retrained
        return math.nan if self.tuned is None else self.tuned

    @property
    def study_minus_fresh(self) -> float:
        """The study's value minus the mean over fresh seeds, on the same validation images. NaN where unknown.

        It shows only how favourable the seed of the trial was: fresh seeds repeat the training, not the images.
        """
        return math.nan if self.tuned is None else self.tuned - self.mean_retrained

    @property
    def validation_minus_test(self) -> float:
        """`validation` minus the mean on the test split; NaN where it was not tested.

        It contains the optimism of selecting by validation images, and the different difficulty of both splits, which
        the default settings also have.
        """
        return self.validation - self.mean_test


class Gain(FrozenModel):
    """Difference on the test split between the chosen and the default settings, paired by image."""

    delta: float
    """Chosen minus default, of the means over seeds."""
    interval: tuple[float, float] | None = None
    """95% confidence interval of `delta`, over images (and over seeds, where there are several)."""
    p_better: float | None = None
    """Fraction of bootstrap replicates in which the chosen settings are better."""
    images: int | None = None
    """Test images; None where nothing was resampled."""
    seeds: int = 1
    """Of each of the two settings."""
    doubt: str = ""
    """Why the difference may be due to chance, for people; empty where it is decisive."""


class Look(FrozenModel):
    """A final evaluation that looked at the test split."""

    trials: int = Field(ge=0)
    """Number of finished trials of all stages before it."""
    chosen: int | None = None
    """The trial whose settings were tested beside the default ones; None where only those were tested."""
    fresh_seeds: int = Field(ge=0)
    """Seeds per setting."""
    when: AwareDatetime


class PriorFit(FrozenModel):
    """How well the anchor priors of some settings fit the boxes of a split."""

    trial: int | None = None
    """The trial that has these settings; None for the default settings."""
    split: str
    group: str
    """``all``, or a size of objects by their area in the network's input."""
    objects: int
    recall: FiniteOrNone = None
    """Fraction of the objects whose best prior reaches the assigner's IoU threshold."""
    mean_iou: FiniteOrNone = None
    """Mean best IoU."""


class FinalEvaluation(FrozenModel):
    """What the best settings achieve when they are trained again."""

    objective: StudyObjective
    """What finalists are measured by; not the study's objective where that was the fit of anchor priors."""
    finalists: tuple[Finalist, ...] = Field(min_length=1)
    """The default settings first."""
    chosen: int | None = None
    """`Finalist.trial` of the finalist that did best on the validation split."""
    gain: Gain | None = None
    """None where the default settings are the chosen ones, or nothing was tested."""
    note: str = ""
    """Why there are no intervals, for people; empty where there are."""
    prior_fit: tuple[PriorFit, ...] = ()
    """Of the default and of the best-fitting settings, where anchor priors were tuned."""

    @model_validator(mode="after")
    def _chose_a_finalist(self) -> Self:
        trials = [finalist.trial for finalist in self.finalists]
        if self.chosen not in trials or len(set(trials)) < len(trials):
            names = [finalist.name for finalist in self.finalists]
            raise ValueError(f"chosen: {finalist_name(self.chosen)!r} is not one of {names}, each once")
        return self

    @property
    def winner(self) -> Finalist:
        """The chosen finalist."""
        return next(each for each in self.finalists if each.trial == self.chosen)

    @property
    def default(self) -> Finalist | None:
        """The finalist with the default settings."""
        return next((each for each in self.finalists if each.trial is None), None)


def finalist_name(trial: int | None) -> str:
    """``default``, or ``trial 17``."""
    return "default" if trial is None else f"trial {trial}"


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else math.nan
