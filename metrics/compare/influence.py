"""Leave-one-out influence: how the difference of two models changes when each image is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metrics.compare.groups import Groups, resolve_groups
from metrics.compare.paired_runs import Run, pair_runs
from metrics.match_rule import MatchRule
from metrics.plurals import plural
from metrics.registry import UnknownName
from metrics.resampling.replicates import Statistic, leave_out, weigh
from metrics.resampling.run_rankings import RunRankings
from metrics.resampling.statistics import named_statistic
from metrics.tables import ImageId

if TYPE_CHECKING:
    import pandas

Floats = NDArray[np.float64]

GRID = 64
"""Number of subsets that `_reversal_size` evaluates at once: one block of resamples."""


@dataclass(frozen=True, eq=False, repr=False)
class Influence:
    """Leave-one-out influence of each image, or group of images, on a difference.

    Attributes:
        model_a: a model.
        model_b: another model.
        measure: short name.
        delta: value of a minus value of b on all images.
        image_ids: (I,) ids.
        unit: (I,) resampling unit of each image.
        without: (U,) the difference with each unit left out; NaN where undefined.
        influence: (U,) ``delta - without``: positive where the unit raises the difference.
        undone_by: number of units to leave out, most influential first, until the difference is 0 or has the other sign; 0
            if it is 0 already, None if leaving out all units that support it does not suffice. A smaller set may
            suffice, because units are ranked by their individual influence.
    """

    model_a: str
    model_b: str
    measure: str
    delta: float
    image_ids: tuple[ImageId, ...]
    unit: NDArray[np.intp]
    without: Floats
    influence: Floats
    undone_by: int | None

    def __repr__(self) -> str:
        return (
            f"Influence({self.model_a} - {self.model_b}: {self.measure} {self.delta:+.4f}; {plural(len(self.image_ids), 'image')},"
            f" undone by {self.undone_by})"
        )

    @property
    def of_images(self) -> Floats:
        """(I,) influence of the unit of each image."""
        return self.influence[self.unit]

    def top(self, count: int = 20) -> tuple[ImageId, ...]:
        """Return the images whose units support the sign of the difference, most influential first; ties by order.

        Args:
            count: maximum number; images that oppose the sign or have no influence are left out.
        """
        strength = np.nan_to_num(self.of_images) * (1.0 if self.delta >= 0 else -1.0)
        order = np.argsort(-strength, kind="stable")[:count]
        return tuple(self.image_ids[image] for image in order if strength[image] > 0)

    def to_frame(self) -> pandas.DataFrame:
        """Return a row per image: image_id, unit, influence, delta_without; highest influence first."""
        import pandas

        frame = pandas.DataFrame(
            {
                "image_id": list(self.image_ids),
                "unit": self.unit,
                "influence": self.of_images,
                "delta_without": self.without[self.unit],
            }
        )
        return frame.sort_values("influence", ascending=False, kind="stable", ignore_index=True)


def influence(
    runs: Mapping[str, Run | Sequence[Run]],
    model_a: str,
    model_b: str,
    measure: str | Statistic = "ap",
    *,
    groups: Groups = None,
    image_columns: Mapping[str, Sequence[object]] | None = None,
    rule: MatchRule | None = None,
    score: float = 0.5,
) -> Influence:
    """Compute the leave-one-out influence of each image on the difference of two models, without matching again.

    Args:
        runs: as for `metrics.compare.compare`; only the runs of the two models are used.
        model_a: a model.
        model_b: another model.
        measure: short name, or a `Statistic`.
        groups: leave out whole groups; see `metrics.compare.compare`.
        image_columns: attributes of the images.
        rule: match rule for runs given as tables.
        score: score threshold of precision, recall and F1.

    Raises:
        InputError: a model is not among the runs, or the runs cannot be compared.
    """
    for model in (model_a, model_b):
        if model not in runs:
            raise UnknownName("model", model, runs)
    paired = pair_runs({model_a: runs[model_a], model_b: runs[model_b]}, rule)
    unit, _, _ = resolve_groups(groups, image_columns, paired.image_ids, paired.kept)
    statistic = measure if isinstance(measure, Statistic) else named_statistic(measure, paired.rule, score)
    rankings = {model: [RunRankings(one) for one in runs] for model, runs in paired.matches.items()}

    def mean_value(model: str, weights: NDArray[np.uint8]) -> Floats:
        return np.asarray(
            np.mean([weigh(one, weights, [statistic])[0][0] for one in rankings[model]], axis=0)
        )

    def difference(weights: NDArray[np.uint8]) -> Floats:
        return mean_value(model_a, weights) - mean_value(model_b, weights)

    def leave_each_out(model: str) -> Floats:
        return np.asarray(
            np.mean([leave_out(one, unit, [statistic])[0][0] for one in rankings[model]], axis=0)
        )

    delta = float(difference(np.ones((1, len(unit)), np.uint8))[0])
    without = leave_each_out(model_a) - leave_each_out(model_b)
    influences = delta - without
    return Influence(
        model_a,
        model_b,
        statistic.name,
        delta,
        paired.image_ids,
        unit,
        without,
        influences,
        _reversal_size(delta, influences, unit, difference),
    )


def _reversal_size(
    delta: float,
    influences: Floats,
    unit: NDArray[np.intp],
    difference: Callable[[NDArray[np.uint8]], Floats],
) -> int | None:
    """Compute `Influence.undone_by`: leave out the k most influential units, refining a grid of k."""
    if not delta > 0 and not delta < 0:
        return 0
    sign = 1.0 if delta > 0 else -1.0
    order = np.argsort(-np.nan_to_num(sign * influences), kind="stable")
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    low, high = 0, int(np.count_nonzero(np.nan_to_num(sign * influences) > 0))
    reached: int | None = None
    while high > low:
        counts = np.unique(np.linspace(low + 1, high, min(GRID, high - low)).astype(np.intp))
        gone = sign * difference((rank[unit][None, :] >= counts[:, None]).astype(np.uint8)) <= 0
        if not gone.any():
            break
        first = int(np.argmax(gone))
        reached = int(counts[first])
        low, high = (int(counts[first - 1]) if first else low), reached - 1
    return reached
