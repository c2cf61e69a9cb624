"""68 corner cases on which evaluators disagree: each has the reference's outcome, or a better one that is reported.

A case is a COCO file and a results file. They are read by our readers and evaluated by us, and evaluated by
pycocotools unchanged. Where the reference crashes, or is silently wrong, the case states what is right.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from corner_cases import BOX, CASES, PERFECT, Case, det, obj, truth
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval as Reference

from metrics.cocoeval import COCOeval
from metrics.errors import InputError, InputWarning
from metrics.evaluation import COCO_NAMES
from metrics.evaluator import evaluate
from metrics.formats.coco import read_detections, read_truth
from metrics.match_rule import MatchRule
from metrics.tables import DetectionTable


def ours(case: Case, folder: Path) -> list[float]:
    """The twelve numbers by our readers and our engine."""
    (folder / "gt.json").write_text(json.dumps(case.truth))
    (folder / "dt.json").write_text(json.dumps(case.detections))
    table = read_truth(folder / "gt.json")
    evaluation = evaluate(table, read_detections(folder / "dt.json", table, **case.reader), rule=case.rule)
    numbers = evaluation.headline
    if case.rule.max_dets != (1, 10, 100):
        cuts = [case.rule.max_dets[min(place, len(case.rule.max_dets) - 1)] for place in range(3)]
        for name, cut in zip(("ar_1", "ar_10", "ar_100"), cuts, strict=True):
            numbers[name] = evaluation.value(f"ar_{cut}")
    return [-1.0 if math.isnan(numbers[name]) else numbers[name] for name in COCO_NAMES]


def references(case: Case) -> list[float]:
    """The twelve numbers by pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(case.truth)
        coco.createIndex()
        evaluation = Reference(coco, coco.loadRes(copy.deepcopy(case.detections)), "bbox")
        evaluation.params.maxDets = list(case.rule.max_dets)
        evaluation.params.useCats = int(case.rule.by_class)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(number) for number in evaluation.stats]


BETTER = {
    "maxDets [1,10,500]: AP is that of the largest",
    "maxDets of length 1 [100]",
    "GT id 0 (matched)",
    "GT ids 0..2",
    "duplicate GT ids (two images)",
}
"""Cases in which our result is better than that of the reference."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_corner_case(case: Case, tmp_path: Path) -> None:
    if case.error is not None:
        with pytest.raises(InputError, match=case.error):
            ours(case, tmp_path)
        return
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        numbers = ours(case, tmp_path)
    messages = [str(item.message) for item in warned if issubclass(item.category, InputWarning)]
    if case.warning is None:
        assert messages == []
    else:
        assert not case.warning or any(case.warning in message for message in messages), messages
    if case.reference_fails is not None:
        with pytest.raises(case.reference_fails):
            references(case)
    elif case.name not in BETTER:
        assert numbers == references(case)
    if case.expected is not None:
        assert numbers == pytest.approx(case.expected, abs=1e-9)


def test_results_that_are_better_than_the_references_differ_from_them() -> None:
    for case in CASES:
        if case.name == "maxDets of length 1 [100]":
            with pytest.raises(IndexError):
                references(case)
        elif case.name in BETTER:
            assert references(case) != pytest.approx(case.expected, abs=1e-9)


def test_no_detections_as_an_array(tmp_path: Path) -> None:
    (tmp_path / "gt.json").write_text(json.dumps(CASES[0].truth))
    table = read_truth(tmp_path / "gt.json")
    no_rows = np.zeros(0, np.int32)
    none = DetectionTable(table.catalog, no_rows, no_rows, np.zeros((0, 4)), np.zeros(0))
    assert evaluate(table, none).value("ap") == 0.0


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [
        ([1, 10, 500], [-1, 1, 1, -1, -1, 1, 1, 1, 1, -1, -1, 1]),
        ([100], PERFECT),
        ([100, 1, 10], PERFECT),
    ],
    ids=["[1,10,500]", "[100]", "unsorted [100,1,10]"],
)
def test_the_drop_in_takes_max_dets_as_the_reference_does(cuts: list[int], expected: list[float]) -> None:
    evaluation = COCOeval(truth(obj(BOX)), [det(BOX)])
    evaluation.params.maxDets = cuts
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats == pytest.approx(expected)


def test_unsorted_max_dets_are_refused_by_a_rule() -> None:
    with pytest.raises(InputError, match="rising"):
        MatchRule(max_dets=(100, 1, 10))


def test_every_row_of_the_table_has_a_case() -> None:
    assert len(CASES) + 1 >= 68  # and one for an array without rows, above
