"""The rows of a comparison: models, pairs, and both class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from metrics.compare.comparison import ALL, ClassValue, PairDifference, Standing
from metrics.compare.run_replicates import RunReplicates
from metrics.compare.seeds import SeededEstimate
from metrics.resampling.blocks import Statistic
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

FEW_OBJECTS = 20
"""Fewer of a class are too few to say anything of the class."""

NAN = float("nan")


@dataclass(frozen=True, eq=False)
class ComparisonRows:
    """Makes rows from replicates.

    Attributes:
        runs: replicates of all runs.
        models: best first by the deciding statistic.
        confidence: of all intervals.
        too_few: whether there are too few images, groups or objects to say anything of other images.
    """

    runs: RunReplicates
    models: Sequence[str]
    confidence: float
    too_few: bool

    def standings(self, statistic: Statistic, differences: Sequence[PairDifference]) -> list[Standing]:
        """Each model by one statistic, all classes together.

        Args:
            statistic: one of those that were measured.
            differences: of all pairs by it: letters follow from them.
        """
        beaten = {frozenset((row.model_a, row.model_b)) for row in differences if row.decisive}
        order = self.runs.order(statistic)
        apart = [pair for pair in combinations(order, 2) if frozenset(pair) in beaten]
        letter = compact_letters(order, apart)
        higher = statistic.better == "higher"
        levels = [self.runs.level(model, statistic) for model in self.models]
        ranks = self._ranks([level.replicates for level in levels], higher)
        values = np.array([level.estimate for level in levels])
        rows = []
        for model, level, (rank_low, rank_high) in zip(self.models, levels, ranks, strict=True):
            of = self._interval(level, statistic, (model,))
            seeds = self.runs.seed_values(model, statistic)
            seed_low, seed_high = t_interval(np.array(seeds), self.confidence)
            ahead = values > level.estimate if higher else values < level.estimate
            rows.append(
                Standing(
                    model=model,
                    measure=statistic.name,
                    value=of.estimate,
                    ci_low=of.low,
                    ci_high=of.high,
                    se=of.se,
                    bias=of.bias,
                    ci_method=of.method,
                    seeds=seeds,
                    seed_low=seed_low,
                    seed_high=seed_high,
                    rank=int(np.count_nonzero(ahead)) + 1,
                    rank_low=rank_low,
                    rank_high=rank_high,
                    letters=letter[model],
                    tied_with_best=frozenset((order[0], model)) not in beaten,
                    higher_is_better=higher,
                    too_few=self.too_few,
                )
            )
        return rows

    def differences(self, statistic: Statistic) -> list[PairDifference]:
        """All pairs by one statistic, all classes together."""
        pairs = list(combinations(self.models, 2))
        if not pairs:
            return []
        levels = {model: self.runs.level(model, statistic) for model in self.models}
        found = [levels[a] - levels[b] for a, b in pairs]
        intervals = [self._interval(level, statistic, pair) for level, pair in zip(found, pairs, strict=True)]
        raw = [self._p_value(level) for level in found]
        corrected = holm(raw)
        low, high = self._simultaneous(found, intervals)
        return [
            self._difference(
                pair,
                statistic,
                ALL,
                level,
                of,
                p_raw=p,
                p_adj=float(p_adj),
                adjust="holm",
                simultaneous=(float(sim_low), float(sim_high)),
                too_few=self.too_few,
            )
            for pair, level, of, p, p_adj, sim_low, sim_high in zip(
                pairs, found, intervals, raw, corrected, low, high, strict=True
            )
        ]

    def class_rows(self, statistic: Statistic) -> tuple[list[ClassValue], list[PairDifference]]:
        """Each model, and each pair, by one statistic on each class."""
        first = self.runs.paired.first
        area = 0 if statistic.area is None else first.rule.area_index(statistic.area)
        objects = first.positives[area].tolist()
        few = [self.too_few or count < FEW_OBJECTS for count in objects]
        levels = {
            (model, label): self.runs.level(model, statistic, label)
            for model in self.models
            for label in range(len(objects))
        }
        values = []
        for (model, label), level in levels.items():
            of = self._interval(level)
            values.append(
                ClassValue(
                    model=model,
                    measure=statistic.name,
                    class_name=first.classes[label],
                    objects=objects[label],
                    value=of.estimate,
                    ci_low=of.low,
                    ci_high=of.high,
                    se=of.se,
                    seeds=self.runs.seed_values(model, statistic, label),
                    too_few=few[label],
                )
            )
        pairs = []
        for a, b in combinations(self.models, 2):
            labels = [label for label, count in enumerate(objects) if count]
            found = [levels[a, label] - levels[b, label] for label in labels]
            raw = [self._p_value(level) for level in found]
            corrected = benjamini_hochberg(
                [NAN if few[label] else p for label, p in zip(labels, raw, strict=True)]
            )
            pairs += [
                self._difference(
                    (a, b),
                    statistic,
                    first.classes[label],
                    level,
                    self._interval(level),
                    p_raw=p,
                    p_adj=float(p_adj),
                    adjust="none" if few[label] else "bh",
                    simultaneous=None,
                    too_few=few[label],
                )
                for label, level, p, p_adj in zip(labels, found, raw, corrected, strict=True)
            ]
        return values, pairs

    def _difference(
        self,
        pair: tuple[str, str],
        statistic: Statistic,
        scope: str,
        level: SeededEstimate,
        of: Interval,
        *,
        p_raw: float,
        p_adj: float,
        adjust: str,
        simultaneous: tuple[float, float] | None,
        too_few: bool,
    ) -> PairDifference:
        sim_low, sim_high = simultaneous or (NAN, NAN)
        speaks = [(of.low, of.high), *([] if simultaneous is None else [simultaneous])]
        decisive = (
            not too_few
            and of.se > 0
            and all(low > 0 or high < 0 for low, high in speaks)
            and p_adj < 1 - self.confidence
        )
        better = level.replicates if statistic.better == "higher" else -level.replicates
        return PairDifference(
            model_a=pair[0],
            model_b=pair[1],
            metric=statistic.name,
            scope=scope,
            delta=of.estimate,
            ci_low=of.low,
            ci_high=of.high,
            sim_low=sim_low,
            sim_high=sim_high,
            p_raw=p_raw,
            p_adj=p_adj,
            adjust=adjust,
            p_a_gt_b=probability_above_zero(better),
            mdd=MDD_STANDARD_ERRORS * of.se,
            test="bootstrap",
            B=of.resamples,
            ci_method=of.method,
            se=of.se,
            decisive=bool(decisive),
            too_few=too_few,
        )

    def _interval(
        self, level: SeededEstimate, statistic: Statistic | None = None, models: tuple[str, ...] = ()
    ) -> Interval:
        """Of a model or a difference; where a statistic is named, BCa may ask to leave images out."""
        stretched = level.stretched(self.confidence)
        if statistic is None:
            return bootstrap_interval(level.estimate, stretched, self.confidence, units=self.runs.units)
        at = self.runs.index(statistic)

        def without() -> NDArray[np.float64]:
            value, *taken = [self.runs.without[model][at] for model in models]
            return value - taken[0] if taken else value

        return bootstrap_interval(level.estimate, stretched, self.confidence, without, self.runs.units)

    def _p_value(self, level: SeededEstimate) -> float:
        return bootstrap_p_value(level.estimate, level.stretched(self.confidence))

    def _simultaneous(
        self, found: Sequence[SeededEstimate], intervals: Sequence[Interval]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        replicates = np.stack([level.stretched(self.confidence) for level in found], axis=1)
        known = replicates[~np.isnan(replicates).any(axis=1)]
        estimates = np.array([level.estimate for level in found])
        if len(known) < 2 or np.isnan(estimates).any():
            return np.full(len(found), NAN), np.full(len(found), NAN)
        spread = np.array([of.se for of in intervals])
        low, high, _ = simultaneous_intervals(estimates, known, spread, self.confidence)
        return low, high

    def _ranks(self, replicates: Sequence[NDArray[np.float64]], higher: bool) -> list[tuple[int, int]]:
        """Of each model; all ranks where no resample gives all of them a number."""
        table = np.stack(replicates, axis=1)
        known = table[~np.isnan(table).any(axis=1)]
        if not len(known):
            return [(1, len(replicates))] * len(replicates)
        low, high = rank_intervals(known, higher, self.confidence)
        return list(zip(low.tolist(), high.tolist(), strict=True))
