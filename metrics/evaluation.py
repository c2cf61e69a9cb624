"""The results of evaluating one detector on one data set: tidy rows, with COCO's twelve numbers first."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metrics.atomic_files import atomic_write
from metrics.errors import InputError
from metrics.evaluator_rules import STEP_VALUES, RuleStep
from metrics.matching import Matches
from metrics.measures import Better, Value
from metrics.messages import printable
from metrics.number_text import fixed, with_minus_sign
from metrics.plurals import plural
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
"""COCO's twelve numbers, in its order."""

COLUMNS = ("measure", "name", "class", "area", "iou", "max_dets", "value", "higher_is_better")
"""The attributes of a `Row`, as `Row.record` and `Evaluation.to_json` have them."""

TABLE_COLUMNS = (
    "run_id", "model_id", "seed", "dataset", "split", "domain", "slice_axis", "slice_value", "class_id", "class_name",
    "metric", "iou", "area", "max_dets", "threshold", "value", "ci_low", "ci_high", "ci_method", "se",
    "n_img", "n_gt", "n_det", "unit", "higher_is_better",
)  # fmt: skip
"""Columns of `Evaluation.to_frame`, of `Evaluation.to_csv` and of a run's ``metrics.csv``; empty where not applicable."""

_INTEGERS = ("seed", "class_id", "max_dets", "n_gt", "n_det")

PRINTED_CLASSES = 20
"""Number of classes that are printed; all are in the table."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value of an evaluation.

    Attributes:
        measure: the registered measure that computed it.
        name: short name, as on the command line: ``ap50``.
        class_name: the class; empty for all classes.
        area: name of the area range.
        iou: the IoU threshold, or ``0.50:0.95`` for several, or empty.
        max_dets: limit on the detections of an image and class; 0 where it does not apply.
        value: NaN where undefined.
        higher_is_better: None where neither direction is better.
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
        """The attributes in the order of `COLUMNS`."""
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


def make_rows(measure: str, values: Sequence[Value], better: Better) -> list[Row]:
    """The values of a measure, or of a protocol, as rows.

    Args:
        measure: its name.
        values: in their order.
        better: direction of those that do not have their own.
    """
    directions = {"higher": True, "lower": False, "neither": None}
    return [
        Row(
            measure,
            value.name,
            value.class_name,
            value.area,
            value.iou,
            value.max_dets,
            float(value.value),
            directions[value.better or better],
        )
        for value in values
    ]


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """The results of one detector on one data set.

    Attributes:
        rows: all values; within a measure those of all classes together come first.
        matches: from which they were computed; for curves and further measures.
        protocol: name of the protocol that chose the rule and the numbers; empty where there is none.
        steps: average precision after each rule in which the protocol differs from COCO's, where it was asked for.
    """

    rows: tuple[Row, ...]
    matches: Matches
    protocol: str = ""
    steps: tuple[RuleStep, ...] = ()

    @cached_property
    def headline(self) -> dict[str, float]:
        """COCO's twelve numbers by short name.

        NaN where pycocotools prints -1, and where the rule or the measures have no such number: with max_dets of 1, 10
        and 500 the rows have ``ar_500`` and not ``ar_100``.
        """
        known = {row.name: row.value for row in self.rows if not row.class_name}
        return {name: known.get(name, math.nan) for name in COCO_NAMES}

    def value(self, name: str, class_name: str = "") -> float:
        """The value with this short name.

        Args:
            name: ``ap50``; see `Row.name`.
            class_name: the class; empty for all classes.

        Raises:
            InputError: no such value or class; the message has the most similar name.
        """
        for row in self.rows:
            if row.name == name and row.class_name == class_name:
                return row.value
        if class_name and class_name not in self.matches.classes:
            raise InputError(f"no class {class_name!r}{did_you_mean(class_name, self.matches.classes)}")
        names = list(dict.fromkeys(row.name for row in self.rows if row.class_name == class_name))
        raise InputError(f"no measure {name!r}{did_you_mean(name, names) or '; known: ' + ', '.join(names)}")

    def table_rows(self) -> list[dict[str, Any]]:
        """One dict per value, with those of `TABLE_COLUMNS` that an evaluation has.

        ``n_gt`` and ``n_det`` count the objects (neither crowd nor ignored) and detections of the class.
        """
        truth, detections = self.matches.truth, self.matches.detections
        classes = truth.catalog.classes
        label = {name: index for index, name in enumerate(classes)}
        counted = ~(truth.crowd | truth.ignored)
        objects = np.bincount(truth.label[counted], minlength=len(classes)).tolist()
        found = np.bincount(detections.label, minlength=len(classes)).tolist()
        total = {"class_id": None, "n_gt": sum(objects), "n_det": sum(found)}
        unknown = {"class_id": None, "n_gt": 0, "n_det": 0}  # without classes, ``all``
        by_class = {
            name: {"class_id": truth.catalog.class_ids[k], "n_gt": objects[k], "n_det": found[k]}
            for name, k in label.items()
        } | {"": total}
        return [
            {
                "class_name": row.class_name or None,
                "metric": row.name,
                "iou": row.iou,
                "area": row.area,
                "max_dets": row.max_dets or None,
                "value": row.value,
                "n_img": len(truth.catalog.image_ids),
                "unit": "fraction",
                "higher_is_better": row.higher_is_better,
                **by_class.get(row.class_name, unknown),
            }
            for row in self.rows
        ]

    def to_frame(self) -> pandas.DataFrame:
        """One row per value, with the columns `TABLE_COLUMNS`."""
        import pandas

        frame = pandas.DataFrame(self.table_rows()).reindex(columns=list(TABLE_COLUMNS))
        return frame.astype(dict.fromkeys(_INTEGERS, "Int64"))

    def to_csv(self, path: str | Path | None = None) -> str:
        """One line per value, with a header of `TABLE_COLUMNS`: the columns of a run's ``metrics.csv``.

        Args:
            path: file to write; it is replaced only when the new one is complete.

        Returns:
            The text. Numbers have all digits; NaN and None are empty.
        """
        return write_text(csv_text(self.table_rows()), path)

    def to_json(self, path: str | Path | None = None) -> str:
        """Headline, rule and rows as one JSON object; NaN is null.

        Args:
            path: file to write; it is replaced only when the new one is complete.

        Returns:
            The text.
        """
        return write_text(json.dumps(self.document(), indent=1, allow_nan=False) + "\n", path)

    def document(self) -> dict[str, Any]:
        """Headline, rule and rows as JSON values."""
        rule = self.matches.rule
        return {
            "headline": {name: null(value) for name, value in self.headline.items()},
            "rule": {
                "iou_thresholds": list(rule.iou_thresholds),
                "area_ranges": {name: list(limits) for name, limits in rule.area_ranges.items()},
                "max_dets": list(rule.max_dets),
                "by_class": rule.by_class,
                "candidates": rule.candidates,
                "ties": rule.ties,
            },
            "protocol": self.protocol or None,
            "steps": [
                {"rule": step.rule, **dict(zip(STEP_VALUES, map(null, step.values), strict=True))}
                for step in self.steps
            ],
            "rows": [dict(zip(COLUMNS, map(null, row.record()), strict=True)) for row in self.rows],
        }

    def summary(self) -> str:
        """COCO's twelve lines as pycocotools prints them, with -1 for undefined numbers."""
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
            number = -1.0 if math.isnan(value) else value
            lines.append(f" {title} @[ IoU={iou:<9} | area={area:>6s} | maxDets={most:>3d} ] = {number:0.3f}")
        return "\n".join(lines)

    def __str__(self) -> str:
        """The headline, the other measures, and a line for each class."""
        if self.protocol:
            return self._protocol_text()
        parts = [self.summary()] if any(row.name in COCO_NAMES for row in self.rows) else []
        others = [row for row in self.rows if not row.class_name and row.measure not in _COCO_MEASURES]
        if others:
            cells = [[row.measure, row.name, row.iou, row.area, fixed(row.value)] for row in others]
            parts.append(format_table(["measure", "name", "IoU", "area", "value"], cells))
        names = list(dict.fromkeys(row.name for row in self.rows if row.class_name))
        names = [name for name in ("ap", "ap50", "ar_100") if name in names] or names[:4]
        if names and len(self.matches.classes) > 1:
            parts.append(self._class_table(names, 3))
        return "\n\n".join(parts)

    def _class_table(self, names: Sequence[str], digits: int) -> str:
        """Values with these names of the most frequent classes."""
        values = {(row.class_name, row.name): row.value for row in self.rows if row.class_name}
        objects = self.matches.positives[0]
        printed = sorted(range(len(objects)), key=lambda label: -objects[label])[:PRINTED_CLASSES]
        classes = self.matches.classes
        cells = [
            [
                classes[k],
                str(objects[k]),
                *(fixed(values.get((classes[k], name), math.nan), digits) for name in names),
            ]
            for k in printed
        ]
        text = format_table(["class", "objects", *names], cells)
        if len(classes) > len(printed):
            text += f"\n({plural(len(classes) - len(printed), 'rarer class')}: see to_frame())"
        return text

    def _protocol_text(self) -> str:
        """The numbers of a protocol with six digits, those over all classes first."""
        whole = [row for row in self.rows if not row.class_name]
        cells = [[row.name, row.iou, row.area, fixed(row.value, _PROTOCOL_DIGITS)] for row in whole]
        parts = [f"protocol {self.protocol}", format_table(["name", "IoU", "area", "value"], cells)]
        names = list(dict.fromkeys(row.name for row in self.rows if row.class_name))[:4]
        if names:
            parts.append(self._class_table(names, _PROTOCOL_DIGITS))
        if self.steps:
            parts.append(self._step_table())
        return "\n\n".join(parts)

    def _step_table(self) -> str:
        """Average precision after each step, with the change of AP."""
        aps = [step.values[0] for step in self.steps]
        changes = ["", *(with_minus_sign(f"{after - before:+.4f}") for before, after in pairwise(aps))]
        shown = [
            at
            for at in range(len(STEP_VALUES))
            if not all(math.isnan(step.values[at]) for step in self.steps)
        ]
        cells = [
            [step.rule, *(fixed(step.values[at], 4) for at in shown), change]
            for step, change in zip(self.steps, changes, strict=True)
        ]
        heads = ["rules, each in addition to those above", *(STEP_VALUES[at] for at in shown), "change of ap"]
        return format_table(heads, cells)

    def __repr__(self) -> str:
        first = [row for row in self.rows if not row.class_name][:3]
        numbers = ", ".join(f"{row.name}={fixed(row.value)}" for row in first)
        catalog = self.matches.truth.catalog
        return (
            f"Evaluation({numbers}; {plural(len(self.rows), 'value')}, {plural(len(self.matches.detections), 'detection')}, "
            f"{plural(len(catalog.image_ids), 'image')}, {plural(len(self.matches.classes), 'class')})"
        )

    def _repr_html_(self) -> str:
        """The values of all classes together, for notebooks."""
        rows = "".join(
            f"<tr><td>{escape(row.name)}</td><td>{escape(row.iou)}</td><td>{escape(row.area)}</td>"
            f"<td>{row.max_dets or ''}</td><td>{fixed(row.value)}</td></tr>"
            for row in self.rows
            if not row.class_name
        )
        heads = "".join(f"<th>{name}</th>" for name in ("measure", "IoU", "area", "max_dets", "value"))
        return f"<p>{escape(repr(self))}</p><table><tr>{heads}</tr>{rows}</table>"


_COCO_MEASURES = ("average_precision", "average_recall")

_PROTOCOL_DIGITS = 6
"""Benchmarks publish, and programs print, up to six digits."""


def null(value: Any) -> Any:
    """The value; None for NaN, which JSON does not have."""
    return None if value != value else value


def format_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side: text aligned to the left, numbers to the right."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(line[index]) for line in (heads, *rows)) for index in range(len(heads))]
    is_number = [all(row[index].strip("-.0123456789") == "" for row in rows) for index in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, is_number, strict=True)
        ).rstrip()
        for line in (heads, *rows)
    )


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of a table as CSV with a header of `TABLE_COLUMNS`; what a row lacks, None and NaN are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TABLE_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if cell is None or cell != cell else cell for name, cell in row.items()})
    return text.getvalue()


def write_text(text: str, path: str | Path | None) -> str:
    """Write the text to a file, if there is one, and return it."""
    if path is not None:
        atomic_write(path, text)
    return text
