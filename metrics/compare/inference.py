"""Statistical inference from replicates: standings of models, pairwise differences, and both per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.compare.rows import ALL, ClassValue, PairDifference, Standing
from metrics.compare.run_replicates import RunReplicates
from metrics.compare.seeds import SeededEstimate
from metrics.resampling.intervals import (
    MDD_STANDARD_ERRORS,
    Interval,
    bootstrap_interval,
    bootstrap_p_value,
    probability_above_zero,
    t_interval,
)
from metrics.resampling.multiple_comparisons import (
    benjamini_hochberg,
    compact_letters,
    holm,
    rank_intervals,
    simultaneous_intervals,
)
from metrics.resampling.replicates import Statistic

FEW_OBJECTS = 20
"""With fewer objects no difference on a class is decisive."""

NAN = float("nan")


@dataclass(frozen=True, eq=False)
class ComparisonRows:
    """Computes the rows of a comparison from replicates.

    Attributes:
        runs: replicates of all runs.
        models: best first by the deciding statistic.
        confidence: level of all intervals.
        too_few: whether there are too few images, groups or objects for a decision.
    """

    runs: RunReplicates
    models: Sequence[str]
    confidence: float
    too_few: bool

    def standings(self, statistic: Statistic, differences: Sequence[PairDifference]) -> list[Standing]:
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
        ranks = self._ranks([estimate.replicates for estimate in estimates], higher)
        values = np.array([estimate.value for estimate in estimates])
        rows = []
        for model, estimate, (rank_low, rank_high) in zip(self.models, estimates, ranks, strict=True):
            interval = self._interval(estimate, statistic, (model,))
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
                )
            )
        return rows

    def differences(self, statistic: Statistic) -> list[PairDifference]:
        """Return the differences of all pairs by one statistic over all classes."""
        pairs = list(combinations(self.models, 2))
        if not pairs:
            return []
        estimates = {model: self.runs.estimate(model, statistic) for model in self.models}
        deltas = [estimates[a] - estimates[b] for a, b in pairs]
        intervals = [
            self._interval(delta, statistic, pair) for delta, pair in zip(deltas, pairs, strict=True)
        ]
        raw = [self._p_value(delta) for delta in deltas]
        adjusted = holm(raw)
        low, high = self._simultaneous(deltas, intervals)
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
                sim_low=float(sim_low),
                sim_high=float(sim_high),
            )
            for pair, delta, interval, p, p_adj, sim_low, sim_high in zip(
                pairs, deltas, intervals, raw, adjusted, low, high, strict=True
            )
        ]

    def class_rows(self, statistic: Statistic) -> tuple[list[ClassValue], list[PairDifference]]:
        """Return each model, and each pair of models, by one statistic on each class."""
        first = self.runs.paired.first
        area = 0 if statistic.area is None else first.rule.area_index(statistic.area)
        objects = first.positives[area].tolist()
        few = [self.too_few or count < FEW_OBJECTS for count in objects]
        estimates = {
            (model, label): self.runs.estimate(model, statistic, label)
            for model in self.models
            for label in range(len(objects))
        }
        values = []
        for (model, label), estimate in estimates.items():
            interval = self._interval(estimate)
            values.append(
                ClassValue(
                    model=model,
                    measure=statistic.name,
                    class_name=first.classes[label],
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
            raw = [self._p_value(delta) for delta in deltas]
            adjusted = benjamini_hochberg(
                [NAN if few[label] else p for label, p in zip(labels, raw, strict=True)]
            )
            pairs += [
                self._difference(
                    (a, b),
                    statistic,
                    first.classes[label],
                    delta,
                    self._interval(delta),
                    few[label],
                    p_raw=p,
                    p_adj=float(p_adj),
                    adjust="none" if few[label] else "bh",
                )
                for label, delta, p, p_adj in zip(labels, deltas, raw, adjusted, strict=True)
            ]
        return values, pairs

    def _difference(
        self,
        pair: tuple[str, str],
        statistic: Statistic,
        scope: str,
        delta: SeededEstimate,
        interval: Interval,
        too_few: bool,
        **columns: Any,
    ) -> PairDifference:
        """Row with the given p-values and, over all classes, the simultaneous interval."""
        better = delta.replicates if statistic.better == "higher" else -delta.replicates
        row = PairDifference(
            *pair,
            statistic.name,
            scope,
            interval.estimate,
            interval.low,
            interval.high,
            p_a_gt_b=probability_above_zero(better),
            mdd=MDD_STANDARD_ERRORS * interval.se,
            B=interval.resamples,
            ci_method=interval.method,
            se=interval.se,
            too_few=too_few,
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

    def _interval(
        self, estimate: SeededEstimate, statistic: Statistic | None = None, models: tuple[str, ...] = ()
    ) -> Interval:
        """Interval of a model's value or of a difference; BCa is possible only if a statistic is given."""
        replicates = estimate.stretched(self.confidence)
        if statistic is None:
            return bootstrap_interval(estimate.value, replicates, self.confidence, units=self.runs.units)
        index = self.runs.index(statistic)

        def jackknife() -> NDArray[np.float64]:
            value, *others = [self.runs.jackknife[model][index] for model in models]
            return value - others[0] if others else value

        return bootstrap_interval(estimate.value, replicates, self.confidence, jackknife, self.runs.units)

    def _p_value(self, delta: SeededEstimate) -> float:
        return bootstrap_p_value(delta.value, delta.stretched(self.confidence))

    def _simultaneous(
        self, deltas: Sequence[SeededEstimate], intervals: Sequence[Interval]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        replicates = np.stack([delta.stretched(self.confidence) for delta in deltas], axis=1)
        defined = replicates[~np.isnan(replicates).any(axis=1)]
        values = np.array([delta.value for delta in deltas])
        if len(defined) < 2 or np.isnan(values).any():
            return np.full(len(deltas), NAN), np.full(len(deltas), NAN)
        se = np.array([interval.se for interval in intervals])
        low, high, _ = simultaneous_intervals(values, defined, se, self.confidence)
        return low, high

    def _ranks(self, replicates: Sequence[NDArray[np.float64]], higher: bool) -> list[tuple[int, int]]:
        """Best and worst rank of each model; all ranks where no resample defines the value of every model."""
        table = np.stack(replicates, axis=1)
        defined = table[~np.isnan(table).any(axis=1)]
        if not len(defined):
            return [(1, len(replicates))] * len(replicates)
        low, high = rank_intervals(defined, higher, self.confidence)
        return list(zip(low.tolist(), high.tolist(), strict=True))
