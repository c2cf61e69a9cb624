"""The data of a report: its runs, evaluated once and grouped into models, and the statistics of their comparison."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.compare import (
    Bands,
    GateResult,
    Influence,
    MeasureLimit,
    Standing,
    apply_gate,
    compare,
    curve_bands,
    groups_by_folder,
    influence,
)
from metrics.compare import Comparison as Statistics
from metrics.compare.groups import unused_group_columns
from metrics.errors import InputError, InputWarning
from metrics.mask_counts import MaskCounts
from metrics.match_rule import MatchRule
from metrics.matching import Matches
from metrics.measures.error_types import KINDS
from metrics.notes import Note
from metrics.pixel_measures import CLASS_MEASURES
from metrics.tables import AnnotationTable
from reports.analysis.comparison_options import ComparisonOptions, check_measures, with_groups
from reports.analysis.evaluated_run import EvaluatedRun
from reports.analysis.gate_pairs import gate_pairs
from reports.analysis.label_map_comparison import compare_label_maps, label_map_counts
from reports.analysis.models import Model, check_comparable, group_models
from reports.analysis.shared_images import on_shared_images
from reports.analysis.training_fairness import training_notes
from reports.analysis.training_sizes import separate_sizes
from reports.elements import formatting
from reports.records.run import DataFacts, RunFolder, RunResult

Floats = NDArray[np.float64]
Images = Callable[[Any], NDArray[np.uint8]]
"""Loads an image by its id in the truth: (H, W, 3) uint8 RGB; or its label map. May raise if the image is missing."""


@dataclass(frozen=True, eq=False)
class ReportData:
    """Models on the same truth, the best first.

    Attributes:
        models: at least one.
        evaluated: the runs of each model.
        images: loads the images of the gallery; None if they are not available.
        show_paths: whether to show absolute paths in full.
        notes: remarks on how the runs were made comparable.
        options: how they are compared.
        label_maps: loads the label maps of the truth by the id of the image, (H, W) uint8, see `metrics.pixel_labels`; None if
            they are not available.
        smaller: runs of the same models on fewer training images (``data.train_images``), which are not compared as models.
    """

    models: tuple[Model, ...]
    evaluated: tuple[tuple[EvaluatedRun, ...], ...]
    images: Images | None = None
    show_paths: bool = False
    notes: tuple[Note, ...] = ()
    options: ComparisonOptions = field(default_factory=ComparisonOptions)
    label_maps: Images | None = None
    smaller: tuple[RunFolder, ...] = ()

    @classmethod
    def from_runs(
        cls,
        runs: Sequence[RunFolder],
        images: Images | None = None,
        show_paths: bool = False,
        options: ComparisonOptions | None = None,
        label_maps: Images | None = None,
        names: Mapping[str, str] | None = None,
    ) -> ReportData:
        """Match and evaluate `runs`; see the attributes for the other arguments.

        `names` has the label of the model of a run, by the run's name; those of `model_labels` by default.

        Raises:
            InputError: no run, two of one name, runs on different truth while `options.images` is "same", or a limit on a
                measure that cannot be resampled.
        """
        options = options or ComparisonOptions()
        image_notes: tuple[Note, ...] = ()
        if options.images == "intersection":
            runs, image_notes = on_shared_images(runs)
        options, group_notes = with_groups(runs, options)
        check_comparable(runs)
        runs, smaller = separate_sizes(runs)
        models = group_models(runs, names)
        rule, rule_notes = _rule([run.result for model in models for run in model.runs])
        check_measures(options.limits, rule)
        pairs = [(model, tuple(EvaluatedRun(run, rule) for run in model.runs)) for model in models]
        # The order follows the detections, even if a result.json has other numbers.
        pairs.sort(key=lambda pair: _best_first([run.evaluation.headline["ap"] for run in pair[1]]))
        models = tuple(replace(model, number=number) for number, (model, _) in enumerate(pairs))
        return cls(
            models,
            tuple(runs for _, runs in pairs),
            images,
            show_paths,
            image_notes + group_notes + rule_notes,
            options,
            label_maps,
            tuple(smaller),
        )

    @cached_property
    def statistics(self) -> Statistics | None:
        """Intervals and pairwise differences on shared resamples; None without resampling or valid ground truth."""
        if not self.options.resamples or not self.evaluated[0][0].outcome.valid.any():
            return None
        rule = self.evaluated[0][0].rule
        gated = [limit.measure for limit in self.options.limits if limit.measure not in CLASS_MEASURES]
        also = [*_measures(rule), *gated]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)  # the notes have the same text
            return compare(
                self.matches(),
                "ap",
                also=also,
                resamples=self.options.resamples,
                groups=self.options.groups,
                image_columns=self.image_columns,
            )

    @cached_property
    def mask_counts(self) -> dict[int, tuple[MaskCounts, ...]]:
        """Counts of pixels of each run, by the number of the model; of models of which every run has label maps."""
        return label_map_counts(self.evaluated)

    @cached_property
    def mask_statistics(self) -> Statistics | None:
        """Intervals and pairwise differences by label maps; None without resampling, label maps or compared pixels.

        Raises:
            InputError: the label maps of the models cannot be compared.
        """
        if not self.mask_counts:
            return None
        return compare_label_maps(
            {self.models[number].label: counts for number, counts in self.mask_counts.items()},
            self.options.resamples,
            self.truth.catalog.image_ids,
            self.options.groups,
            self.image_columns,
        )

    @cached_property
    def influence(self) -> Influence | None:
        """The influence of each image on the difference between the two best models; None without statistics on two."""
        if self.statistics is None or len(self.models) < 2:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            return influence(
                self.matches(2),
                self.models[0].label,
                self.models[1].label,
                "ap",
                groups=self.options.groups,
                image_columns=self.image_columns,
            )

    @cached_property
    def bands(self) -> Bands | None:
        """Confidence bands of curves from the resamples of `statistics`; None without statistics."""
        if self.statistics is None:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            return curve_bands(
                self.matches(),
                resamples=self.options.resamples,
                groups=self.options.groups,
                image_columns=self.image_columns,
            )

    @cached_property
    def training_notes(self) -> list[Note]:
        """What makes the training of these models unfair to compare; see `training_notes`."""
        return training_notes(self.models)

    @property
    def image_columns(self) -> dict[str, Sequence[object]]:
        """The attributes of each image, and the folder of its file."""
        catalog = self.truth.catalog
        return {"folder": groups_by_folder(catalog), **catalog.image_columns}

    @property
    def unused_columns(self) -> list[Note]:
        """A note for each column that groups dependent images, where no grouping is used."""
        if self.options.groups is not None:
            return []
        return unused_group_columns(self.image_columns, np.arange(len(self.truth.catalog.image_ids)))

    @cached_property
    def gate_results(self) -> list[GateResult]:
        """The results of the gate for each new model and limit; empty without limits.

        A new model is compared with the baseline model, or, of several, with that of the same variant.

        Raises:
            InputError: there is no baseline or no new model, the pairs are ambiguous, or there are no statistics.
        """
        if not self.options.limits:
            return []
        of_masks = [limit for limit in self.options.limits if limit.measure in CLASS_MEASURES]
        if self.statistics is None and len(of_masks) < len(self.options.limits):
            raise InputError(
                "--fail-on-regression: there are no confidence intervals, because there is no valid ground truth or resampling is off; use "
                "--resamples above 0"
            )
        pairs = gate_pairs(self.models, self.options.baseline)
        return [
            result
            for pair in pairs
            for limit in self.options.limits
            for result in apply_gate(self._gate_statistics(limit, pair), [pair], [limit])
        ]

    def _gate_statistics(self, limit: MeasureLimit, pair: tuple[str, str]) -> Statistics:
        """The comparison that has the measure of a limit."""
        if limit.measure not in CLASS_MEASURES:
            assert self.statistics is not None
            return self.statistics
        known = {self.models[number].label for number in self.mask_counts}
        without = [label for label in pair if label not in known]
        if without:
            raise InputError(
                f"--fail-on-regression: {limit} is of label maps, which the runs of {without[0]} do not have; use a measure of "
                "detections"
            )
        if self.mask_statistics is None:
            raise InputError(
                f"--fail-on-regression: there are no confidence intervals of {limit}, because no pixel is compared or resampling is "
                "off; use --resamples above 0"
            )
        return self.mask_statistics

    def standings(self, measure: str) -> list[Standing]:
        """Value and interval of each model by a measure; requires statistics."""
        assert self.statistics is not None
        return [self.statistics.standing(model.label, measure) for model in self.models]

    def intervals(self, measures: Sequence[str]) -> list[Floats] | None:
        """(R, 2) intervals of each model by these measures; None without statistics."""
        if self.statistics is None:
            return None
        rows = [self.standings(measure) for measure in measures]
        return [
            np.array([(of[number].ci_low, of[number].ci_high) for of in rows])
            for number in range(len(self.models))
        ]

    @property
    def truth(self) -> AnnotationTable:
        """The ground truth, the same for all runs."""
        return self.models[0].runs[0].truth

    @property
    def data(self) -> DataFacts:
        """Facts about the data set, the same for all runs."""
        return self.models[0].runs[0].result.data

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Labels of the models as printable text."""
        return tuple(formatting.printable(model.label) for model in self.models)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes as printable text."""
        return tuple(formatting.printable(name) for name in self.truth.catalog.classes)

    @cached_property
    def results(self) -> tuple[RunResult, ...]:
        """Results of all runs, model by model."""
        return tuple(result for model in self.models for result in model.results)

    @cached_property
    def timed_hardware(self) -> frozenset[tuple[str, str]]:
        """Device and processor of the runs whose training was timed; empty for detections from a file."""
        return frozenset(
            (result.environment.device, result.environment.cpu)
            for result in self.results
            if result.budget.train_seconds is not None
        )

    @property
    def runs(self) -> list[EvaluatedRun]:
        """All runs, model by model."""
        return [run for model in self.evaluated for run in model]

    @property
    def folders(self) -> list[RunFolder]:
        """The run folders, model by model, reduced to the images that are compared."""
        return [run.run for run in self.runs]

    @property
    def seeds(self) -> int:
        """The largest number of runs of a model."""
        return max(len(model.runs) for model in self.models)

    @property
    def markers_caption(self) -> str:
        """Explanation of a figure's bars and small dots."""
        if self.statistics is None:
            return self.seeds_caption
        bars = f"Bars are {self.statistics.method.confidence:.0%} confidence intervals."
        few = self.too_few or any(row.too_few for row in self.statistics.class_values)
        pale = "Pale bars rest on too few images or objects." if few else ""
        return " ".join(filter(None, (bars, pale, self.seeds_caption)))

    @property
    def too_few(self) -> bool:
        """Whether there are too few images, groups or objects to generalize to other images."""
        return self.statistics is not None and any(row.too_few for row in self.statistics.leaderboard)

    @property
    def bands_caption(self) -> str:
        """Explanation of the shaded areas; empty without statistics."""
        if self.statistics is None:
            return ""
        few = "; they rest on too few images" if self.too_few else ""
        return (
            f"Shaded areas are pointwise {self.statistics.method.confidence:.0%} confidence intervals{few}."
        )

    @property
    def seeds_caption(self) -> str:
        """Explanation of a figure's small dots; empty with one seed."""
        return "Small dots are single seeds." if self.seeds > 1 else ""

    def headline(self, name: str) -> list[Floats]:
        """One of COCO's twelve numbers for each run of each model, (S,) fractions; NaN if not defined."""
        return [np.array([run.evaluation.headline[name] for run in model]) for model in self.evaluated]

    def private(self, text: str) -> str:
        """Convert `text` to printable text, without absolute paths unless `show_paths`."""
        return formatting.printable(text if self.show_paths else formatting.hide_paths(text))

    def matches(self, count: int | None = None) -> dict[str, list[Matches]]:
        """Return, by label, the matches of each run of the first `count` models, by default of all."""
        return {
            model.label: [run.matches for run in runs]
            for model, runs in list(zip(self.models, self.evaluated, strict=True))[:count]
        }


def _best_first(values: Sequence[float]) -> tuple[bool, float]:
    ap = float(np.mean(values))
    return math.isnan(ap), 0.0 if math.isnan(ap) else -ap


def _rule(results: Sequence[RunResult]) -> tuple[MatchRule, tuple[Note, ...]]:
    """The matching rule of the runs, or COCO's if they differ."""
    sections = [result.config.get("evaluate", {}) for result in results]
    cuts = [section.get("max_dets") if isinstance(section, dict) else None for section in sections]
    default = list(MatchRule().max_dets)
    if all(cut is None or cut == cuts[0] for cut in cuts) and isinstance(cuts[0], list) and len(cuts[0]) == 3:
        return MatchRule(max_dets=tuple(cuts[0])), ()
    if any(cut not in (None, default) for cut in cuts):
        text = f"the runs were evaluated with different evaluate.max_dets; this page uses {default} for all of them"
        return MatchRule(), (Note("max_dets", text),)
    return MatchRule(), ()


def _measures(rule: MatchRule) -> tuple[str, ...]:
    """Measures that have confidence intervals, besides AP."""
    areas = ("ap_small", "ap_medium", "ap_large")
    return ("ap50", "ap75", *areas, f"ar_{rule.max_dets[-1]}", "olrp", *(f"cost_{kind}" for kind in KINDS))


def mean(values: Floats) -> float:
    """Return the mean over seeds; NaN if any value is not defined."""
    return float(values.mean()) if len(values) else math.nan
