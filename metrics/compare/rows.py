"""Rows of a comparison: a model's standing, a difference of two models, a model on one class, and the method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ALL = "all"
"""Scope of a row over all classes; otherwise the scope is the name of a class."""

PERMUTATION_TEST = "label swap"
"""Value of `PairDifference.test` for permutation tests."""

Subject = Literal["single runs", "training recipes"]
"""What is compared: single runs (one trained model, or detections from a file), or training procedures with several seeds
each."""

Limit = Literal["images", "seeds"]
"""What limits the precision of a difference."""

Reason = Literal[
    "decisive",
    "permutation_test",
    "too_few",
    "no_interval",
    "interval_contains_0",
    "simultaneous_interval_contains_0",
    "p_value",
]
"""Why a difference is decisive or not; see `PairDifference.reason`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One model by one measure over all classes. Values are fractions; NaN where undefined or unknown.

    Attributes:
        model: name of the model.
        measure: short name: ``ap50``.
        value: mean over seeds.
        ci_low, ci_high: confidence interval over images and, with several seeds, over seeds.
        se: standard error over images and, with several seeds, over seeds.
        bias: mean of the bootstrap replicates minus the value.
        ci_method: ``t`` (Student's t with the bootstrap's standard error) or ``none``.
        seeds: the value of each seed.
        seed_low, seed_high: t interval of the mean over seeds on these images; NaN for one seed.
        rank: from 1; models with equal values share the lower number.
        rank_low, rank_high: best and worst rank within the confidence interval of the rank.
        letters: compact letter display; two models share a letter exactly where neither beats the other.
        tied_with_best: whether the best model by this measure does not beat this one; true for the best itself.
        higher_is_better: direction of the measure.
        too_few: whether there are too few images, groups or objects for a reliable interval.
        dof: degrees of freedom of the standard error.
        rare_share: share of the mean over classes that classes with fewer than 20 objects carry.
    """

    model: str
    measure: str
    value: float
    ci_low: float
    ci_high: float
    se: float
    bias: float
    ci_method: str
    seeds: tuple[float, ...]
    seed_low: float
    seed_high: float
    rank: int
    rank_low: int
    rank_high: int
    letters: str
    tied_with_best: bool
    higher_is_better: bool
    too_few: bool
    dof: float = math.nan
    rare_share: float = 0.0


@dataclass(frozen=True, slots=True)
class PairDifference:
    """Difference of two models by one measure. Values are fractions; NaN where undefined or unknown.

    Attributes:
        model_a, model_b: names of the models; a precedes b on the leaderboard.
        metric: short name of the measure: ``ap50``.
        scope: ``all``, or the class.
        delta: value of a minus value of b.
        ci_low, ci_high: confidence interval of this difference.
        sim_low, sim_high: simultaneous confidence interval over all pairs.
        p_raw: two-sided p-value: of Student's t with the bootstrap's standard error, or of the permutation test.
        p_adj: p-value adjusted for the number of pairs (or of classes).
        adjust: adjustment: ``holm``, ``bh`` (over classes) or ``none``.
        p_a_gt_b: probability that a is better, by the t distribution of the interval; 1/2 for equal values.
        mdd: minimum detectable difference at 80% power: (t_.975 + t_.8) standard errors at 95% confidence.
        test: ``bootstrap``, or ``label swap`` for a permutation test that swaps the two runs' detections by image.
        B: number of replicates or permutations.
        ci_method: see `Standing`.
        se: standard error of the difference.
        decisive: whether the interval, the simultaneous interval and the adjusted p-value all exclude 0, on enough data.
        too_few: whether there are too few images, groups or objects for a decision.
        dof: degrees of freedom of the standard error.
        limited_by: whether images or seeds cause most of the variance, so that more of them would help most.
        rare_share: see `Standing`; 0 for a single class.
    """

    model_a: str
    model_b: str
    metric: str
    scope: str
    delta: float
    ci_low: float = math.nan
    ci_high: float = math.nan
    sim_low: float = math.nan
    sim_high: float = math.nan
    p_raw: float = math.nan
    p_adj: float = math.nan
    adjust: str = "none"
    p_a_gt_b: float = math.nan
    mdd: float = math.nan
    test: str = "bootstrap"
    B: int = 0
    ci_method: str = "none"
    se: float = math.nan
    decisive: bool = False
    too_few: bool = False
    dof: float = math.nan
    limited_by: Limit = "images"
    rare_share: float = 0.0

    @property
    def reason(self) -> Reason:
        """Why the difference is decisive, or the first condition that it fails."""
        if self.decisive:
            return "decisive"
        if self.test == PERMUTATION_TEST:
            return "permutation_test"
        if self.too_few:
            return "too_few"
        if math.isnan(self.ci_low):
            return "no_interval"
        if self.ci_low <= 0 <= self.ci_high:
            return "interval_contains_0"
        if self.sim_low <= 0 <= self.sim_high:
            return "simultaneous_interval_contains_0"
        return "p_value"

    @property
    def doubt(self) -> str:
        """`reason` in words; empty where the difference is decisive."""
        adjusted = "adjusted " if self.p_adj > self.p_raw else ""
        return {
            "decisive": "",
            "permutation_test": "a permutation test alone is not decisive",
            "too_few": "too few images, groups or objects",
            "no_interval": "no confidence interval",
            "interval_contains_0": "its confidence interval contains 0",
            "simultaneous_interval_contains_0": "its simultaneous confidence interval over all pairs contains 0",
            "p_value": f"{adjusted}p = {self.p_adj:.3f}".replace("= 0.", "= ."),
        }[self.reason]


@dataclass(frozen=True, slots=True)
class ClassValue:
    """One model by a measure (of detections, the deciding one) on one class.

    Attributes:
        model: name of the model.
        measure: short name.
        class_name: the class.
        objects: number of valid ground-truth objects; of label maps, number of images with the class.
        value: mean over seeds; NaN without objects.
        ci_low, ci_high: confidence interval as of `Standing`; NaN where objects occur in a single image or group.
        se: standard error as of `Standing`.
        seeds: the value of each seed.
        too_few: whether the class has fewer than 20 objects, or there are too few images.
    """

    model: str
    measure: str
    class_name: str
    objects: int
    value: float
    ci_low: float
    ci_high: float
    se: float
    seeds: tuple[float, ...]
    too_few: bool


@dataclass(frozen=True, slots=True)
class Method:
    """How a comparison was computed.

    Attributes:
        resamples: number of bootstrap replicates.
        seed: of the random number generator.
        confidence: level of the intervals.
        images: number of images.
        units: number of resampling units: images, or groups of images.
        unit: ``image`` or ``group``.
        permutations: of each permutation test; 0 for none.
    """

    resamples: int
    seed: int
    confidence: float
    images: int
    units: int
    unit: Literal["image", "group"]
    permutations: int
