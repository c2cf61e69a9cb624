"""The runs of a report, read and scored once: what every section looks at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.matching import MatchRule
from metrics.tables import AnnotationTable
from reports import shown
from reports.models import Model, group_models
from reports.results import DataFacts, RunFolder, RunResult
from reports.scored import Scored

Floats = NDArray[np.float64]
Images = Callable[[Any], NDArray[np.uint8]]
"""From an image's id in the truth to its pixels: (H, W, 3) uint8 RGB. May raise where the image is gone."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models on the same truth, the best first.

    Attributes:
        models: at least one.
        scored: for each model its runs, in the model's order.
        images: where pictures come from; None where nobody knows.
        show_paths: whether absolute paths are shown in full.
        notes: what had to be decided to put them on one page.
    """

    models: tuple[Model, ...]
    scored: tuple[tuple[Scored, ...], ...]
    images: Images | None = None
    show_paths: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, runs: Sequence[RunFolder], images: Images | None = None, show_paths: bool = False
    ) -> Comparison:
        """Match and evaluate `runs`.

        Raises:
            InputError: no run, two of one name, or runs on different truth.
        """
        models = group_models(runs)
        rule, notes = _rule([run.result for model in models for run in model.runs])
        scored = tuple(tuple(Scored(run, rule) for run in model.runs) for model in models)
        return cls(models, scored, images, show_paths, notes)

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
        return tuple(shown.literal(model.label) for model in self.models)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """What the classes are called, as it may be shown."""
        return tuple(shown.literal(name) for name in self.truth.catalog.classes)

    @cached_property
    def results(self) -> tuple[RunResult, ...]:
        """Of all runs, model by model."""
        return tuple(result for model in self.models for result in model.results)

    @property
    def runs(self) -> list[Scored]:
        """All runs, model by model."""
        return [scored for model in self.scored for scored in model]

    @property
    def seeds(self) -> int:
        """The most runs that a model has."""
        return max(len(model.runs) for model in self.models)

    @property
    def dots_said(self) -> str:
        """What a figure's small dots are; empty where it has none."""
        return "The small dots are single seeds." if self.seeds > 1 else ""

    def headline(self, name: str) -> list[Floats]:
        """For each model (S,): one of the twelve numbers of each of its runs, as a fraction; NaN: not defined."""
        return [np.array([scored.evaluation.headline[name] for scored in model]) for model in self.scored]

    def private(self, text: str) -> str:
        """`text` as it may be shown: literally, and without the paths that a reader need not know."""
        return shown.literal(text if self.show_paths else shown.without_paths(text))


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
