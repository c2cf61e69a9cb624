"""How runs are compared: the options of a report, and what they become for these runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from metrics.compare import MeasureLimit
from metrics.compare.groups import SPLIT_GROUPS
from metrics.compare.paired_runs import ImageChoice
from metrics.errors import InputError
from metrics.match_rule import MatchRule
from metrics.notes import Note
from metrics.pixel_measures import CLASS_MEASURES
from metrics.registry import did_you_mean
from metrics.resampling.statistics import statistic_names
from reports.elements import formatting
from reports.records.run import RunFolder

NO_GROUPS = "none"
"""Value of `ComparisonOptions.groups` that stands for no groups."""


@dataclass(frozen=True, slots=True)
class ComparisonOptions:
    """How runs are compared, and what is written.

    Attributes:
        resamples: number of bootstrap resamples of the images; 0 for no statistics.
        groups: groups of dependent images, which are resampled together: a mapping from image id to group, one of the
            truth's `image_columns`, or ``folder`` for the folder of each image's file; ``none`` for no groups. By default
            those that the splits of the data set keep together (``data.groups``), if there are any.
        images: ``same`` refuses runs on different truth; ``intersection`` uses the images with the same truth in all runs.
        limits: how much worse the new models may be than the baseline.
        baseline: names of the runs of the baseline models.
        png: write figures as PNG, too, which takes about as long as the whole page.
    """

    resamples: int = 1000
    groups: str | Mapping[object, object] | None = None
    images: ImageChoice = "same"
    limits: tuple[MeasureLimit, ...] = ()
    baseline: frozenset[str] = frozenset()
    png: bool = False


def with_groups(
    runs: Sequence[RunFolder], options: ComparisonOptions
) -> tuple[ComparisonOptions, tuple[Note, ...]]:
    """The options with the groups of the data set, unless others or none are chosen."""
    if options.groups == NO_GROUPS:
        return replace(options, groups=None), ()
    if options.groups is not None or not options.resamples:
        return options, ()
    for run in runs:
        catalog = run.truth.catalog
        column = catalog.image_columns.get(SPLIT_GROUPS)
        if column is not None:
            ids: Sequence[int | str] = catalog.image_ids
            text = (
                f"images are resampled in the {formatting.plural(len(set(column)), 'group')} that the splits of the data set keep "
                f"together ({SPLIT_GROUPS}); --groups {NO_GROUPS} resamples single images"
            )
            note = Note("split_groups", text, SPLIT_GROUPS, {"images": len(ids), "groups": len(set(column))})
            return replace(options, groups=dict(zip(ids, column, strict=True))), (note,)
    return options, ()


def check_measures(limits: Sequence[MeasureLimit], rule: MatchRule) -> None:
    """Check before anything is matched that the measure of each limit can be resampled.

    Raises:
        InputError: it cannot.
    """
    known = (*statistic_names(rule), *CLASS_MEASURES)
    for limit in limits:
        if limit.measure not in known:
            near = did_you_mean(limit.measure, known) or f"; known: {', '.join(known)}"
            raise InputError(f"--fail-on-regression: no measure {limit.measure!r} can be resampled{near}")
