"""A command matches the test detections of each run once, and reads no table that it has just written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tiny_runs import NARROW, TINY

import metrics.evaluator
import reports.records.run
from bench.cli import main
from metrics.matching import match
from metrics.tables import AnnotationTable, DetectionTable
from reports.records.run import RunFolder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts matches by the fingerprint of the ground truth, and reads of Parquet tables; figures are left empty."""
    counted: Counter[str] = Counter()

    def count_match(truth, detections, *arguments):
        counted[truth.fingerprint] += 1
        return match(truth, detections, *arguments)

    for module in (metrics.evaluator, reports.records.run):
        monkeypatch.setattr(module, "match", count_match)
    for table in (AnnotationTable, DetectionTable):
        load = table.load

        def count_load(path, load=load):
            counted["tables read"] += 1
            return load(path)

        monkeypatch.setattr(table, "load", count_load)
    return counted


@pytest.mark.parametrize("variants", [["ssd"], ["ssd", "retinanet", "fcos"]])
def test_each_run_is_matched_once_and_no_table_is_read_back(variants, calls, tmp_path: Path):
    sets = [f"{name}={value}" for name, value in (dict(TINY) | {"train.epochs": 0}).items()]
    sets += [f"{variant}.{name}={value}" for variant in variants for name, value in NARROW[variant].items()]
    words = ["run", "--variant", *variants, "--out", str(tmp_path), "--quiet", "--set", *sets]
    assert main(words) == 0
    assert calls["tables read"] == 0
    runs = [RunFolder.open(path.parent) for path in tmp_path.glob("*/result.json")]
    assert len(runs) == len(variants)
    assert calls[runs[0].result.data.fingerprint] == len(variants)
    # A finished run is read and matched once.
    calls.clear()
    assert main(words) == 0
    compared = len(variants) if len(variants) > 1 else 0
    assert calls["tables read"] == 2 * compared
    assert calls[runs[0].result.data.fingerprint] == compared
