"""Compare models on shared bootstrap resamples of the images: standings, pairwise differences and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from metrics.compare.comparison import Comparison
from metrics.compare.groups import Groups, resolve_groups
from metrics.compare.inference import FEW_OBJECTS, ComparisonRows
from metrics.compare.paired_runs import ImageChoice, Runs, pair_runs
from metrics.compare.permutation_test import permutation_tests
from metrics.compare.rows import Method, PairDifference, Subject
from metrics.compare.run_replicates import RunReplicates
from metrics.compare.verdict import Verdict, reliability_notes
from metrics.match_rule import MatchRule
from metrics.resampling.intervals import check_confidence
from metrics.resampling.replicates import Statistic
from metrics.resampling.statistics import named_statistic

FEW_IMAGES = 50
"""With fewer images no difference is decisive."""

FEW_GROUPS = 20
"""With fewer groups no difference is decisive: intervals from 5 to 30 clusters are too narrow (Cameron, Gelbach and Miller
2008)."""


def compare(
    runs: Runs,
    measure: str | Statistic = "ap",
    *,
    also: Sequence[str | Statistic] = (),
    resamples: int = 1000,
    seed: int = 0,
    groups: Groups = None,
    image_columns: Mapping[str, Sequence[object]] | None = None,
    images: ImageChoice = "same",
    rule: MatchRule | None = None,
    score: float = 0.5,
    confidence: float = 0.95,
    permutations: int = 1000,
) -> Comparison:
    """Compare models on the same images: which is better, by how much, and with what confidence.

    All runs are evaluated on the same bootstrap resamples of the images, so differences are paired. A model with several
    runs (seeds) is a training recipe: its seeds are resampled too.

    Args:
        runs: by model: `Matches` or (truth, detections), or a list of them with one entry per seed.
        measure: the deciding measure: ``ap``, ``ap50``, ``ap_small``, ``ar_100``, ``f1``, ``olrp``, ``cost_background`` ...
            (see `metrics.resampling.named_statistic`), or a `Statistic`.
        also: additional measures for the leaderboard and the pairs.
        resamples: number of bootstrap replicates B.
        seed: of the random number generator; the same seed gives the same comparison.
        groups: resample groups of dependent images (frames of a video, slices of a patient) as a whole: one group per
            image, a mapping from image id to group, or the name of one of `image_columns`.
        image_columns: attributes of the images, one value per image.
        images: ``same`` rejects runs with different ground truth; ``intersection`` compares on the images whose ground truth
            is the same in all runs.
        rule: match rule for runs given as tables; COCO's by default.
        score: score threshold of precision, recall and F1.
        confidence: level of all intervals.
        permutations: number of permutations in the tests of the leader against each other model; 0 for no tests.

    Raises:
        InputError: runs that cannot be compared, an unknown measure, or groups that do not fit the images.

    Warns:
        InputWarning: one of `image_columns` seems to group dependent images, but `groups` is not given.

    Example:
        >>> comparison = compare({"ssd": [(truth, ssd)], "fcos": [(truth, fcos)]}, "ap", also=["ap50"])
        >>> print(comparison.verdict)
    """
    check_confidence(confidence)
    paired = pair_runs(runs, rule, images)
    unit, units, group_notes = resolve_groups(groups, image_columns, paired.image_ids, paired.kept)
    by_name: dict[str, Statistic] = {}
    for given in (measure, *also):
        statistic = given if isinstance(given, Statistic) else named_statistic(given, paired.rule, score)
        by_name.setdefault(statistic.name, statistic)
    statistics = tuple(by_name.values())
    deciding = statistics[0]
    replicates = RunReplicates(paired, statistics, unit, units, resamples, seed)
    models = replicates.order(deciding)
    method = Method(
        resamples=resamples,
        seed=seed,
        confidence=confidence,
        images=len(unit),
        units=units,
        unit="image" if groups is None else "group",
        permutations=permutations,
    )
    objects = int(paired.first.positives[0].sum())
    too_few = too_few_data(len(unit), objects, None if groups is None else units)
    rows = ComparisonRows(replicates, models, confidence, too_few)
    differences = {statistic.name: rows.differences(statistic) for statistic in statistics}
    standings = {
        statistic.name: rows.standings(statistic, differences[statistic.name]) for statistic in statistics
    }
    class_values, class_pairs = rows.class_rows(deciding)
    tests: list[PairDifference] = []
    notes = [*paired.notes, *group_notes]
    if permutations and len(models) > 1:
        tests, test_notes = permutation_tests(replicates.rankings, models, deciding, unit, permutations, seed)
        notes += test_notes
    seeds = {model: len(matches) for model, matches in paired.matches.items()}
    notes += reliability_notes(seeds, objects, method, too_few, class_values, rows.rare_share(deciding))
    compared: Subject = "training recipes" if min(seeds.values()) > 1 else "single runs"
    return Comparison(
        models=tuple(models),
        measure=deciding.name,
        measures=tuple(by_name),
        verdict=Verdict.of(standings[deciding.name], differences[deciding.name], method, too_few, compared),
        notes=tuple(notes),
        compared=compared,
        leaderboard=tuple(row for rows in standings.values() for row in rows),
        pairwise=(*(row for rows in differences.values() for row in rows), *tests),
        class_values=tuple(class_values),
        class_pairs=tuple(class_pairs),
        method=method,
        replicates=MappingProxyType(
            {
                statistic.name: MappingProxyType(
                    {model: replicates.estimate(model, statistic).replicates for model in models}
                )
                for statistic in statistics
            }
        ),
    )


def too_few_data(images: int, objects: int, groups: int | None) -> bool:
    """Whether there are too few images, objects or groups (None: images are not grouped) for a decision."""
    return images < FEW_IMAGES or objects < FEW_OBJECTS or (groups is not None and groups < FEW_GROUPS)
