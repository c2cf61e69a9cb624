"""The numbers of one detector on one data set: tidy rows, and COCO's twelve in front."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metrics.errors import InputError
from metrics.matching import Matches
from metrics.registry import did_you_mean

if TYPE_CHECKING:
    import pandas

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
"""Columns of `Evaluation` as a table; what they hold is told by `Row`."""

SHOWN_CLASSES = 20
"""So many classes are printed; all are in the table."""


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

    def record(self) -> tuple[str, str, str, str, str, int, float, bool | None]:
        """The row in the order of `COLUMNS`."""
        return (
            self.measure,
            self.name,
            self.class_name,
            self.area,
            self.iou,
            self.max_dets,
            self.value,
            self.higher_is_better,
        )


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """The numbers of one detector on one data set.

    Attributes:
        rows: all numbers; within a measure those for all classes together come first.
        matches: what they were computed from: for curves and further measures.
    """

    rows: tuple[Row, ...]
    matches: Matches

    @cached_property
    def headline(self) -> dict[str, float]:
        """COCO's twelve numbers by short name.

        NaN where the reference prints -1, and where there is no such number because another rule or other measures
        were asked for: with max_dets of 1, 10 and 500 there is an ``ar_500`` among the rows, and no ``ar_100``.
        """
        known = {row.name: row.value for row in self.rows if not row.class_name}
        return {name: known.get(name, math.nan) for name in COCO_NAMES}

    def value(self, name: str, class_name: str = "") -> float:
        """The number of a short name.

        Args:
            name: as in the column `name`.
            class_name: the class; empty for all together.

        Raises:
            InputError: there is no such number; the message has the nearest name that there is.
        """
        for row in self.rows:
            if row.name == name and row.class_name == class_name:
                return row.value
        if class_name and class_name not in self.matches.classes:
            raise InputError(f"no class {class_name!r}{did_you_mean(class_name, self.matches.classes)}")
        names = list(dict.fromkeys(row.name for row in self.rows if row.class_name == class_name))
        raise InputError(f"no number {name!r}{did_you_mean(name, names) or '; known: ' + ', '.join(names)}")

    def to_frame(self) -> pandas.DataFrame:
        """The rows as a table with the columns `COLUMNS`."""
        import pandas

        return pandas.DataFrame([row.record() for row in self.rows], columns=list(COLUMNS))

    def to_csv(self, path: str | Path | None = None) -> str:
        """The rows as CSV, with a line of `COLUMNS` first; numbers to the last digit, empty for NaN and None.

        Args:
            path: where to write it too; the file is whole or absent.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in self.rows:
            writer.writerow(["" if cell is None or cell != cell else cell for cell in row.record()])
        return _written(text.getvalue(), path)

    def to_json(self, path: str | Path | None = None) -> str:
        """Headline, rule and rows as one JSON object; null for NaN.

        Args:
            path: where to write it too; the file is whole or absent.
        """
        rule = self.matches.rule
        document = {
            "headline": {name: _null(value) for name, value in self.headline.items()},
            "rule": {
                "iou_thresholds": list(rule.iou_thresholds),
                "area_ranges": {name: list(limits) for name, limits in rule.area_ranges.items()},
                "max_dets": list(rule.max_dets),
                "by_class": rule.by_class,
            },
            "rows": [dict(zip(COLUMNS, map(_null, row.record()), strict=True)) for row in self.rows],
        }
        return _written(json.dumps(document, indent=1, allow_nan=False) + "\n", path)

    def summary(self) -> str:
        """COCO's twelve lines as the reference prints them: -1 for what is not defined."""
        rule = self.matches.rule
        first, last = rule.max_dets[0], rule.max_dets[-1]
        cuts = {"ar_1": first, "ar_10": rule.max_dets[1] if len(rule.max_dets) == 3 else last}
        known = {row.name: row.value for row in self.rows if not row.class_name}
        span = f"{rule.iou_thresholds[0]:0.2f}:{rule.iou_thresholds[-1]:0.2f}"
        lines = []
        for name in COCO_NAMES:
            title = "Average Precision  (AP)" if name.startswith("ap") else "Average Recall     (AR)"
            iou = {"ap50": "0.50", "ap75": "0.75"}.get(name, span)
            area = name[3:] if name.endswith(("small", "medium", "large")) else "all"
            most = cuts.get(name, last)
            value = known.get(f"ar_{most}" if name in ("ar_1", "ar_10", "ar_100") else name, math.nan)
            shown = -1.0 if math.isnan(value) else value
            lines.append(f" {title} @[ IoU={iou:<9} | area={area:>6s} | maxDets={most:>3d} ] = {shown:0.3f}")
        return "\n".join(lines)

    def __str__(self) -> str:
        """The headline, what else was measured, and a line for each class."""
        parts = [self.summary()] if any(row.name in COCO_NAMES for row in self.rows) else []
        others = [row for row in self.rows if not row.class_name and row.measure not in _COCO_MEASURES]
        if others:
            cells = [[row.measure, row.name, row.iou, row.area, _shown(row.value)] for row in others]
            parts.append(_table(["measure", "name", "IoU", "area", "value"], cells))
        names = list(dict.fromkeys(row.name for row in self.rows if row.class_name))
        names = [name for name in ("ap", "ap50", "ar_100") if name in names] or names[:4]
        if names and len(self.matches.classes) > 1:
            values = {(row.class_name, row.name): row.value for row in self.rows if row.class_name}
            objects = self.matches.positives[0]
            shown = sorted(range(len(objects)), key=lambda label: -objects[label])[:SHOWN_CLASSES]
            classes = self.matches.classes
            cells = [
                [
                    classes[k],
                    str(objects[k]),
                    *(_shown(values.get((classes[k], name), math.nan)) for name in names),
                ]
                for k in shown
            ]
            parts.append(_table(["class", "objects", *names], cells))
            if len(classes) > len(shown):
                parts[-1] += f"\n({len(classes) - len(shown)} rarer classes: see to_frame())"
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        first = [row for row in self.rows if not row.class_name][:3]
        numbers = ", ".join(f"{row.name}={_shown(row.value)}" for row in first)
        catalog = self.matches.truth.catalog
        return (
            f"Evaluation({numbers}; {len(self.rows)} numbers of {len(self.matches.detections)} detections in"
            f" {len(catalog.image_ids)} images, {len(self.matches.classes)} classes)"
        )


_COCO_MEASURES = ("average_precision", "average_recall")


def _null(value: Any) -> Any:
    return None if value != value else value


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side; words to the left, and what follows the first number to the right."""
    widths = [max(len(line[index]) for line in (heads, *rows)) for index in range(len(heads))]
    is_number = [all(row[index].strip("-.0123456789") == "" for row in rows) for index in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, is_number, strict=True)
        ).rstrip()
        for line in (heads, *rows)
    )


def _written(text: str, path: str | Path | None) -> str:
    if path is not None:
        whole = Path(path)
        part = whole.with_name(f".{whole.name}.{os.getpid()}.part")
        try:
            part.write_text(text, encoding="utf-8", newline="")
            part.replace(whole)
        finally:
            part.unlink(missing_ok=True)
    return text
