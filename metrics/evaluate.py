"""From tables to numbers: match once, measure, and hold the result as tidy rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from metrics.errors import InputError
from metrics.matching import Matches, MatchRule, match
from metrics.measures import MEASURES, Value
from metrics.registry import did_you_mean
from metrics.tables import AnnotationTable, DetectionTable

if TYPE_CHECKING:
    from pathlib import Path

    import pandas

COCO_MEASURES = ("average_precision", "average_recall")

COCO_NAMES = (
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar_1",
    "ar_10",
    "ar_100",
    "ar_small",
    "ar_medium",
    "ar_large",
)
"""COCO's twelve, in its order."""

COLUMNS = ("measure", "name", "class", "area", "iou", "max_dets", "value", "higher_is_better")


@dataclass(frozen=True, slots=True)
class Row:
    """One number of an evaluation.

    Attributes:
        measure: the registered measure that gave it.
        name: short name, as a user types it: ``ap50``.
        class_name: the class; empty for all together.
        area: name of the area range.
        iou: the threshold, or ``0.50:0.95`` for several, or empty.
        max_dets: how many detections of an image and class counted; 0 where it does not matter.
        value: NaN where there is nothing to measure.
        higher_is_better: None where neither way is.
    """

    measure: str
    name: str
    class_name: str
    area: str
    iou: str
    max_dets: int
    value: float
    higher_is_better: bool | None

    def record(self) -> dict[str, Any]:
        """The row by the columns of a table, in their order."""
        return dict(
            zip(
                COLUMNS,
                (
                    self.measure,
                    self.name,
                    self.class_name,
                    self.area,
                    self.iou,
                    self.max_dets,
                    self.value,
                    self.higher_is_better,
                ),
                strict=True,
            )
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The numbers of one detector on one data set.

    Attributes:
        rows: all numbers; within a measure those for all classes come first.
        matches: what they were computed from, for curves and further measures.
    """

    rows: tuple[Row, ...]
    matches: Matches = field(repr=False)

    @cached_property
    def headline(self) -> dict[str, float]:
        """COCO's twelve numbers by short name; NaN where the reference prints -1, and where a rule of other ranges
        or thresholds does not have the number. ``ar_1``, ``ar_10``, ``ar_100`` are at the rule's own three max_dets,
        smallest first."""
        known = {row.name: row.value for row in self.rows if not row.class_name}
        cuts = self.matches.rule.max_dets
        for name, index in (("ar_1", 0), ("ar_10", 1), ("ar_100", -1)):
            if len(cuts) == 3:
                known[name] = known.get(f"ar_{cuts[index]}", math.nan)
        return {name: known.get(name, math.nan) for name in COCO_NAMES}

    def value(self, name: str, class_name: str = "") -> float:
        """The number of this short name, of all classes together or of one.

        Raises:
            InputError: there is no such number; the message has the nearest name that is.
        """
        for row in self.rows:
            if row.name == name and row.class_name == class_name:
                return row.value
        if class_name and class_name not in self.matches.classes:
            raise InputError(f"no class {class_name!r}{did_you_mean(class_name, self.matches.classes)}")
        names = [row.name for row in self.rows if row.class_name == class_name]
        raise InputError(f"no number {name!r}{did_you_mean(name, names) or '; known: ' + ', '.join(names)}")

    def to_frame(self) -> pandas.DataFrame:
        """The rows as a table of the columns `COLUMNS`."""
        import pandas

        return pandas.DataFrame([row.record() for row in self.rows], columns=list(COLUMNS))

    def summary(self) -> str:
        """COCO's twelve lines, as the reference prints them (-1 where nothing is asked for)."""
        rule = self.matches.rule
        cuts = rule.max_dets if len(rule.max_dets) == 3 else (rule.max_dets[-1],) * 3
        lines = []
        for name in COCO_NAMES:
            value = self.headline[name]
            is_precision = name.startswith("ap")
            area = name[3:] if name[3:] in ("small", "medium", "large") else "all"
            most = {"ar_1": cuts[0], "ar_10": cuts[1]}.get(name, cuts[-1])
            iou = {"ap50": "0.50", "ap75": "0.75"}.get(
                name, f"{rule.iou_thresholds[0]:.2f}:{rule.iou_thresholds[-1]:.2f}"
            )
            title = "Average Precision  (AP)" if is_precision else "Average Recall     (AR)"
            shown = -1.0 if math.isnan(value) else value
            lines.append(f" {title} @[ IoU={iou:<9} | area={area:>6s} | maxDets={most:>3d} ] = {shown:0.3f}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.summary()


def evaluate(
    truth: AnnotationTable,
    found: DetectionTable,
    measures: Sequence[str] = COCO_MEASURES,
    rule: MatchRule | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Evaluation:
    """Match detections with objects once, and measure.

    Args:
        truth: the objects.
        found: the detections, on the same catalog; may be empty.
        measures: names of registered measures.
        rule: when a detection has found an object; COCO's by default.
        settings: for measures that take some, by name: ``{"operating_point": {"score": 0.3}}``.

    Raises:
        InputError: the tables do not have the same catalog, or a measure is not known.
    """
    return measured(match(truth, found, rule), measures, settings)


def measured(
    matches: Matches,
    measures: Sequence[str] = COCO_MEASURES,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Evaluation:
    """`evaluate` for what is matched already."""
    rows = []
    for name in measures:
        measure = MEASURES[name]
        for value in measure(matches, **(settings or {}).get(name, {})):
            rows.append(_row(name, measure.better, value))
    return Evaluation(tuple(rows), matches)


def _row(measure: str, better: str, value: Value) -> Row:
    way = {"higher": True, "lower": False, "neither": None}[value.better or better]
    return Row(measure, value.name, value.class_name, value.area, value.iou, value.max_dets, value.value, way)
