"""Statistical inference from replicates: standings of models, pairwise differences, and both per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from metrics.compare.estimates import SeededEstimate, simultaneous_ends
from metrics.compare.rows import ALL, ClassValue, PairDifference, Standing
from metrics.resampling.intervals import Interval, t_interval
from metrics.resampling.multiple_comparisons import (
    benjamini_hochberg,
    compact_letters,
    holm,
    rank_intervals,
)

FEW_OBJECTS = 20
"""With fewer objects no difference on a class is decisive."""

NAN = float("nan")


class Compared(Protocol):
    """A measure that models are compared by: its name and direction."""

    @property
    def name(self) -> str: ...

    @property
    def better(self) -> Literal["higher", "lower"]: ...

    @property
    def pooled(self) -> bool:
        """Whether its value over all classes is not a mean over classes."""
        ...


C = TypeVar("C", bound=Compared)
C_contra = TypeVar("C_contra", bound=Compared, contravariant=True)


class ModelReplicates(Protocol[C_contra]):
    """Values of models on shared resamples of the images, over all classes or (`label`) of one class."""

    @property
    def resamples(self) -> int: ...

    @property
    def classes(self) -> Sequence[str]: ...

    def order(self, statistic: C_contra) -> list[str]:
        """Return the models, best first."""
        ...

    def estimate(self, model: str, statistic: C_contra, label: int | None = None) -> SeededEstimate:
        """Return a model's value with its replicates over images and seeds."""
        ...

    def seed_values(self, model: str, statistic: C_contra, label: int | None = None) -> tuple[float, ...]:
        """Return the value of each seed of a model."""
        ...

    def class_objects(self, statistic: C_contra) -> NDArray[np.int64]:
        """Return (K,) how often each class occurs, which tells whether it has enough data."""
        ...


@dataclass(frozen=True, eq=False)
class ComparisonRows(Generic[C]):
    """Computes the rows of a comparison from replicates.

    Attributes:
        runs: replicates of all runs.
        models: best first by the deciding statistic.
        confidence: level of all intervals.
        too_few: whether there are too few images, groups or objects for a decision.
    """

    runs: ModelReplicates[C]
    models: Sequence[str]
    confidence: float
    too_few: bool

    def standings(self, statistic: C, differences: Sequence[PairDifference]) -> list[Standing]:
        """Return the standing of each model by one statistic over all classes.

        Args:
            statistic: one of those in `runs`.
            differences: of all pairs by this statistic; they determine the letters.
        """
        beaten = {frozenset((row.model_a, row.model_b)) for row in differences if row.decisive}
        order = self.runs.order(statistic)
        letters = compact_letters(
            order, [pair for pair in combinations(order, 2) if frozenset(pair) in beaten]
        )
        higher = statistic.better == "higher"
        estimates = [self.runs.estimate(model, statistic) for model in self.models]
        ranks = self._ranks(statistic)
        rare = self.rare_share(statistic)
        values = np.array([estimate.value for estimate in estimates])
        rows = []
        for model, estimate, (rank_low, rank_high) in zip(self.models, estimates, ranks, strict=True):
            interval = estimate.interval(self.confidence)
            seeds = self.runs.seed_values(model, statistic)
            seed_low, seed_high = t_interval(np.array(seeds), self.confidence)
            ahead = values > estimate.value if higher else values < estimate.value
            rows.append(
                Standing(
                    model=model,
                    measure=statistic.name,
                    value=interval.estimate,
                    ci_low=interval.low,
                    ci_high=interval.high,
                    se=interval.se,
                    bias=interval.bias,
                    ci_method=interval.method,
                    seeds=seeds,
                    seed_low=seed_low,
                    seed_high=seed_high,
                    rank=int(np.count_nonzero(ahead)) + 1,
                    rank_low=rank_low,
                    rank_high=rank_high,
                    letters=letters[model],
                    tied_with_best=frozenset((order[0], model)) not in beaten,
                    higher_is_better=higher,
                    too_few=self.too_few,
                    dof=interval.dof,
                    rare_share=rare,
                )
            )
        return rows

    def differences(self, statistic: C) -> list[PairDifference]:
        """Return the differences of all pairs by one statistic over all classes."""
        pairs = list(combinations(self.models, 2))
        if not pairs:
            return []
        deltas, intervals = self._pairs(statistic)
        raw = [interval.p_value for interval in intervals]
        adjusted = holm(raw)
        simultaneous = simultaneous_ends(deltas, intervals, self.confidence)
        rare = self.rare_share(statistic)
        return [
            self._difference(
                pair,
                statistic,
                ALL,
                delta,
                interval,
                self.too_few,
                p_raw=p,
                p_adj=float(p_adj),
                adjust="holm",
                sim_low=low,
                sim_high=high,
                rare_share=rare,
            )
            for pair, delta, interval, p, p_adj, (low, high) in zip(
                pairs, deltas, intervals, raw, adjusted, simultaneous, strict=True
            )
        ]

    def rare_share(self, statistic: C) -> float:
        """Return the share of a mean over classes that classes with few objects carry; 0 for pooled classes."""
        if statistic.pooled:
            return 0.0
        objects = self.runs.class_objects(statistic)
        present = np.count_nonzero(objects)
        return float(np.count_nonzero((objects > 0) & (objects < FEW_OBJECTS)) / present) if present else 0.0

    def class_rows(self, statistic: C) -> tuple[list[ClassValue], list[PairDifference]]:
        """Return each model, and each pair of models, by one statistic on each class."""
        classes = self.runs.classes
        objects = self.runs.class_objects(statistic).tolist()
        few = [self.too_few or count < FEW_OBJECTS for count in objects]
        estimates = {
            (model, label): self.runs.estimate(model, statistic, label)
            for model in self.models
            for label in range(len(objects))
        }
        values = []
        for (model, label), estimate in estimates.items():
            interval = estimate.interval(self.confidence)
            values.append(
                ClassValue(
                    model=model,
                    measure=statistic.name,
                    class_name=classes[label],
                    objects=objects[label],
                    value=interval.estimate,
                    ci_low=interval.low,
                    ci_high=interval.high,
                    se=interval.se,
                    seeds=self.runs.seed_values(model, statistic, label),
                    too_few=few[label],
                )
            )
        pairs = []
        labels = [label for label, count in enumerate(objects) if count]
        for a, b in combinations(self.models, 2):
            deltas = [estimates[a, label] - estimates[b, label] for label in labels]
            intervals = [delta.interval(self.confidence) for delta in deltas]
            raw = [interval.p_value for interval in intervals]
            adjusted = benjamini_hochberg(
                [NAN if few[label] else p for label, p in zip(labels, raw, strict=True)]
            )
            pairs += [
                self._difference(
                    (a, b),
                    statistic,
                    classes[label],
                    delta,
                    interval,
                    few[label],
                    p_raw=p,
                    p_adj=float(p_adj),
                    adjust="none" if few[label] else "bh",
                )
                for label, delta, interval, p, p_adj in zip(
                    labels, deltas, intervals, raw, adjusted, strict=True
                )
            ]
        return values, pairs

    def _difference(
        self,
        pair: tuple[str, str],
        statistic: C,
        scope: str,
        delta: SeededEstimate,
        interval: Interval,
        too_few: bool,
        **columns: Any,
    ) -> PairDifference:
        """Row with the given p-values and, over all classes, the simultaneous interval."""
        above = interval.probability_above_zero
        row = PairDifference(
            *pair,
            statistic.name,
            scope,
            interval.estimate,
            interval.low,
            interval.high,
            p_a_gt_b=above if statistic.better == "higher" else 1 - above,
            mdd=interval.detectable(self.confidence),
            B=interval.resamples,
            ci_method=interval.method,
            se=interval.se,
            too_few=too_few,
            dof=interval.dof,
            limited_by=delta.limited_by(self.confidence),
            **columns,
        )
        intervals = [(row.ci_low, row.ci_high)]
        if "sim_low" in columns:
            intervals.append((row.sim_low, row.sim_high))
        decisive = (
            not too_few
            and row.se > 0
            and all(low > 0 or high < 0 for low, high in intervals)
            and row.p_adj < 1 - self.confidence
        )
        return replace(row, decisive=bool(decisive))

    def _pairs(self, statistic: C) -> tuple[list[SeededEstimate], list[Interval]]:
        """Differences of all pairs over all classes and their intervals."""
        estimates = {model: self.runs.estimate(model, statistic) for model in self.models}
        deltas = [estimates[a] - estimates[b] for a, b in combinations(self.models, 2)]
        return deltas, [delta.interval(self.confidence) for delta in deltas]

    def _ranks(self, statistic: C) -> list[tuple[int, int]]:
        """Best and worst rank of each model, from the replicates and t distributions of the pairs.

        The replicates of a pair, in standard deviations, are compared with the normal quantile of the probability that its t
        distribution has below 0: so a model is ahead in as many replicates as its `p_a_gt_b` says, and the ranks of several
        models are jointly those of the resamples. All ranks where the differences are not defined.
        """
        from scipy.special import ndtri, stdtr

        count = len(self.models)
        deltas, intervals = self._pairs(statistic)
        if any(interval.method == "none" for interval in intervals):
            return [(1, count)] * count
        sign = 1.0 if statistic.better == "higher" else -1.0
        equal = np.eye(count, dtype=np.bool_)
        ahead = np.zeros((self.runs.resamples, count, count), np.bool_)
        defined = np.ones(self.runs.resamples, np.bool_)
        for (a, b), delta, interval in zip(combinations(range(count), 2), deltas, intervals, strict=True):
            replicates = delta.replicates
            defined &= ~np.isnan(replicates)
            if not interval.se and interval.t == 0:
                equal[a, b] = equal[b, a] = True
                continue
            spread = np.nanstd(replicates)
            standard = (replicates - np.nanmean(replicates)) / spread if spread > 1e-12 else 0 * replicates
            better = sign * standard > ndtri(stdtr(interval.dof, -sign * interval.t))
            ahead[:, b, a], ahead[:, a, b] = better, ~better
        low, high = rank_intervals(ahead[defined], equal, self.confidence)
        return list(zip(low.tolist(), high.tolist(), strict=True))
