"""The twelve numbers, the rows of an evaluation, and evaluation in batches."""

from __future__ import annotations

import csv
import io
import json
import math
import pickle
from dataclasses import replace
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from oracles import assert_is_the_reference, coco_objects, coco_reference
from pycocotools.cocoeval import COCOeval
from strategies import Scene, random_scene, scenes

from metrics.errors import InputError
from metrics.evaluation import COCO_NAMES, COLUMNS, TABLE_COLUMNS, Evaluation
from metrics.evaluator import Evaluator, evaluate, evaluate_matches
from metrics.formats.coco import read_detections, read_truth
from metrics.match_rule import MatchRule
from metrics.matching import match
from metrics.measures import MEASURES
from metrics.registry import UnknownName
from metrics.tables import AnnotationTable, DetectionTable


@given(scenes())
def test_the_twelve_numbers_equal_the_reference(scene: Scene) -> None:
    assume(len(scene.detections) > 0)
    ours = evaluate(scene.truth, scene.detections).headline
    assert tuple(ours) == COCO_NAMES
    assert_array_equal(
        np.nan_to_num(list(ours.values()), nan=-1.0), coco_reference(scene.truth, scene.detections).stats
    )


def test_the_published_numbers_of_coco(shared_data: Path) -> None:
    folder = shared_data / "coco" / "fakebbox100"
    truth = read_truth(folder / "instances_val2014_100.json")
    found = read_detections(folder / "instances_val2014_fakebbox100_results.json", truth)
    evaluation = evaluate(truth, found)
    published = [0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564]
    assert [round(value, 3) for value in evaluation.headline.values()] == published
    reference = coco_reference(truth, found)
    assert_array_equal(list(evaluation.headline.values()), reference.stats)
    assert_is_the_reference(evaluation.matches, reference)


def test_without_detections_ap_is_zero_and_without_objects_undefined() -> None:
    # faults 1 and 2
    scene = random_scene(0)
    catalog = scene.truth.catalog
    empty = DetectionTable(catalog, *(np.zeros(0, int),) * 2, np.zeros((0, 4)), np.zeros(0))  # type: ignore[arg-type]
    headline = evaluate(scene.truth, empty).headline
    assert headline["ap"] == headline["ar_100"] == 0.0
    headline = evaluate(AnnotationTable.of(catalog, [], [], []), scene.detections).headline
    assert all(math.isnan(value) for value in headline.values())


def test_a_class_without_objects_is_left_out_and_one_without_detections_is_zero() -> None:
    # faults 3 and 4
    scene = random_scene(2, classes=3)
    truth, found = scene.truth, scene.detections
    truth.label[truth.label == 2] = 1  # class 2 has no objects
    found.label[found.label == 1] = 0  # class 1 has no detections
    evaluation = evaluate(truth, found)
    assert math.isnan(evaluation.value("ap", "class 2"))
    assert evaluation.value("ap", "class 1") == 0.0
    assert evaluation.value("ap") == pytest.approx(evaluation.value("ap", "class 0") / 2)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    scene = random_scene(2)
    return evaluate(scene.truth, scene.detections, ("average_precision", "average_recall", "operating_point"))


def test_table_csv_and_json_have_the_same_values(evaluation: Evaluation, tmp_path: Path) -> None:
    frame = evaluation.to_frame()
    assert tuple(frame.columns) == TABLE_COLUMNS
    assert len(frame) == len(evaluation.rows)
    assert [str(frame[name].dtype) for name in ("class_id", "max_dets", "n_gt", "n_det")] == ["Int64"] * 4
    text = evaluation.to_csv(tmp_path / "metrics.csv")
    assert (tmp_path / "metrics.csv").read_text() == text == frame.to_csv(index=False, lineterminator="\n")
    lines = list(csv.DictReader(io.StringIO(text)))
    document = json.loads(evaluation.to_json(tmp_path / "metrics.json"))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["metrics.csv", "metrics.json"]
    for row, line, item in zip(evaluation.rows, lines, document["rows"], strict=True):
        assert (row.name, row.class_name, row.area) == (line["metric"], line["class_name"], line["area"])
        if math.isnan(row.value):
            assert line["value"] == ""
            assert item["value"] is None
        else:
            assert row.value == float(line["value"]) == item["value"]  # to the last digit
    assert tuple(document["rows"][0]) == COLUMNS
    assert document["headline"]["ap_large"] is None
    assert document["headline"]["ap"] == evaluation.value("ap")


def test_an_evaluation_shows_its_overall_values_in_a_notebook(evaluation: Evaluation) -> None:
    overall = [row for row in evaluation.rows if not row.class_name]
    assert evaluation._repr_html_().count("<tr>") == 1 + len(overall)


def test_an_unknown_name_suggests_the_most_similar(evaluation: Evaluation) -> None:
    with pytest.raises(InputError, match="did you mean 'ap50'"):
        evaluation.value("ap_50")
    with pytest.raises(InputError, match="did you mean 'class 1'"):
        evaluation.value("ap", "clas 1")
    with pytest.raises(UnknownName, match="did you mean 'average_precision'") as raised:
        evaluate_matches(evaluation.matches, ("averge_precision",))
    assert (raised.value.name, raised.value.nearest) == ("averge_precision", "average_precision")
    assert raised.value.known == tuple(MEASURES)
    with pytest.raises(InputError, match="'operating_point' is not among the measures"):
        evaluate_matches(evaluation.matches, settings={"operating_point": {"score": 0.1}})


def test_the_summary_equals_that_of_the_reference(
    evaluation: Evaluation, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = random_scene(2)
    reference = COCOeval(*coco_objects(scene.truth, scene.detections), "bbox")
    reference.evaluate()
    reference.accumulate()
    capsys.readouterr()
    reference.summarize()
    assert capsys.readouterr().out.rstrip("\n") == evaluation.summary()
    assert str(evaluation).startswith(evaluation.summary())
    assert "best_f1" in str(evaluation)
    assert "class 3" in str(evaluation)
    assert repr(evaluation).startswith("Evaluation(ap=0.160, ap50=0.345, ap55=")


def test_other_max_dets_have_other_names() -> None:
    scene = random_scene(2)
    rule = MatchRule(max_dets=(1, 10, 500))
    evaluation = evaluate(scene.truth, scene.detections, rule=rule)
    assert math.isnan(evaluation.headline["ar_100"])
    assert evaluation.value("ar_500") > 0
    assert evaluation.value("ap") > 0  # of the largest max_dets; the summary of pycocotools has -1
    assert "maxDets=500" in evaluation.summary()


def shards(scene: Scene, count: int, order: list[int]) -> list[Evaluator]:
    """Evaluators of parts of the scene, its images in the given order."""
    truth, found = scene.truth, scene.detections
    evaluators = [Evaluator(truth.catalog.classes) for _ in range(count)]
    for turn, image in enumerate(order):
        objects, detections = truth.image == image, found.image == image
        evaluators[turn % count].update(
            [truth.catalog.image_ids[image]],  # type: ignore[list-item]
            boxes=[found.xywh[detections]],
            scores=[found.score[detections]],
            labels=[found.label[detections]],
            true_boxes=[truth.xywh[objects]],
            true_labels=[truth.label[objects]],
            area=[truth.area[objects]],
            crowd=[truth.crowd[objects]],
            ignored=[truth.ignored[objects]],
            layout="xywh",
        )
    return evaluators


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@given(scene=scenes(ignored=True), random=st.randoms(use_true_random=False))
def test_any_sharding_gives_the_same_bits(count: int, scene: Scene, random: object) -> None:
    order = list(range(len(scene.truth.catalog.image_ids)))
    random.shuffle(order)  # type: ignore[attr-defined]
    parts = [pickle.loads(pickle.dumps(part)) for part in shards(scene, count, order)]
    whole = evaluate(scene.truth, scene.detections)
    streamed = reduce(Evaluator.merge, parts).compute()
    values = [row.value for row in whole.rows]
    assert_array_equal([row.value for row in streamed.rows], values)
    assert_array_equal(streamed.matches.curves().score, whole.matches.curves().score)


def test_an_evaluator_takes_batches_of_tensors_without_importing_torch() -> None:
    class Tensor:  # behaves like that of torch
        def __init__(self, values: object) -> None:
            self.values = np.asarray(values)
            self.dtype = self.values.dtype

        def detach(self) -> Tensor:
            return self

        cpu = detach

        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            return self.values

    evaluator = Evaluator(["a", "b"])
    box = Tensor([[0.0, 0.0, 10.0, 10.0]])
    evaluator.update(
        ["y", "x"],
        boxes=[box, box],
        scores=[Tensor([0.5]), Tensor([0.4])],
        labels=[Tensor([0]), Tensor([1])],
        true_boxes=[box, box],
        true_labels=[Tensor([0]), Tensor([0])],
    )
    assert len(evaluator) == 2
    assert evaluator.compute().value("ar_100") == 0.5
    assert evaluator.tables()[0].catalog.image_ids == ("x", "y")


def test_an_evaluator_refuses_repeated_images_and_other_rules_or_classes() -> None:
    scene = random_scene(1)
    one, other = shards(scene, 2, list(range(20)))
    with pytest.raises(InputError, match="there are no images; call update first"):
        Evaluator(["a"]).compute()
    with pytest.raises(InputError, match=r"image 10 was added before \(10 such images\)"):
        one.merge(one)
    with pytest.raises(InputError, match="different rules"):
        one.merge(Evaluator(scene.truth.catalog.classes, MatchRule(max_dets=(5,))))
    with pytest.raises(InputError, match="expected the evaluator's 1 class"):
        Evaluator(["a"]).add(scene.truth, scene.detections)
    with pytest.raises(InputError, match="expected one entry per image, 1, got 2"):
        other.update([1], boxes=[[], []], scores=[[]], labels=[[]], true_boxes=[[]], true_labels=[[]])


@given(scenes(), st.integers(1, 3))
def test_a_doubled_data_set_has_the_same_average_precision(scene: Scene, seed: int) -> None:
    """A law of AP without ties and max_dets: each step of the curve becomes two of the same precision or better."""
    found = scene.detections
    found.score[:] = np.random.default_rng(seed).permutation(len(found)) / 100
    one = match(scene.truth, found)
    twice = shards(scene, 1, list(range(len(scene.truth.catalog.image_ids))))[0]
    truth, again = twice.tables()
    second = Evaluator(truth.catalog.classes)
    second.add(truth, again)
    ids = tuple(i + 1000 for i in truth.catalog.image_ids)  # type: ignore[operator]
    moved = replace(truth.catalog, image_ids=ids)
    second.add(replace(truth, catalog=moved), replace(again, catalog=moved))
    both = second.compute().matches
    assert_array_equal(both.tp_count, 2 * one.tp_count)
    assert_array_equal(both.positives, 2 * one.positives)
