"""From runs to a comparison: resamples that all runs share, and what follows for models, pairs and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from metrics.compare.comparison import Comparison, Method, PairDifference
from metrics.compare.comparison_rows import FEW_OBJECTS, ComparisonRows
from metrics.compare.groups import resolve_groups
from metrics.compare.paired_runs import ImageChoice, Runs, pair_runs
from metrics.compare.permutation_test import permutation_tests
from metrics.compare.run_replicates import RunReplicates
from metrics.compare.verdict import say_notes, say_verdict
from metrics.matching import MatchRule
from metrics.resampling.blocks import Statistic
from metrics.resampling.intervals import check_confidence
from metrics.resampling.statistics import named_statistic

FEW_IMAGES = 50
"""Fewer are too few to say anything of other images."""

FEW_GROUPS = 20
"""Fewer groups likewise (Cameron, Gelbach and Miller 2008: intervals from 5 to 30 clusters are too narrow)."""


def compare(
    runs: Runs,
    measure: str | Statistic = "ap",
    *,
    also: Sequence[str | Statistic] = (),
    resamples: int = 1000,
    seed: int = 0,
    groups: str | Sequence[object] | Mapping[object, object] | None = None,
    image_columns: Mapping[str, Sequence[object]] | None = None,
    images: ImageChoice = "same",
    rule: MatchRule | None = None,
    score: float = 0.5,
    confidence: float = 0.95,
    permutations: int = 1000,
) -> Comparison:
    """Which of several models is better on these images, by how much, and whether that is more than chance.

    All runs are measured on the same resamples of the images, so their differences are paired. A model with several
    runs (seeds) is a training recipe: its seeds are resampled too.

    Args:
        runs: by model: `Matches` or (truth, detections); a list of them, one for each seed.
        measure: what decides: ``ap``, ``ap50``, ``ap_small``, ``ar_100``, ``f1``, ``olrp``, ``cost_background`` ...
            (see `metrics.resampling.named_statistic`), or a `Statistic`.
        also: further measures, for the leaderboard and for pairs.
        resamples: B.
        seed: of all draws: the same seed gives the same comparison.
        groups: images that are alike (frames of a video, slices of a patient) are drawn together: for each image its
            group, a mapping from image id to group, or the name of one of `image_columns`.
        image_columns: what is known of each image. A column that names videos, patients or scenes and is not used as
            `groups` is warned of.
        images: ``same`` refuses runs with different truth; ``intersection`` compares on what they share.
        rule: for runs that are not matched yet; COCO's by default.
        score: at which precision, recall and F1 are read.
        confidence: of all intervals.
        permutations: label swaps between the leader and each other model, a second opinion; 0 for none.

    Raises:
        InputError: runs that cannot be compared, an unknown measure, or groups that do not fit the images.

    Example:
        >>> comparison = compare({"ssd": [(truth, ssd)], "fcos": [(truth, fcos)]}, "ap", also=["ap50"])
        >>> print(comparison.verdict)
    """
    check_confidence(confidence)
    paired = pair_runs(runs, rule, images)
    unit, units, notes = resolve_groups(groups, image_columns, paired.image_ids, paired.kept)
    asked: dict[str, Statistic] = {}
    for which in (measure, *also):
        statistic = which if isinstance(which, Statistic) else named_statistic(which, paired.rule, score)
        asked.setdefault(statistic.name, statistic)
    statistics = tuple(asked.values())
    replicates = RunReplicates(paired, statistics, unit, units, resamples, seed)
    models = replicates.order(statistics[0])
    method = Method(
        resamples=resamples,
        seed=seed,
        confidence=confidence,
        images=len(unit),
        units=units,
        unit="image" if groups is None else "group",
        permutations=permutations,
    )
    too_few = (
        len(unit) < FEW_IMAGES
        or bool(paired.first.positives[0].sum() < FEW_OBJECTS)
        or (groups is not None and units < FEW_GROUPS)
    )
    rows = ComparisonRows(replicates, models, confidence, too_few)
    differences = {statistic.name: rows.differences(statistic) for statistic in statistics}
    standings = {
        statistic.name: rows.standings(statistic, differences[statistic.name]) for statistic in statistics
    }
    class_values, class_pairs = rows.class_rows(statistics[0])
    swaps: list[PairDifference] = []
    if permutations and len(models) > 1:
        swaps, said = permutation_tests(replicates.rankings, models, statistics[0], unit, permutations, seed)
        notes += said
    several_seeds = all(len(of) > 1 for of in paired.matches.values())
    compared: Literal["checkpoints", "training recipes"] = (
        "training recipes" if several_seeds else "checkpoints"
    )
    deciding = statistics[0].name
    return Comparison(
        models=tuple(models),
        measure=deciding,
        measures=tuple(statistic.name for statistic in statistics),
        verdict=say_verdict(standings[deciding], differences[deciding], method, too_few, compared),
        notes=(*paired.notes, *notes, *say_notes(paired, method, too_few, compared, class_values)),
        badges=tuple(f"seed variance not measured: {m}" for m in models if len(paired.matches[m]) == 1),
        compared=compared,
        leaderboard=tuple(row for of in standings.values() for row in of),
        pairwise=(*(row for of in differences.values() for row in of), *swaps),
        class_values=tuple(class_values),
        class_pairs=tuple(class_pairs),
        method=method,
        replicates=MappingProxyType(
            {
                statistic.name: MappingProxyType(
                    {m: replicates.level(m, statistic).replicates for m in models}
                )
                for statistic in statistics
            }
        ),
    )
