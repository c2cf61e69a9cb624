"""What a study seeks: a measure, a weighted sum of measures, or several of these at once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metrics.errors import InputError
from metrics.evaluator import COCO_MEASURES, Evaluation, evaluate
from metrics.matching import MatchRule
from metrics.measures import MEASURES
from metrics.registry import did_you_mean
from metrics.resampling import Statistic, named_statistic
from metrics.resampling.blocks import Block, Lanes
from metrics.tables import AnnotationTable, DetectionTable

_TERM = re.compile(r"\s*([+-]?)\s*(?:(\d+(?:\.\d*)?|\.\d+)\s*\*\s*)?([A-Za-z_]\w*)\s*")


@dataclass(frozen=True, slots=True)
class Objective:
    """One number to be made as good as can be.

    Attributes:
        text: as it was typed: ``ap``, ``0.7*ap + 0.3*ap_small``.
        terms: (short name of a measure, weight).
        higher: whether more is better.
    """

    text: str
    terms: tuple[tuple[str, float], ...]
    higher: bool

    def __call__(self, numbers: Mapping[str, float]) -> float:
        """The weighted sum; NaN where a term is not defined.

        Args:
            numbers: at least those of the terms, by short name.
        """
        return sum(weight * numbers[name] for name, weight in self.terms)

    def statistic(self, rule: MatchRule) -> Statistic:
        """The same number as one that can be resampled.

        Raises:
            InputError: of a term no resamples can be made; it is named.
        """
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


@dataclass(frozen=True, slots=True)
class Objectives:
    """One or several objectives, and what must be measured for them.

    Attributes:
        each: at least one. Of several the first decides where one trial has to be chosen.
        measures: names of registered measures.
        rule: when a detection has found an object.
    """

    each: tuple[Objective, ...]
    measures: tuple[str, ...]
    rule: MatchRule

    @property
    def names(self) -> tuple[str, ...]:
        """Short names of all terms, each once."""
        return tuple(dict.fromkeys(name for objective in self.each for name in objective.names))

    def numbers(self, truth: AnnotationTable, found: DetectionTable) -> dict[str, float]:
        """What detections score, by short name."""
        evaluation = evaluate(truth, found, self.measures, self.rule)
        return {name: evaluation.value(name) for name in self.names}

    def values(self, numbers: Mapping[str, float]) -> tuple[float, ...]:
        """Of each objective.

        Raises:
            InputError: one is not defined.
        """
        values = tuple(objective(numbers) for objective in self.each)
        for objective, value in zip(self.each, values, strict=True):
            if math.isnan(value):
                nothing = ", ".join(name for name in objective.names if math.isnan(numbers[name]))
                raise InputError(f"{nothing}: not defined (NaN): there is nothing to measure")
        return values


def parse_objectives(
    texts: Sequence[str], truth: AnnotationTable, rule: MatchRule | None = None
) -> Objectives:
    """The objectives that the words after ``--objective`` name.

    Args:
        texts: each a measure's short name, or a weighted sum of some: ``ap + 0.5*ap_small``, ``ap - 0.1*olrp``.
        truth: of the split that is measured. Which numbers there are may depend on its classes.
        rule: when a detection has found an object; COCO's by default.

    Raises:
        InputError: no number of that name, a sum that cannot be read, or one whose terms pull in opposite directions.
    """
    rule = rule or MatchRule()
    nothing = DetectionTable.builder(truth.catalog).build()
    ways: dict[str, tuple[str, bool | None]] = {}
    sums = [(text, _terms(text)) for text in texts]
    wanted = {name for _, terms in sums for name, _ in terms}
    for measure in (*COCO_MEASURES, *(name for name in MEASURES.names() if name not in COCO_MEASURES)):
        if wanted <= ways.keys():
            break
        _remember(ways, measure, evaluate(truth, nothing, (measure,), rule))
    for name in sorted(wanted - ways.keys()):
        hint = did_you_mean(name, ways) or f"; known: {', '.join(ways)}"
        raise InputError(f"--objective: no number {name!r}{hint}")
    measures = tuple(dict.fromkeys(ways[name][0] for _, terms in sums for name, _ in terms))
    return Objectives(tuple(_objective(text, terms, ways) for text, terms in sums), measures, rule)


def _remember(ways: dict[str, tuple[str, bool | None]], measure: str, evaluation: Evaluation) -> None:
    for row in evaluation.rows:
        if not row.class_name:
            ways.setdefault(row.name, (measure, row.higher_is_better))


def _objective(
    text: str, terms: tuple[tuple[str, float], ...], ways: Mapping[str, tuple[str, bool | None]]
) -> Objective:
    directions = set()
    for name, weight in terms:
        higher = ways[name][1]
        if higher is None:
            raise InputError(f"--objective {text}: of {name} neither more nor less is better")
        directions.add(higher == (weight > 0))
    if len(directions) > 1:
        raise InputError(
            f"--objective {text}: its terms pull in opposite directions; a measure of which less is better is "
            "subtracted from one of which more is"
        )
    return Objective(text, terms, directions.pop())


def _terms(text: str) -> tuple[tuple[str, float], ...]:
    terms: list[tuple[str, float]] = []
    place = 0
    while place < len(text):
        term = _TERM.match(text, place)
        if term is None or (terms and not term[1]):
            break
        weight = float(term[2] or 1) * (-1 if term[1] == "-" else 1)
        if weight:
            terms.append((term[3], weight))
        place = term.end()
    if place < len(text) or not terms:
        raise InputError(
            f"--objective {text}: expected a measure or a sum, as in ap or 0.7*ap + 0.3*ap_small"
        )
    return tuple(terms)
