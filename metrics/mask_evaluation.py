"""The results of evaluating label maps on one data set, as text, table and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.evaluation import COLUMNS, csv_text, format_table, null, write_text
from metrics.mask_counts import MaskCounts
from metrics.number_text import fixed
from metrics.plurals import plural
from metrics.registry import did_you_mean
from metrics.segmentation import Overlap

_TITLES = {
    "miou": "IoU",
    "mdice": "Dice",
    "pixel_accuracy": "accuracy",
    "pixel_precision": "precision",
    "pixel_recall": "recall",
    "pixel_specificity": "specificity",
}
"""Columns of the printed table: measures of one class by their short name."""


@dataclass(frozen=True, eq=False)
class MaskEvaluation:
    """The results of one model on one set of label maps.

    Attributes:
        counts: of each image.
        images: names of the images.
    """

    counts: MaskCounts
    images: tuple[str, ...]

    @property
    def overlap(self) -> Overlap:
        """Areas and measures over all images."""
        return self.counts.overlap()

    def value(self, name: str, class_name: str = "") -> float:
        """The value with this short name, such as ``miou``; of all classes, or of one.

        Raises:
            InputError: no such value or class; the message has the most similar name.
        """
        rows = self.overlap.rows()
        for row in rows:
            if row.name == name and row.class_name == class_name:
                return row.value
        if class_name and class_name not in self.counts.classes:
            raise InputError(f"no class {class_name!r}{did_you_mean(class_name, self.counts.classes)}")
        names = list(dict.fromkeys(row.name for row in rows if row.class_name == class_name))
        raise InputError(f"no measure {name!r}{did_you_mean(name, names) or '; known: ' + ', '.join(names)}")

    def table_rows(self) -> list[dict[str, Any]]:
        """One dict per value, with those of `metrics.evaluation.TABLE_COLUMNS` that label maps have."""
        label = {name: index for index, name in enumerate(self.counts.classes)}
        return [
            {
                "class_id": label.get(row.class_name),
                "class_name": row.class_name or None,
                "metric": row.name,
                "value": row.value,
                "n_img": len(self.images),
                "unit": "fraction",
                "higher_is_better": True,
            }
            for row in self.overlap.rows()
        ]

    def to_csv(self, path: str | Path | None = None) -> str:
        """One line per value, with the columns of `metrics.evaluation.TABLE_COLUMNS`; see `metrics.evaluation.Evaluation.to_csv`."""
        return write_text(csv_text(self.table_rows()), path)

    def to_json(self, path: str | Path | None = None) -> str:
        """Headline, areas and rows as one JSON object; NaN is null."""
        return write_text(json.dumps(self.document(), indent=1, allow_nan=False) + "\n", path)

    def document(self) -> dict[str, Any]:
        """Headline, areas in pixels and rows as JSON values."""
        overlap = self.overlap
        rows = overlap.rows()
        return {
            "headline": {row.name: null(row.value) for row in rows if not row.class_name},
            "images": len(self.images),
            "pixels": overlap.pixels,
            "areas": [
                {"class": name, "truth": int(true), "predicted": int(found), "intersection": int(both)}
                for name, true, found, both in zip(
                    overlap.classes, overlap.truth, overlap.predicted, overlap.intersection, strict=True
                )
            ],
            "rows": [dict(zip(COLUMNS, map(null, row.record()), strict=True)) for row in rows],
        }

    def __str__(self) -> str:
        """The measures of all classes, and a line for each class."""
        overlap = self.overlap
        rows = overlap.rows()
        whole = [[row.name, fixed(row.value)] for row in rows if not row.class_name]
        heading = f"{plural(len(self.images), 'image')}, {plural(overlap.pixels, 'pixel')}"
        return "\n\n".join([heading, format_table(["measure", "value"], whole), self._class_table(overlap)])

    def _class_table(self, overlap: Overlap) -> str:
        values = {(row.class_name, row.name): row.value for row in overlap.rows()}
        cells: list[Sequence[str]] = [
            [name, str(area), *(fixed(values[name, measure]) for measure in _TITLES)]
            for name, area in zip(overlap.classes, overlap.truth.tolist(), strict=True)
        ]
        return format_table(["class", "pixels", *_TITLES.values()], cells)
