"""COCOeval in the way in which other programs call it: results equal those of pycocotools in the same place.

Each pattern is written for any class with the interface of pycocotools, and runs with both.
"""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from coco_evaluations import BOTH, finished, loaded, single_process
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from oracles import assert_same_evaluation, coco_dicts, coco_objects
from pycocotools.cocoeval import COCOeval as Reference
from strategies import Scene, random_scene, scenes

from metrics.cocoeval import COCOeval
from metrics.errors import InputError


@pytest.fixture(autouse=True)
def _quiet() -> Iterable[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield


# torchvision's references and DETR: batches of images, merged over processes


def evaluate_and_list(evaluation: Any) -> NDArray[np.object_]:
    """Torchvision's way: results of `evaluate`."""
    evaluation.evaluate()
    return np.asarray(evaluation.evalImgs, dtype=object)


def evaluate_step_by_step(evaluation: Any) -> NDArray[np.object_]:
    """DETR's way: `evaluate`, written with the methods of which it consists."""
    params = evaluation.params
    params.imgIds = list(np.unique(params.imgIds))
    params.catIds = list(np.unique(params.catIds))
    evaluation._prepare()
    evaluation.ious = {
        cell: evaluation.computeIoU(*cell) for cell in itertools.product(params.imgIds, params.catIds)
    }
    return np.array(
        [
            evaluation.evaluateImg(image, category, area, params.maxDets[-1])
            for category, area, image in itertools.product(params.catIds, params.areaRng, params.imgIds)
        ],
        dtype=object,
    )


Lister = Callable[[Any], NDArray[np.object_]]


def one_process(
    kind: type, scene: Scene, batches: Sequence[Sequence[int]], lister: Lister
) -> tuple[Any, list[int], NDArray[np.object_]]:
    """The evaluation, the images in the order of batches, and their results (classes, areas, images)."""
    truth, results = coco_dicts(scene.truth, scene.detections)
    evaluation = kind(loaded(truth, [])[0], iouType="bbox")
    images, parts = [], []
    for batch in batches:
        ids = list(np.unique(batch))
        found = [item for item in results if item["image_id"] in ids]
        evaluation.cocoDt = loaded(truth, found)[1]
        evaluation.params.imgIds = list(ids)
        images += ids
        listed = lister(evaluation)
        parts.append(listed.reshape(-1, len(evaluation.params.areaRng), len(ids)))
    return evaluation, images, np.concatenate(parts, axis=2)


def merged(kind: type, scene: Scene, processes: Sequence[Sequence[Sequence[int]]], lister: Lister) -> Any:
    """The evaluation of the first process, with the results of all."""
    runs = [one_process(kind, scene, batches, lister) for batches in processes]
    gathered = [pickle.loads(pickle.dumps(run[1:])) for run in runs]
    images, first = np.unique(np.concatenate([ids for ids, _ in gathered]), return_index=True)
    results = np.concatenate([part for _, part in gathered], axis=2)[..., first]
    evaluation = runs[0][0]
    evaluation.evalImgs = list(results.flatten())
    evaluation.params.imgIds = list(images)
    evaluation._paramsEval = copy.deepcopy(evaluation.params)
    return finished(evaluation)


@given(scenes(), st.data(), st.sampled_from([evaluate_and_list, evaluate_step_by_step]))
def test_batches_of_several_processes_are_merged(scene: Scene, data: st.DataObject, lister: Lister) -> None:
    images = list(scene.truth.catalog.image_ids)
    # a sampler repeats images so that all processes have equally many
    dealt = data.draw(st.lists(st.sampled_from(images), max_size=3)) + data.draw(st.permutations(images))
    count = data.draw(st.integers(1, min(3, len(dealt))))
    processes = [
        [batch.tolist() for batch in np.array_split(dealt[i::count], 2) if len(batch)] for i in range(count)
    ]
    theirs, ours = (merged(kind, scene, processes, lister) for kind in BOTH)
    assert_same_evaluation(ours, theirs)
    if len(scene.detections):
        whole = single_process(Reference, scene)
        assert_array_equal(ours.stats, whole.stats)
        assert_array_equal(ours.eval["precision"], whole.eval["precision"])


@pytest.mark.parametrize("lister", [evaluate_and_list, evaluate_step_by_step])
def test_the_numbers_are_not_those_of_the_last_batch(lister: Lister) -> None:
    scene = random_scene(4)
    images = list(scene.truth.catalog.image_ids)
    evaluation = merged(COCOeval, scene, [[images[:7], images[7:12]], [images[12:]]], lister)
    assert_array_equal(evaluation.stats, single_process(Reference, scene).stats)
    last, *_ = one_process(COCOeval, scene, [images[:7], images[7:12]], lister)
    last._paramsEval = copy.deepcopy(last.params)
    if lister is evaluate_step_by_step:
        last.evalImgs = list(lister(last))
    assert abs(finished(last).stats[0] - evaluation.stats[0]) > 0.01


def test_an_object_with_the_id_0_stays_matched_when_results_are_merged() -> None:
    scene = random_scene(4)
    truth, results = coco_dicts(scene.truth, scene.detections)
    found = loaded(truth, results)[1]
    zero = copy.deepcopy(truth)
    for item in zero["annotations"]:
        item["id"] -= 1
    zeros = copy.deepcopy(found)
    for item in zeros.dataset["annotations"]:
        item["id"] -= 1
    for lister in (evaluate_and_list, evaluate_step_by_step):
        evaluation = COCOeval(loaded(zero, [])[0], zeros, "bbox")
        evaluation.evalImgs = list(lister(evaluation))
        evaluation._paramsEval = copy.deepcopy(evaluation.params)
        assert_array_equal(finished(evaluation).stats, single_process(Reference, scene).stats)
        matched = [entry["dtMatches"] for entry in evaluation.evalImgs if entry is not None]
        assert any(((ids > 0) & (ids.astype(int) == 0)).any() for ids in matched)


def test_results_that_do_not_fit_are_refused_and_the_advice_helps() -> None:
    scene = random_scene(4)
    images = list(scene.truth.catalog.image_ids)
    evaluation, _, results = one_process(COCOeval, scene, [images[:7], images[7:]], evaluate_and_list)
    evaluation.evalImgs = list(results.flatten())
    with pytest.raises(InputError, match=r"4 classes x 4 area ranges x 13 images .* = 208 results, got 320"):
        evaluation.accumulate()
    evaluation.params.imgIds = images
    evaluation._paramsEval = copy.deepcopy(evaluation.params)
    assert_array_equal(finished(evaluation).stats, single_process(Reference, scene).stats)
    evaluation._paramsEval.iouThrs = evaluation.params.iouThrs = np.array([0.5])
    with pytest.raises(InputError, match=r"at the 1 threshold of _paramsEval\.iouThrs, got 10"):
        evaluation.accumulate()


# torchmetrics' `extended_summary` and `class_metrics`


@given(scenes())
def test_overlaps_are_those_of_every_image_and_class(scene: Scene) -> None:
    theirs, ours = (single_process(kind, scene) for kind in BOTH)
    assert type(ours.ious) is dict
    assert ours.ious.keys() == theirs.ious.keys()
    for cell, overlaps in theirs.ious.items():
        assert type(ours.ious[cell]) is type(overlaps)
        assert_array_equal(ours.ious[cell], overlaps)


@given(scenes())
def test_one_evaluation_evaluates_class_after_class(scene: Scene) -> None:
    theirs, ours = (single_process(kind, scene) for kind in BOTH)
    for category in scene.truth.catalog.class_ids:
        for evaluation in (theirs, ours):
            evaluation.params.catIds = [category]
            evaluation.params.iouThrs = np.array([0.5, 0.75], dtype=np.float64)
            evaluation.evaluate()
            finished(evaluation)
        assert_same_evaluation(ours, theirs)
        assert ours.ious.keys() == theirs.ious.keys()


# ids as NumPy makes them, and copies


@given(scenes(), st.sampled_from([np.int64, np.int32, np.uint16]))
def test_ids_are_integers_of_numpy(scene: Scene, kind: type) -> None:
    assume(len(scene.detections) > 0)
    theirs = single_process(Reference, scene)
    truth, results = coco_dicts(scene.truth, scene.detections)
    for item in (*truth["annotations"], *results):
        item["image_id"], item["category_id"] = kind(item["image_id"]), kind(item["category_id"])
    evaluation = COCOeval(loaded(truth, [])[0], results)
    evaluation.params.imgIds = list(np.unique(np.array(evaluation.params.imgIds * 2, kind)))
    evaluation.params.catIds = np.array(evaluation.params.catIds, kind)
    evaluation.evaluate()
    assert_same_evaluation(finished(evaluation), theirs)
    assert {type(identity) for identity in evaluation.params.imgIds} == {int}


def test_images_are_named_by_strings() -> None:
    scene = random_scene(4)
    truth, results = coco_dicts(scene.truth, scene.detections)
    for item in (*truth["annotations"], *results):
        item["image_id"] = f"{item['image_id']:03}.jpg"
    for item in truth["images"]:
        item["id"] = f"{item['id']:03}.jpg"
    evaluation = COCOeval(loaded(truth, [])[0], results)
    evaluation.params.imgIds = np.unique(evaluation.params.imgIds)
    evaluation.evaluate()
    assert_array_equal(finished(evaluation).stats, single_process(Reference, scene).stats)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_an_evaluation_can_be_copied(duplicate: Callable[[Any], Any]) -> None:
    scene = random_scene(4)
    evaluation = COCOeval(*coco_objects(scene.truth, scene.detections), "bbox")
    evaluation.evaluate()
    copied = duplicate(evaluation)
    assert_array_equal(finished(copied).stats, finished(evaluation).stats)
