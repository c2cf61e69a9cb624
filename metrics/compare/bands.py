"""Bands around curves: at each point the interval that a comparison would give a number, from the same resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metrics.compare.groups import resolve_groups
from metrics.compare.paired_runs import Runs, pair_runs
from metrics.compare.run_replicates import RunReplicates
from metrics.compare.seeds import combine_seeds
from metrics.resampling.curves import counts_over_score, precision_over_recall
from metrics.resampling.intervals import bootstrap_interval, check_confidence

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """A curve, and where it may lie; each point for itself.

    Attributes:
        value: (P,) mean over seeds; NaN where there is nothing to measure.
        low: (P,) in [0, 1]; NaN likewise, and where nothing is known of other images.
        high: (P,) likewise.
    """

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Bands:
    """Curves of models on the same resamples; each is measured when it is first asked for, and then kept.

    Attributes:
        replicates: the runs, and how images are drawn.
        confidence: of the intervals.
    """

    replicates: RunReplicates
    confidence: float
    _precision: dict[float, dict[str, Band]] = field(default_factory=dict, repr=False)
    _over_score: dict[tuple[bytes, float], dict[str, dict[str, Band]]] = field(
        default_factory=dict, repr=False
    )

    def precision(self, iou: float) -> dict[str, Band]:
        """By model: precision at COCO's 101 recalls, mean over classes; at one of the rule's IoU thresholds."""
        if iou in self._precision:
            return self._precision[iou]
        rule = self.replicates.paired.rule
        area, most = rule.areas[0], rule.max_dets[-1]
        self._precision[iou] = {
            model: self._band(
                model, [precision_over_recall(rankings, self._rows, iou, area, most) for rankings in of]
            )
            for model, of in self.replicates.rankings.items()
        }
        return self._precision[iou]

    def over_score(self, scores: Floats, iou: float = 0.5) -> dict[str, dict[str, Band]]:
        """By model ``precision``, ``recall`` and ``f1`` of detections at a score or above, all classes together.

        Args:
            scores: (P,) rising.
            iou: one of the rule's thresholds.
        """
        key = (scores.tobytes(), iou)
        if key not in self._over_score:
            every = {model: [scores] * len(of) for model, of in self.replicates.paired.matches.items()}
            self._over_score[key] = self.at_own_scores(every, iou)
        return self._over_score[key]

    def at_own_scores(
        self, scores: Mapping[str, Sequence[Floats]], iou: float = 0.5
    ) -> dict[str, dict[str, Band]]:
        """Like `over_score`, where each run has scores of its own.

        Args:
            scores: for each model (P,) rising for each of its seeds, the first of one with the first of the other.
            iou: one of the rule's thresholds.
        """
        found = {}
        for model, of in self.replicates.paired.matches.items():
            counts = [
                counts_over_score(matches, self._rows, at, iou)
                for matches, at in zip(of, scores[model], strict=True)
            ]
            found[model] = {
                name: self._band(model, [getattr(one, name) for one in counts])
                for name in ("precision", "recall", "f1")
            }
        return found

    @property
    def _rows(self) -> NDArray[np.uint8]:
        """(1 + B, I): all images once, and then the resamples."""
        weights = self.replicates.weights
        return np.concatenate([np.ones((1, weights.shape[1]), np.uint8), weights])

    def _band(self, model: str, of_seeds: Sequence[Floats]) -> Band:
        """Of (1 + B, P) for each seed."""
        table = np.stack(of_seeds, axis=2)
        draws, units = self.replicates.draws[model], self.replicates.units
        points = np.full((3, table.shape[1]), np.nan)
        for at in range(table.shape[1]):
            level = combine_seeds(table[0, at], table[1:, at], draws)
            of = bootstrap_interval(
                level.estimate, level.stretched(self.confidence), self.confidence, units=units
            )
            points[:, at] = of.estimate, of.low, of.high
        return Band(*np.clip(points, 0.0, 1.0))


def curve_bands(
    runs: Runs,
    *,
    resamples: int = 1000,
    seed: int = 0,
    groups: str | Sequence[object] | Mapping[object, object] | None = None,
    image_columns: Mapping[str, Sequence[object]] | None = None,
    confidence: float = 0.95,
) -> Bands:
    """Bands of these runs' curves, from the resamples that `metrics.compare.compare` draws of the same arguments.

    Args:
        runs: see `metrics.compare.compare`, also for the others.
        resamples: B.
        seed: of all draws.
        groups: of images that are drawn together.
        image_columns: what is known of each image.
        confidence: of each point.

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
