"""Objectives of a study: a measure, a weighted sum of measures, or several of these."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.tune.predicted import Predicted
from metrics.compare import Comparison, compare
from metrics.compare.masks import MaskStatistic, compare_masks
from metrics.errors import InputError
from metrics.evaluator import COCO_MEASURES, Evaluation, evaluate
from metrics.match_rule import MatchRule
from metrics.measures import MEASURES
from metrics.pixel_measures import CLASS_MEASURES, PixelAreas
from metrics.registry import did_you_mean
from metrics.resampling import Statistic, named_statistic
from metrics.resampling.blocks import Block, Lanes
from metrics.tables import AnnotationTable, DetectionTable

MASK_MEASURES = tuple(CLASS_MEASURES)
"""Short names of the measures of label maps; higher is better."""

_TERM = re.compile(r"\s*([+-]?)\s*(?:(\d+(?:\.\d*)?|\.\d+)\s*\*\s*)?([A-Za-z_]\w*)\s*")


@dataclass(frozen=True, slots=True)
class Objective:
    """One number to optimize.

    Attributes:
        text: as it was given: ``ap``, ``0.7*ap + 0.3*ap_small``.
        terms: (short name of a measure, weight) pairs.
        higher: whether higher values are better.
    """

    text: str
    terms: tuple[tuple[str, float], ...]
    higher: bool

    def __call__(self, numbers: Mapping[str, float]) -> float:
        """The weighted sum; NaN where a term is undefined.

        Args:
            numbers: measures by short name; at least those of the terms.
        """
        return sum(weight * numbers[name] for name, weight in self.terms)

    def compare(
        self, runs: Mapping[str, Sequence[Predicted]], truth: AnnotationTable, rule: MatchRule, seed: int
    ) -> Comparison:
        """Compare models by the same number on resamples of the images.

        Args:
            runs: by model what each of its runs predicts.
            truth: of the images.
            rule: by which detections are matched.
            seed: of the resamples.

        Raises:
            InputError: a term, which is named, cannot be resampled, or boxes and label maps are measured in one sum.
        """
        if self.measures_masks:
            counts = {
                model: [each.masks for each in given if each.masks is not None]
                for model, given in runs.items()
            }
            return compare_masks(counts, self.mask_statistic(), also=(), seed=seed)
        tables = {model: [(truth, each.detections) for each in given] for model, given in runs.items()}
        return compare(tables, self.statistic(rule), rule=rule, seed=seed, permutations=0)

    def mask_statistic(self) -> MaskStatistic:
        """The same number as a statistic of label maps; all terms must be measures of these."""
        parts = [(weight, MaskStatistic.named(name)) for name, weight in self.terms]
        if len(parts) == 1 and parts[0][0] == 1:
            return parts[0][1]

        def of_classes(areas: PixelAreas) -> Lanes:
            return np.asarray(sum(weight * part.of_classes(areas) for weight, part in parts))

        def of_all(areas: PixelAreas) -> Lanes:
            return np.asarray(sum(weight * part.overall(areas) for weight, part in parts))

        return MaskStatistic(self.text, of_classes, of_all)

    def statistic(self, rule: MatchRule) -> Statistic:
        """The same number as a statistic of boxes that can be bootstrapped.

        Raises:
            InputError: a term, which is named, cannot be resampled, or is a measure of label maps.
        """
        if of_masks := [name for name in self.names if name in MASK_MEASURES]:
            raise InputError(
                f"{of_masks[0]}: measures label maps, and cannot be resampled together with boxes"
            )
        parts = [(weight, named_statistic(name, rule)) for name, weight in self.terms]

        def of_classes(block: Block) -> Lanes:
            return np.asarray(sum(weight * part.of_classes(block) for weight, part in parts))

        def of_all(block: Block) -> Lanes:
            return np.asarray(sum(weight * part.overall(block) for weight, part in parts))

        return Statistic(self.text, "higher" if self.higher else "lower", of_classes, of_all)

    @property
    def names(self) -> tuple[str, ...]:
        """Short names of the terms."""
        return tuple(name for name, _ in self.terms)

    @property
    def measures_masks(self) -> bool:
        """Whether all terms are measures of label maps."""
        return set(self.names) <= set(MASK_MEASURES)


@dataclass(frozen=True, slots=True)
class Objectives:
    """One or several objectives, and what has to be measured for them.

    Attributes:
        each: at least one; the first one decides where a single trial has to be chosen.
        measures: names of registered measures of detections.
        rule: by which detections are matched.
    """

    each: tuple[Objective, ...]
    measures: tuple[str, ...]
    rule: MatchRule

    @property
    def names(self) -> tuple[str, ...]:
        """Short names of all terms, each once."""
        return tuple(dict.fromkeys(name for objective in self.each for name in objective.names))

    @property
    def mask_names(self) -> tuple[str, ...]:
        """Short names of the terms that measure label maps."""
        return tuple(name for name in self.names if name in MASK_MEASURES)

    def numbers(self, truth: AnnotationTable, predicted: Predicted) -> dict[str, float]:
        """Measures of what a network predicts, by short name."""
        numbers = {}
        if self.measures:
            evaluation = evaluate(truth, predicted.detections, self.measures, self.rule)
            numbers = {name: evaluation.value(name) for name in self.names if name not in MASK_MEASURES}
        if self.mask_names:
            assert predicted.masks is not None
            rows = predicted.masks.overlap().rows()
            overall = {row.name: row.value for row in rows if not row.class_name}
            numbers |= {name: overall[name] for name in self.mask_names}
        return numbers

    def values(self, numbers: Mapping[str, float]) -> tuple[float, ...]:
        """Value of each objective.

        Raises:
            InputError: a value is undefined.
        """
        values = tuple(objective(numbers) for objective in self.each)
        for objective, value in zip(self.each, values, strict=True):
            if math.isnan(value):
                undefined = ", ".join(name for name in objective.names if math.isnan(numbers[name]))
                raise InputError(f"{undefined}: undefined (NaN): the split has no objects for it")
        return values


def default_objective(selects_by_masks: bool, has_masks: bool, tunes_post_processing: bool) -> str:
    """The objective of a study for which none is given.

    Args:
        selects_by_masks: whether the variant's best weights are those with the best mIoU.
        has_masks: whether the validation images have masks.
        tunes_post_processing: whether the space has settings of post-processing, by which boxes differ and label maps do not.
    """
    return "miou" if selects_by_masks and has_masks and not tunes_post_processing else "ap"


def parse_objectives(
    texts: Sequence[str], truth: AnnotationTable, rule: MatchRule | None = None, masks: bool = False
) -> Objectives:
    """The objectives that the words after ``--objective`` describe.

    Args:
        texts: each a measure's short name, or a weighted sum of measures: ``ap + 0.5*ap_small``, ``ap - 0.1*olrp``.
        truth: of the evaluated split; some measures depend on its classes.
        rule: by which detections are matched; COCO's by default.
        masks: whether the network predicts label maps, and the images have masks to compare them with.

    Raises:
        InputError: an unknown measure, one of label maps where there are none, an invalid sum, or one whose terms have opposite directions.
    """
    rule = rule or MatchRule()
    no_detections = DetectionTable.builder(truth.catalog).build()
    known: dict[str, tuple[str, bool | None]] = dict.fromkeys(MASK_MEASURES, ("", True)) if masks else {}
    sums = [(text, _terms(text)) for text in texts]
    wanted = {name for _, terms in sums for name, _ in terms}
    for measure in (*COCO_MEASURES, *(name for name in MEASURES.names() if name not in COCO_MEASURES)):
        if wanted <= known.keys():
            break
        _add_measures(known, measure, evaluate(truth, no_detections, (measure,), rule))
    for name in sorted(wanted - known.keys()):
        if name in MASK_MEASURES:
            raise InputError(
                f"--objective: {name} measures label maps, which need a variant for segmentation (unet) and a data set with masks; "
                "use a measure of boxes, such as ap"
            )
        hint = did_you_mean(name, known) or f"; known: {', '.join(known)}"
        raise InputError(f"--objective: unknown measure {name!r}{hint}")
    named = dict.fromkeys(known[name][0] for _, terms in sums for name, _ in terms)
    measures = tuple(name for name in named if name)
    return Objectives(tuple(_objective(text, terms, known) for text, terms in sums), measures, rule)


def _add_measures(known: dict[str, tuple[str, bool | None]], measure: str, evaluation: Evaluation) -> None:
    """Add (registered measure, direction) of each number in an evaluation, by short name."""
    for row in evaluation.rows:
        if not row.class_name:
            known.setdefault(row.name, (measure, row.higher_is_better))


def _objective(
    text: str, terms: tuple[tuple[str, float], ...], known: Mapping[str, tuple[str, bool | None]]
) -> Objective:
    directions = set()
    for name, weight in terms:
        higher = known[name][1]
        if higher is None:
            raise InputError(f"--objective {text}: {name} has no direction that is better")
        directions.add(higher == (weight > 0))
    if len(directions) > 1:
        raise InputError(
            f"--objective {text}: its terms have opposite directions; subtract a measure of which lower values are "
            "better from one of which higher values are"
        )
    return Objective(text, terms, directions.pop())


def _terms(text: str) -> tuple[tuple[str, float], ...]:
    terms: list[tuple[str, float]] = []
    position = 0
    while position < len(text):
        term = _TERM.match(text, position)
        if term is None or (terms and not term[1]):
            break
        weight = float(term[2] or 1) * (-1 if term[1] == "-" else 1)
        if weight:
            terms.append((term[3], weight))
        position = term.end()
    if position < len(text) or not terms:
        raise InputError(
            f"--objective {text}: expected a measure or a sum, as in ap or 0.7*ap + 0.3*ap_small"
        )
    return tuple(terms)
