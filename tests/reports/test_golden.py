"""Fault row 60: another version of a library gives the same tables, to nine digits and in the same order.

The tables are of runs made by integer arithmetic, which does not depend on libraries; a NumPy that draws other resamples
from the same seed is detected, too. ``python tests/reports/test_golden.py`` regenerates the tables after an intended
change of numbers.
"""

from __future__ import annotations

import io
import math
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metrics.evaluation import COCO_NAMES
from metrics.evaluator import evaluate
from metrics.tables import AnnotationTable, Catalog, DetectionTable
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.leaderboard import leaderboard
from reports.analysis.report_data import ReportData
from reports.records.csv import to_csv
from reports.records.run import DataFacts, RunFolder, RunResult, save_result

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("leaderboard.csv", "standings.csv", "pairwise.csv")


def drawn(count: int, start: int, below: int) -> np.ndarray:
    """(count,) whole numbers in [0, below) from a linear congruential generator (Park and Miller 1988)."""
    state, values = start + 1, []
    for _ in range(count):
        state = state * 48271 % 2147483647
        values.append(state % below)
    return np.array(values)


def truth() -> AnnotationTable:
    images, objects = 60, 240
    catalog = Catalog.of(range(1, images + 1), ["one", "two", "never"], np.full((images, 2), 256))
    corner = np.stack([drawn(objects, 1, 150), drawn(objects, 2, 150)], axis=1)
    side = np.stack([10 + drawn(objects, 3, 100), 10 + drawn(objects, 4, 100)], axis=1)
    return AnnotationTable.of(
        catalog,
        np.sort(drawn(objects, 5, images)),
        drawn(objects, 6, 2),
        np.concatenate([corner, side], axis=1),
    )


def found(of: AnnotationTable, start: int, missed: int) -> DetectionTable:
    """The objects moved by some pixels, `missed` of 10 left out, and a stray box for every other object."""
    count = len(of)
    kept = drawn(count, start, 10) >= missed
    moved = of.xywh + np.stack([drawn(count, start + k, 9) - 4 for k in range(1, 5)], axis=1)
    stray = of.xywh[::2] + 40
    image = np.concatenate([of.image[kept], of.image[::2]])
    label = np.concatenate([of.label[kept], 1 - of.label[::2]])
    boxes = np.concatenate([moved[kept], stray])
    score = (1 + drawn(len(image), start + 5, 63)) / 64  # so that ties are common
    return DetectionTable(of.catalog, image, label, boxes, score)


def tables() -> dict[str, str]:
    """The tables of three models, one of them equal to another and one that finds nothing."""
    objects = truth()
    none = DetectionTable.builder(objects.catalog).build()
    facts = DataFacts(
        name="golden",
        format="coco",
        split="test",
        fingerprint=objects.fingerprint,
        images=60,
        objects=240,
        classes=3,
    )
    made: dict[str, DetectionTable] = {
        "good": found(objects, 10, 2), "twin": found(objects, 10, 2), "fair": found(objects, 20, 4), "blind": none,
    }  # fmt: skip
    runs: list[RunFolder] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, detections in made.items():
            result = RunResult(
                name=name, variant=name, data=facts, headline=dict(evaluate(objects, detections).headline),
                finished=datetime(2026, 1, 1, tzinfo=UTC),
            )  # fmt: skip
            runs.append(save_result(Path(folder) / name, result, objects, detections))
        report = ReportData.from_runs(runs, options=ComparisonOptions(resamples=200))
        assert report.statistics is not None
        pairs = report.statistics.pairwise_to_frame()
        return {
            "leaderboard.csv": to_csv(
                leaderboard(runs)[["rank", "run_id", "model_id", "split", *COCO_NAMES]]
            ),
            "standings.csv": to_csv(report.statistics.to_frame()),
            "pairwise.csv": to_csv(pairs[~pairs["metric"].str.startswith("cost_")]),
        }


@pytest.fixture(scope="module")
def now() -> dict[str, str]:
    return tables()


@pytest.mark.parametrize("name", NAMES)
def test_fault_60_tables_equal_the_golden_files(now: dict[str, str], name: str) -> None:
    expected = pd.read_csv(GOLDEN / name, dtype=str, keep_default_na=False)
    given = pd.read_csv(io.StringIO(now[name]), dtype=str, keep_default_na=False)
    assert list(given.columns) == list(expected.columns)
    assert len(given) == len(expected)
    for column in expected.columns:
        for row, (one, other) in enumerate(zip(given[column], expected[column], strict=True)):
            assert same(one, other), (name, column, row, one, other)


def same(one: str, other: str) -> bool:
    """Equal as text, or, word by word, as numbers to nine digits."""
    if one == other:
        return True
    words = list(zip(one.split(), other.split(), strict=False))
    try:
        near = [math.isclose(float(a), float(b), rel_tol=1e-9, abs_tol=1e-12) for a, b in words]
    except ValueError:
        return False
    return len(one.split()) == len(other.split()) and bool(near) and all(near)


def test_the_order_of_rows_is_deterministic_for_equal_and_undefined_values(now: dict[str, str]) -> None:
    board = pd.read_csv(io.StringIO(now["leaderboard.csv"]))
    assert list(board["run_id"]) == ["good", "twin", "fair", "blind"]
    standings = pd.read_csv(io.StringIO(now["standings.csv"]))
    assert list(standings[standings["measure"] == "ap"]["model"]) == ["good", "twin", "fair", "blind"]


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for file, text in tables().items():
        (GOLDEN / file).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{GOLDEN / file}\n")
