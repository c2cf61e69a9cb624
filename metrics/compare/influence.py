"""The images that decide: how the difference of two models changes when each is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metrics.compare.groups import resolve_groups
from metrics.compare.paired_runs import Run, pair_runs
from metrics.matching import MatchRule
from metrics.registry import UnknownName
from metrics.resampling.blocks import RunRankings, Statistic, leave_out, weigh
from metrics.resampling.statistics import named_statistic
from metrics.tables import ImageId

if TYPE_CHECKING:
    import pandas

Floats = NDArray[np.float64]

GRID = 64
"""So many choices of what to leave out are measured at once."""


@dataclass(frozen=True, eq=False)
class Influence:
    """What each image, or group of images, does to a difference.

    Attributes:
        model_a: a model.
        model_b: another.
        measure: short name.
        delta: value of a less value of b, on all images.
        image_ids: (I,) ids.
        unit: (I,) each image's unit.
        without: (U,) the difference without each unit; NaN where nothing is left.
        influence: (U,) ``delta - without``: above 0 where the unit speaks for a (for b where less is better).
        undone_by: so many units, those that speak most for the difference, need to be left out for it to be gone or
            turned round; 0 where there is none to begin with, None where leaving out all of those does not do it.
            Fewer may suffice, for units are taken by what each does alone.
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

    @property
    def of_images(self) -> Floats:
        """(I,) influence of each image's unit."""
        return self.influence[self.unit]

    def top(self, count: int = 20) -> tuple[ImageId, ...]:
        """The images whose units speak most for the sign of the difference, strongest first; ties by place.

        Args:
            count: at most so many; images that speak against it, or not at all, are left out.
        """
        strength = np.nan_to_num(self.of_images) * (1.0 if self.delta >= 0 else -1.0)
        order = np.argsort(-strength, kind="stable")[:count]
        return tuple(self.image_ids[image] for image in order if strength[image] > 0)

    def to_frame(self) -> pandas.DataFrame:
        """A row for each image: image_id, unit, influence, delta_without; strongest for a first."""
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
    groups: str | Sequence[object] | Mapping[object, object] | None = None,
    image_columns: Mapping[str, Sequence[object]] | None = None,
    rule: MatchRule | None = None,
    score: float = 0.5,
) -> Influence:
    """Leave each image out in turn and measure two models again, without matching again.

    Args:
        runs: as `metrics.compare.compare` takes them; of these only the two models' are read.
        model_a: a model.
        model_b: another.
        measure: short name, or a `Statistic`.
        groups: leave out whole groups: see `metrics.compare.compare`.
        image_columns: likewise.
        rule: for runs that are not matched yet.
        score: at which precision, recall and F1 are read.

    Raises:
        InputError: a model is not among the runs, or they cannot be compared.
    """
    for model in (model_a, model_b):
        if model not in runs:
            raise UnknownName("model", model, runs)
    paired = pair_runs({model_a: runs[model_a], model_b: runs[model_b]}, rule)
    unit, _, _ = resolve_groups(groups, image_columns, paired.image_ids, paired.kept)
    statistic = measure if isinstance(measure, Statistic) else named_statistic(measure, paired.rule, score)
    rankings = {model: [RunRankings(one) for one in of] for model, of in paired.matches.items()}

    def mean_of(model: str, weights: NDArray[np.uint8]) -> Floats:
        return np.asarray(
            np.mean([weigh(one, weights, [statistic])[0][0] for one in rankings[model]], axis=0)
        )

    def difference(weights: NDArray[np.uint8]) -> Floats:
        return mean_of(model_a, weights) - mean_of(model_b, weights)

    def without_each(model: str) -> Floats:
        return np.asarray(
            np.mean([leave_out(one, unit, [statistic])[0][0] for one in rankings[model]], axis=0)
        )

    delta = float(difference(np.ones((1, len(unit)), np.uint8))[0])
    without = without_each(model_a) - without_each(model_b)
    moved = delta - without
    return Influence(
        model_a,
        model_b,
        statistic.name,
        delta,
        paired.image_ids,
        unit,
        without,
        moved,
        _undone_by(delta, moved, unit, difference),
    )


def _undone_by(
    delta: float, moved: Floats, unit: NDArray[np.intp], difference: Callable[[NDArray[np.uint8]], Floats]
) -> int | None:
    """See `Influence.undone_by`: leave out the strongest k units, for a grid of k that grows finer."""
    if not delta > 0 and not delta < 0:
        return 0
    sign = 1.0 if delta > 0 else -1.0
    order = np.argsort(-np.nan_to_num(sign * moved), kind="stable")
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    low, high = 0, int(np.count_nonzero(np.nan_to_num(sign * moved) > 0))
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
