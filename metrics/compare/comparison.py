"""What a comparison says: rows of numbers with their intervals, a verdict in words, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.registry import did_you_mean

if TYPE_CHECKING:
    import pandas

ALL = "all"
"""Scope of a row: all classes together; else the class's name."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One model by one measure, all classes together. Numbers are fractions; NaN: not defined, or not known.

    Attributes:
        model: its name.
        measure: short name: ``ap50``.
        value: mean over seeds.
        ci_low, ci_high: interval of the value, over images and, where there are several, seeds.
        se: standard error over resamples.
        bias: mean over resamples less the value.
        ci_method: ``percentile``; ``bca`` where the bias asked for it; ``none``.
        seeds: the value of each seed.
        seed_low, seed_high: Student's interval of the seeds' mean, for these images alone; NaN for one seed.
        rank: from 1; models of the same value share the lower number.
        rank_low, rank_high: best and worst rank that resamples give it.
        letters: two models share a letter exactly where neither beats the other.
        tied_with_best: whether the best model by this measure does not beat it; true of the best.
        higher_is_better: of the measure.
        too_few: whether there are too few images, groups or objects for the interval to be more than a hint.
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


@dataclass(frozen=True, slots=True)
class PairDifference:
    """Two models by one measure. Numbers are fractions; NaN: not defined, or not known.

    Attributes:
        model_a, model_b: their names; a stands before b on the leaderboard.
        metric: short name of the measure: ``ap50``.
        scope: ``all``, or the class.
        delta: value of a less value of b.
        ci_low, ci_high: interval of the difference alone.
        sim_low, sim_high: intervals that hold for all pairs at once.
        p_raw: chance of resamples straying as far from the difference as it is from none.
        p_adj: the same, corrected for the number of pairs (or of classes).
        adjust: how: ``holm``; ``bh`` over classes; ``none``.
        p_a_gt_b: share of resamples in which a is the better one; of equal ones half.
        mdd: the least difference that this test set would find 4 times out of 5: 2.8 standard errors.
        test: ``bootstrap``, or ``label swap``: which of both runs an image's detections come from is drawn by a coin.
        B: resamples, or swaps.
        ci_method: see `Standing`.
        se: standard error of the difference.
        decisive: whether interval, simultaneous interval and corrected p-value all speak against chance, and there is
            enough to say so.
        too_few: whether there are too few images, groups or objects to say anything.
    """

    model_a: str
    model_b: str
    metric: str
    scope: str
    delta: float
    ci_low: float
    ci_high: float
    sim_low: float
    sim_high: float
    p_raw: float
    p_adj: float
    adjust: str
    p_a_gt_b: float
    mdd: float
    test: str
    B: int
    ci_method: str
    se: float
    decisive: bool
    too_few: bool

    @property
    def doubt(self) -> str:
        """Why it is not decisive, in few words; empty where it is. Its own interval may well be on one side of 0."""
        if self.decisive:
            return ""
        if self.test == "label swap":
            return "a second opinion decides nothing"
        if self.too_few:
            return "too few images, groups or objects to say so"
        if math.isnan(self.ci_low):
            return "nothing is known of other images"
        if self.ci_low <= 0 <= self.ci_high:
            return "its interval holds 0"
        if self.sim_low <= 0 <= self.sim_high:
            return "the interval that holds for all pairs at once, by standard errors, holds 0"
        corrected = "corrected " if self.p_adj > self.p_raw else ""
        return f"{corrected}p = {self.p_adj:.3f}".replace("= 0.", "= .")


@dataclass(frozen=True, slots=True)
class ClassValue:
    """One model by the deciding measure on one class.

    Attributes:
        model: its name.
        measure: short name.
        class_name: the class.
        objects: how many are asked for.
        value: mean over seeds; NaN without objects.
        ci_low, ci_high: percentile interval.
        se: standard error over resamples.
        seeds: the value of each seed.
        too_few: fewer than 20 objects, or too few images: too few to say.
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
    """What a comparison rests on.

    Attributes:
        resamples: B.
        seed: of the draws.
        confidence: of the intervals.
        images: how many.
        units: how many things were drawn: images, or groups of them.
        unit: ``image`` or ``group``.
        permutations: label swaps; 0 for none.
    """

    resamples: int
    seed: int
    confidence: float
    images: int
    units: int
    unit: Literal["image", "group"]
    permutations: int


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Models on the same images: who leads, by how much, and whether that is more than chance.

    Attributes:
        models: names, best first by the deciding measure.
        measure: short name of the deciding measure.
        measures: it, and the others that were asked for.
        verdict: in words; only what the rows say.
        notes: what a reader must know: too few images or objects, seeds, groups.
        badges: the shortest of notes: ``seed variance not measured``.
        compared: ``training recipes`` where every model was trained with several seeds; else ``checkpoints``.
        leaderboard: by measure, models best first by the deciding one.
        pairwise: all pairs by all measures, all classes together; then the label swaps.
        class_values: each model by the deciding measure on each class.
        class_pairs: all pairs on each class.
        method: what it rests on.
        replicates: measure to model to (B,) values on resamples; NaN where there is nothing to measure.
    """

    models: tuple[str, ...]
    measure: str
    measures: tuple[str, ...]
    verdict: str
    notes: tuple[str, ...]
    badges: tuple[str, ...]
    compared: Literal["checkpoints", "training recipes"]
    leaderboard: tuple[Standing, ...]
    pairwise: tuple[PairDifference, ...]
    class_values: tuple[ClassValue, ...]
    class_pairs: tuple[PairDifference, ...]
    method: Method
    replicates: Mapping[str, Mapping[str, NDArray[np.float64]]]

    def standing(self, model: str, measure: str | None = None) -> Standing:
        """A model's row of the leaderboard.

        Args:
            model: its name.
            measure: by default the deciding one.

        Raises:
            InputError: no such model or measure.
        """
        self._check(model, measure)
        wanted = (model, measure or self.measure)
        return next(row for row in self.leaderboard if (row.model, row.measure) == wanted)

    def difference(
        self, one: str, other: str, measure: str | None = None, scope: str = ALL
    ) -> PairDifference:
        """The row of a pair, in whichever order they are named.

        Args:
            one: a model.
            other: another.
            measure: by default the deciding one.
            scope: ``all``, or a class.

        Raises:
            InputError: no such model, measure, pair or class.
        """
        for model in (one, other):
            self._check(model, measure)
        for row in (*self.pairwise, *self.class_pairs):
            named = {row.model_a, row.model_b} == {one, other} and row.test == "bootstrap"
            if named and row.metric == (measure or self.measure) and row.scope == scope:
                return row
        raise InputError(f"comparison: no row of {one!r} and {other!r} in scope {scope!r}")

    def to_frame(self) -> pandas.DataFrame:
        """The leaderboard: the columns of `Standing`; `seeds` as text, one number after another."""
        return _frame(Standing, self.leaderboard)

    def pairwise_to_frame(self) -> pandas.DataFrame:
        """All pairs, all classes together and then class by class: the columns of `PairDifference`."""
        return _frame(PairDifference, (*self.pairwise, *self.class_pairs))

    def classes_to_frame(self) -> pandas.DataFrame:
        """Each model on each class: the columns of `ClassValue`; `seeds` as text."""
        return _frame(ClassValue, self.class_values)

    def __str__(self) -> str:
        """The verdict and its notes."""
        return "\n".join([self.verdict, *(f"- {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.models)}; {self.measure}; {self.method.resamples} resamples)"

    def _check(self, model: str, measure: str | None) -> None:
        if model not in self.models:
            raise InputError(f"comparison: no model {model!r}{did_you_mean(model, self.models)}")
        if measure is not None and measure not in self.measures:
            raise InputError(f"comparison: no measure {measure!r}{did_you_mean(measure, self.measures)}")


def _frame(kind: type[Any], rows: Sequence[Any]) -> pandas.DataFrame:
    import pandas

    records = []
    for row in rows:
        record = asdict(row)
        if "seeds" in record:
            record["seeds"] = " ".join(repr(float(value)) for value in record["seeds"])
        records.append(record)
    return pandas.DataFrame(records, columns=[field.name for field in fields(kind)])
