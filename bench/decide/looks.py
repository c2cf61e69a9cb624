"""A look at the differences between models on one split: estimates, tests and what they eliminate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metrics.compare.groups import SPLIT_GROUPS, resolve_groups
from metrics.compare.paired_runs import pair_runs
from metrics.compare.pairwise import too_few_data
from metrics.compare.run_replicates import RunReplicates
from metrics.designs.elimination import eliminated, pair_tests, requirement
from metrics.match_rule import MatchRule
from metrics.resampling.statistics import named_statistic
from reports.records.decision import Look, PairRecord, Standing
from reports.records.run import RunFolder

RESAMPLES = 1000


def take_look(
    runs: Mapping[str, Sequence[RunFolder]],
    split: str,
    *,
    number: int,
    measure: str,
    level: float,
    rivals: int,
    final: bool,
    epochs: int,
    spent: float,
    rule: MatchRule | None = None,
) -> Look:
    """Compare models on the images of a split.

    Args:
        runs: of each model, one per seed, all evaluated on the same images.
        split: ``val`` or ``test``.
        number: of the look at this split.
        measure: short name of a measure of which higher values are better.
        level: error rate of the look.
        rivals: number of other models that the decision began with.
        final: whether the models were trained for as long as any; otherwise nothing is eliminated.
        epochs: of the trainings.
        spent: seconds spent so far.
        rule: by which detections are matched.
    """
    rule = rule or MatchRule()
    paired = pair_runs({name: [run.matches(rule) for run in of] for name, of in runs.items()}, rule)
    columns = paired.truth.catalog.image_columns
    groups = SPLIT_GROUPS if SPLIT_GROUPS in columns else None
    unit, units, _ = resolve_groups(groups, columns if groups else None, paired.image_ids, paired.kept)
    statistic = named_statistic(measure, rule)
    replicates = RunReplicates(paired, (statistic,), unit, units, RESAMPLES, 0)
    estimates = {name: replicates.estimate(name, statistic) for name in replicates.order(statistic)}
    objects = int(paired.first.positives[0].sum())
    too_few = too_few_data(len(unit), objects, None if groups is None else units)
    pair_level = level / max(rivals, 1)
    tests = pair_tests(estimates, pair_level)
    standings = []
    for name, estimate in estimates.items():
        interval = estimate.interval(0.95)
        standings.append(
            Standing(
                name=name,
                value=estimate.value,
                low=interval.low,
                high=interval.high,
                seeds=replicates.seed_values(name, statistic),
                runs=tuple(run.result.name for run in runs[name]),
            )
        )
    records = []
    for test in tests:
        more = requirement(estimates[test.better] - estimates[test.worse], pair_level)
        records.append(
            PairRecord(
                better=test.better,
                worse=test.worse,
                delta=test.delta,
                low=test.low,
                high=test.high,
                p_value=test.p_value,
                images_se=test.images_se,
                seeds_se=test.seeds_se,
                more_seeds=more.seeds,
                more_images=more.images,
                more_of_both=more.both,
            )
        )
    return Look(
        number=number,
        split="test" if split == "test" else "val",
        epochs=epochs,
        images=len(unit),
        level=level,
        pair_level=pair_level,
        final=final,
        spent_seconds=spent,
        too_few=too_few,
        standings=tuple(standings),
        pairs=tuple(records),
        eliminated=tuple(eliminated(tests)) if final and not too_few else (),
    )
