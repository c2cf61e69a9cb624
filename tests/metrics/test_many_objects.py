"""Images with very many objects: memory grows with the objects, not with objects times detections."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from metrics.evaluator import evaluate
from metrics.formats import mapping_check
from metrics.score_ties import detection_notes
from metrics.tables import AnnotationTable, Catalog, DetectionTable


def tables(count: int) -> tuple[AnnotationTable, DetectionTable]:
    """`count` equal objects of one image, and 500 detections with equal scores on them."""
    catalog = Catalog.of([1], ["a"])
    rows, box = np.zeros(count, int), [[1.0, 1, 2, 2]]
    truth = AnnotationTable.of(catalog, rows, rows, np.repeat(box, count, 0))
    few = np.zeros(500, int)
    found = DetectionTable(
        catalog, few.astype(np.int32), few.astype(np.int32), np.repeat(box, 500, 0), np.full(500, 0.5)
    )
    return truth, found


def test_fault_127_equal_objects_do_not_exhaust_memory(tmp_path: Path) -> None:
    """Two tables of every detection with every object would have 240 MB each."""
    truth, found = tables(60_000)
    matches = evaluate(truth, found).matches
    tracemalloc.start()
    mapping_check.check_mapping(found, truth, "f.csv")
    detection_notes(matches)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6


@pytest.mark.parametrize("block", [1, 3])
def test_the_share_on_objects_does_not_depend_on_how_many_are_compared_at_once(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    catalog = Catalog.of([1, 2], ["a", "b"])
    image, label = random.integers(0, 2, (2, 40))
    boxes = np.hstack([random.integers(0, 12, (40, 2)), np.full((40, 2), 6)]).astype(float)
    truth = AnnotationTable.of(catalog, image[:20], label[:20], boxes[:20])
    xyxy = np.hstack([boxes[20:, :2], boxes[20:, :2] + 6])

    def share() -> float:
        return mapping_check._share(truth, image[20:], label[20:], xyxy)

    expected = share()
    assert 0 < expected < 1
    monkeypatch.setattr(mapping_check, "_BLOCK", block)
    assert share() == expected
