"""Pointwise confidence bands of curves, from the same resamples as the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metrics.compare.curve_intervals import curve_intervals
from metrics.compare.groups import Groups, resolve_groups
from metrics.compare.paired_runs import Runs, pair_runs
from metrics.compare.run_replicates import RunReplicates
from metrics.plurals import plural
from metrics.resampling.curves import counts_over_score, precision_over_recall
from metrics.resampling.intervals import check_confidence
from metrics.resampling.scale import UNIT, Scale

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """A curve with a pointwise confidence interval.

    Attributes:
        value: (P,) mean over seeds; NaN where undefined.
        low: (P,) in [0, 1]; NaN where undefined and where there is a single resampling unit.
        high: (P,) as `low`.
    """

    value: Floats
    low: Floats
    high: Floats

    def __repr__(self) -> str:
        return f"Band({plural(len(self.value), 'point')})"


@dataclass(frozen=True, eq=False, repr=False)
class Bands:
    """Curves of all models on the same resamples; each is computed on first use and cached.

    Attributes:
        replicates: the runs and their resamples.
        confidence: level of the intervals.
    """

    replicates: RunReplicates
    confidence: float
    _precision: dict[float, dict[str, Band]] = field(default_factory=dict)
    _over_score: dict[tuple[bytes, float], dict[str, dict[str, Band]]] = field(default_factory=dict)

    def __repr__(self) -> str:
        models = ", ".join(self.replicates.paired.matches)
        return f"Bands({models}; {plural(self.replicates.resamples, 'resample')})"

    def precision(self, iou: float) -> dict[str, Band]:
        """Return, by model, precision at COCO's 101 recall levels, mean over classes.

        Args:
            iou: one of the rule's IoU thresholds.
        """
        if iou not in self._precision:
            rule = self.replicates.paired.rule
            area, max_dets = rule.areas[0], rule.max_dets[-1]
            self._precision[iou] = self._bands(
                {
                    model: [precision_over_recall(run, self._weights, iou, area, max_dets) for run in runs]
                    for model, runs in self.replicates.rankings.items()
                }
            )
        return self._precision[iou]

    def over_score(self, scores: Floats, iou: float = 0.5) -> dict[str, dict[str, Band]]:
        """Return, by model, ``precision``, ``recall`` and ``f1`` over score thresholds, all classes pooled.

        Args:
            scores: (P,) ascending score thresholds.
            iou: one of the rule's IoU thresholds.
        """
        key = (scores.tobytes(), iou)
        if key not in self._over_score:
            same = {model: [scores] * len(runs) for model, runs in self.replicates.paired.matches.items()}
            self._over_score[key] = self.at_own_scores(same, iou)
        return self._over_score[key]

    def at_own_scores(
        self, scores: Mapping[str, Sequence[Floats]], iou: float = 0.5
    ) -> dict[str, dict[str, Band]]:
        """As `over_score`, with separate score thresholds for each run.

        Args:
            scores: by model, per seed: (P,) ascending.
            iou: one of the rule's IoU thresholds.
        """
        counts = {
            model: [
                counts_over_score(matches, self._weights, thresholds, iou)
                for matches, thresholds in zip(runs, scores[model], strict=True)
            ]
            for model, runs in self.replicates.paired.matches.items()
        }
        names = ("precision", "recall", "f1")
        by_name = {
            name: self._bands({model: [getattr(one, name) for one in of] for model, of in counts.items()})
            for name in names
        }
        return {model: {name: by_name[name][model] for name in names} for model in counts}

    @property
    def _weights(self) -> NDArray[np.uint8]:
        """(1 + B, I): all images once, then the resamples."""
        weights = self.replicates.weights
        return np.concatenate([np.ones((1, weights.shape[1]), np.uint8), weights])

    def _bands(self, tables: Mapping[str, Sequence[Floats]]) -> dict[str, Band]:
        """Bands from (1 + B, P) for each seed of each model."""
        stacked = {model: np.stack(by_seed, axis=2) for model, by_seed in tables.items()}
        shifts = {model: self.replicates.shifts(model) for model in stacked}
        of = curve_intervals(stacked, shifts, self.replicates.units, self.confidence, Scale(UNIT))
        return {model: Band(*interval) for model, interval in of.items()}


def curve_bands(
    runs: Runs,
    *,
    resamples: int = 1000,
    seed: int = 0,
    groups: Groups = None,
    image_columns: Mapping[str, Sequence[object]] | None = None,
    confidence: float = 0.95,
) -> Bands:
    """Compute confidence bands from the resamples that `metrics.compare.compare` draws for the same arguments.

    Args:
        runs: see `metrics.compare.compare`, as for the other arguments.
        resamples: number of bootstrap replicates B.
        seed: of the random number generator.
        groups: groups of images that are resampled as a whole.
        image_columns: attributes of the images.
        confidence: level of each point's interval.

    Raises:
        InputError: runs that cannot be compared, or groups that do not fit the images.

    Example:
        >>> band = curve_bands({"ssd": (truth, ssd)}).precision(0.5)["ssd"]
        >>> band.low[50], band.high[50]  # precision at recall 0.5
    """
    check_confidence(confidence)
    paired = pair_runs(runs)
    unit, units, _ = resolve_groups(groups, image_columns, paired.image_ids, paired.kept)
    return Bands(RunReplicates(paired, (), unit, units, resamples, seed), confidence)
