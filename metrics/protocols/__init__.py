"""Protocols: the rules by which benchmarks score, one file each, named as the user names the protocol.

A protocol matches in its own way and computes its own numbers. `@protocol` registers the function that matches; the file
also says which numbers follow from the matches, and what the ground truth must have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from metrics.errors import InputError
from metrics.evaluation import Evaluation, make_rows
from metrics.evaluator_rules import EvaluatorRules, rule_steps
from metrics.matching import Matches
from metrics.measures import Better, Value
from metrics.registry import Registry
from metrics.tables import AnnotationTable, DetectionTable

__all__ = ["PROTOCOLS", "Protocol", "chosen_protocol", "protocol"]

Thresholds = tuple[float, ...]


def needs_nothing(truth: AnnotationTable) -> str:
    """Any ground truth will do."""
    return ""


@dataclass(frozen=True, slots=True)
class Protocol:
    """The rules by which a benchmark scores.

    Attributes:
        name: the name of its file.
        match: match the detections by its rules at these IoU thresholds.
        values: the protocol's numbers, first those over all classes.
        iou_thresholds: its own.
        any_iou: whether other thresholds make sense.
        better: direction of its numbers, where they do not say.
        lacks: say what the ground truth lacks for this protocol; empty where nothing.
        source: the publication or program that defines it.
        summary: one line.
        year: of Pascal VOC, whose development kit has a folder for each.
        rules: of an evaluator that differs from COCO in few rules, which can be shown one by one; else None.
    """

    name: str
    match: Callable[[AnnotationTable, DetectionTable, Thresholds], Matches]
    values: Callable[[Matches], Sequence[Value]]
    iou_thresholds: Thresholds
    source: str
    summary: str
    any_iou: bool = False
    better: Better = "higher"
    lacks: Callable[[AnnotationTable], str] = needs_nothing
    year: str = ""
    rules: EvaluatorRules | None = None

    def __call__(
        self,
        truth: AnnotationTable,
        detections: DetectionTable,
        iou_thresholds: Thresholds | None = None,
        steps: bool = False,
    ) -> Evaluation:
        """Evaluate by this protocol.

        Args:
            truth: ground truth.
            detections: on the same catalog; may be empty.
            iou_thresholds: rising; by default those of the benchmark.
            steps: also show what each rule changes that is not COCO's; see `Protocol.rules`.

        Raises:
            InputError: the tables have different catalogs, the ground truth lacks what the protocol needs, or the protocol
                has no other thresholds, or no steps.
        """
        if iou_thresholds is not None and not self.any_iou:
            raise InputError(
                f"protocol {self.name!r}: its IoU thresholds are fixed; leave them out, or use Pascal VOC's or COCO's protocol"
            )
        if steps and self.rules is None:
            known = ", ".join(name for name, of in PROTOCOLS.items() if of.rules)
            raise InputError(
                f"protocol {self.name!r}: its rules cannot be shown one by one, starting from COCO's; use {known}"
            )
        if lacking := self.lacks(truth):
            raise InputError(f"protocol {self.name!r}: the ground truth {lacking}")
        matches = self.match(truth, detections, iou_thresholds or self.iou_thresholds)
        rows = make_rows(self.name, self.values(matches), self.better)
        shown = rule_steps(truth, detections, self.rules) if steps and self.rules else ()
        return Evaluation(tuple(rows), matches, self.name, tuple(shown))


PROTOCOLS: Registry[Protocol] = Registry("protocol", __name__)


def protocol(
    name: str,
    values: Callable[[Matches], Sequence[Value]],
    iou_thresholds: Thresholds,
    source: str,
    *,
    any_iou: bool = False,
    better: Better = "higher",
    lacks: Callable[[AnnotationTable], str] = needs_nothing,
    year: str = "",
    rules: EvaluatorRules | None = None,
) -> Callable[
    [Callable[[AnnotationTable, DetectionTable, Thresholds], Matches]],
    Callable[[AnnotationTable, DetectionTable, Thresholds], Matches],
]:
    """Register the decorated function, which matches, as the protocol `name`; see `Protocol`.

    The first line of its docstring is the summary.
    """

    def register(
        match: Callable[[AnnotationTable, DetectionTable, Thresholds], Matches],
    ) -> Callable[[AnnotationTable, DetectionTable, Thresholds], Matches]:
        summary = (match.__doc__ or "").strip().partition("\n")[0]
        entry = Protocol(
            name, match, values, iou_thresholds, source, summary, any_iou, better, lacks, year, rules
        )
        PROTOCOLS.register(name, entry)
        return match

    return register


def chosen_protocol(truth: AnnotationTable) -> str | None:
    """The protocol that the ground truth asks for: ``lvis`` where it has federated annotations; else None."""
    return "lvis" if {"negative", "not_exhaustive"} & set(truth.catalog.image_classes) else None
