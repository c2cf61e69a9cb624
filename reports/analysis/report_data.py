"""The runs of a report, read and scored once: what every section looks at."""

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
from metrics.compare.paired_runs import ImageChoice
from metrics.errors import InputError, InputWarning
from metrics.matching import MatchRule
from metrics.measures.error_types import KINDS
from metrics.notes import Note
from metrics.tables import AnnotationTable
from reports.analysis.evaluated_run import EvaluatedRun
from reports.analysis.models import Model, group_models
from reports.analysis.shared_images import on_shared_images
from reports.elements import formatting
from reports.records.run import DataFacts, RunFolder, RunResult

Floats = NDArray[np.float64]
Images = Callable[[Any], NDArray[np.uint8]]
"""From an image's id in the truth to its pixels: (H, W, 3) uint8 RGB. May raise where the image is gone."""


ALSO = (
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar_100",
    "olrp",
    *(f"cost_{kind}" for kind in KINDS),
)
"""Measures that get an interval beside AP."""


@dataclass(frozen=True, slots=True)
class ComparisonOptions:
    """How runs are compared.

    Attributes:
        resamples: how often the images are resampled for intervals; 0 for none.
        groups: images that are alike are drawn together: a group by image id, the name of one of the truth's
            `image_columns`, or ``folder``, that of each image's file.
        images: ``same`` refuses runs on different truth; ``intersection`` compares on the images whose truth all share.
        limits: how much worse the other models may be than the old ones.
        baseline: names of the runs whose models the limits are held against.
    """

    resamples: int = 1000
    groups: str | Mapping[object, object] | None = None
    images: ImageChoice = "same"
    limits: tuple[MeasureLimit, ...] = ()
    baseline: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class ReportData:
    """Models on the same truth, the best first.

    Attributes:
        models: at least one.
        scored: for each model its runs, in the model's order.
        images: where pictures come from; None where nobody knows.
        show_paths: whether absolute paths are shown in full.
        notes: what had to be decided to put them on one page.
        options: how they are compared.
    """

    models: tuple[Model, ...]
    scored: tuple[tuple[EvaluatedRun, ...], ...]
    images: Images | None = None
    show_paths: bool = False
    notes: tuple[str, ...] = ()
    options: ComparisonOptions = field(default_factory=ComparisonOptions)

    @classmethod
    def from_runs(
        cls,
        runs: Sequence[RunFolder],
        images: Images | None = None,
        show_paths: bool = False,
        options: ComparisonOptions | None = None,
    ) -> ReportData:
        """Match and evaluate `runs`.

        Raises:
            InputError: no run, two of one name, or runs on different truth while `options.images` is "same".
        """
        options = options or ComparisonOptions()
        left_out: tuple[str, ...] = ()
        if options.images == "intersection":
            runs, left_out = on_shared_images(runs)
        models = group_models(runs)
        rule, notes = _rule([run.result for model in models for run in model.runs])
        pairs = [(model, tuple(EvaluatedRun(run, rule) for run in model.runs)) for model in models]
        # By what the detections give, should a result.json say otherwise.
        pairs.sort(key=lambda pair: _best_first([one.evaluation.headline["ap"] for one in pair[1]]))
        models = tuple(replace(model, number=number) for number, (model, _) in enumerate(pairs))
        return cls(
            models, tuple(scored for _, scored in pairs), images, show_paths, left_out + notes, options
        )

    @cached_property
    def statistics(self) -> Statistics | None:
        """Intervals, and differences of pairs on the same resamples; None where none were asked for or nothing is
        there to be found.
        """
        if not self.options.resamples or not self.scored[0][0].outcome.valid.any():
            return None
        runs = {
            model.label: [one.matches for one in scored]
            for model, scored in zip(self.models, self.scored, strict=True)
        }
        rule = self.scored[0][0].rule
        also = [name.replace("ar_100", f"ar_{rule.max_dets[-1]}") for name in ALSO]
        also += [limit.measure for limit in self.options.limits]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)  # it says again what the notes say
            return compare(
                runs,
                "ap",
                also=also,
                resamples=self.options.resamples,
                groups=self.options.groups,
                image_columns=self.image_columns,
            )

    @cached_property
    def influence(self) -> Influence | None:
        """What each image does to the difference of the two best models; None where there are no statistics on two."""
        if self.statistics is None or len(self.models) < 2:
            return None
        runs = {
            model.label: [one.matches for one in scored]
            for model, scored in zip(self.models[:2], self.scored[:2], strict=True)
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            return influence(
                runs,
                self.models[0].label,
                self.models[1].label,
                "ap",
                groups=self.options.groups,
                image_columns=self.image_columns,
            )

    @cached_property
    def bands(self) -> Bands | None:
        """Bands of curves from the resamples of `statistics`; None where there are none."""
        if self.statistics is None:
            return None
        runs = {
            model.label: [one.matches for one in scored]
            for model, scored in zip(self.models, self.scored, strict=True)
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            return curve_bands(
                runs,
                resamples=self.options.resamples,
                groups=self.options.groups,
                image_columns=self.image_columns,
            )

    @property
    def image_columns(self) -> dict[str, Sequence[object]]:
        """What is known of each image, and the folder that its file is in."""
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
        """What the gate says of each new model, by each limit; none where no limit was set.

        A new model is held against the old one, or, of several old ones, against that of its variant.

        Raises:
            InputError: there is no old or no new model, it is not plain which is which, or nothing can be measured.
        """
        if not self.options.limits:
            return []
        if self.statistics is None:
            raise InputError(
                "limits: nothing was resampled here, so no difference has an interval; see the page"
            )
        names = [{result.name for result in model.results} for model in self.models]
        old = [model for model, of in zip(self.models, names, strict=True) if of & self.options.baseline]
        new = [model for model, of in zip(self.models, names, strict=True) if not of & self.options.baseline]
        if len(old) > 1 and not new:
            raise InputError(
                f"limits: {formatting.join_words([one.label for one in old])} are all of the first path, and so all old; give the "
                "new ones in a path of their own"
            )
        if not old or not new:
            raise InputError(
                "limits: there must be an old model and a new one, but these runs are all of one; runs that differ in"
                " nothing but their seed are one model, unless they lie in different folders"
            )
        pairs = []
        for model in new:
            like = old if len(old) == 1 else [one for one in old if _variant(one) == _variant(model)]
            if len(like) != 1:
                said = formatting.join_words([one.label for one in old])
                raise InputError(f"limits: which of {said} is the old {model.label}? compare the two alone")
            pairs.append((like[0].label, model.label))
        return apply_gate(self.statistics, pairs, self.options.limits)

    def standings(self, measure: str) -> list[Standing]:
        """Each model's value and interval by a measure, in the models' order; only where there are statistics."""
        assert self.statistics is not None
        return [self.statistics.standing(model.label, measure) for model in self.models]

    def intervals(self, measures: Sequence[str]) -> list[Floats] | None:
        """For each model (R, 2), its interval by each of these measures; None where there are no statistics."""
        if self.statistics is None:
            return None
        rows = [self.standings(measure) for measure in measures]
        return [
            np.array([(of[number].ci_low, of[number].ci_high) for of in rows])
            for number in range(len(self.models))
        ]

    @property
    def truth(self) -> AnnotationTable:
        """What is there: the same for all."""
        return self.models[0].runs[0].truth

    @property
    def data(self) -> DataFacts:
        """The images that all were evaluated on."""
        return self.models[0].runs[0].result.data

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What the models are called, as it may be shown."""
        return tuple(formatting.printable(model.label) for model in self.models)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """What the classes are called, as it may be shown."""
        return tuple(formatting.printable(name) for name in self.truth.catalog.classes)

    @cached_property
    def results(self) -> tuple[RunResult, ...]:
        """Of all runs, model by model."""
        return tuple(result for model in self.models for result in model.results)

    @property
    def runs(self) -> list[EvaluatedRun]:
        """All runs, model by model."""
        return [scored for model in self.scored for scored in model]

    @property
    def resamples(self) -> int:
        """How often the images are resampled; 0 for not at all."""
        return self.options.resamples

    @property
    def folders(self) -> list[RunFolder]:
        """Of all runs, model by model; cut to the images that are compared."""
        return [scored.run for scored in self.runs]

    @property
    def seeds(self) -> int:
        """The most runs that a model has."""
        return max(len(model.runs) for model in self.models)

    @property
    def marks_said(self) -> str:
        """What a figure's small dots and bars are."""
        if self.statistics is None:
            return self.dots_said
        bars = f"Bars are {self.statistics.method.confidence:.0%} intervals."
        few = self.too_few or any(row.too_few for row in self.statistics.class_values)
        pale = " Pale ones are a hint at most: too few images or objects." * few
        return f"{bars}{pale} {self.dots_said}".strip()

    @property
    def too_few(self) -> bool:
        """Whether there are too few images, groups or objects to say anything of other images."""
        return self.statistics is not None and any(row.too_few for row in self.statistics.leaderboard)

    @property
    def bands_said(self) -> str:
        """What the shade around a figure's lines is; empty where it has none."""
        if self.statistics is None:
            return ""
        return f"Shades are {self.statistics.method.confidence:.0%} intervals, each point for itself{', of too few images: a hint at most' * self.too_few}."

    @property
    def dots_said(self) -> str:
        """What a figure's small dots are; empty where it has none."""
        return "The small dots are single seeds." if self.seeds > 1 else ""

    def headline(self, name: str) -> list[Floats]:
        """For each model (S,): one of the twelve numbers of each of its runs, as a fraction; NaN: not defined."""
        return [np.array([scored.evaluation.headline[name] for scored in model]) for model in self.scored]

    def private(self, text: str) -> str:
        """`text` as it may be shown: literally, and without the paths that a reader need not know."""
        return formatting.printable(text if self.show_paths else formatting.hide_paths(text))


def _variant(model: Model) -> str:
    return model.results[0].variant


def _best_first(values: Sequence[float]) -> tuple[bool, float]:
    middle = float(np.mean(values))
    return math.isnan(middle), 0.0 if math.isnan(middle) else -middle


def _rule(results: Sequence[RunResult]) -> tuple[MatchRule, tuple[str, ...]]:
    """The rule that the runs were evaluated under, or COCO's where they do not agree on one."""
    given = [result.config.get("evaluate", {}) for result in results]
    cuts = [section.get("max_dets") if isinstance(section, dict) else None for section in given]
    usual = list(MatchRule().max_dets)
    if all(cut is None or cut == cuts[0] for cut in cuts) and isinstance(cuts[0], list) and len(cuts[0]) == 3:
        return MatchRule(max_dets=tuple(cuts[0])), ()
    if any(cut not in (None, usual) for cut in cuts):
        return MatchRule(), (
            f"The runs were evaluated with different evaluate.max_dets; this page uses {usual} for all of them.",
        )
    return MatchRule(), ()


def mean(values: Floats) -> float:
    """The mean of the seeds; NaN where one of them is not defined."""
    return float(values.mean()) if len(values) else math.nan
