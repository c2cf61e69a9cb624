"""Subclasses of COCOeval in the way of other programs: results equal those of the same subclass of pycocotools' class."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import pickle
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from coco_evaluations import BOTH, finished, loaded, single_process
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from oracles import assert_same_evaluation, coco_dicts, coco_objects
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval as Reference
from strategies import Scene, random_scene, scenes

from metrics.cocoeval import COCOeval, maskUtils


@pytest.fixture(autouse=True)
def _quiet() -> Iterable[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield


# mmdet's `use_mp_eval`: classes in chunks, each in a process


class Chunked:
    """Evaluation of chunks of classes by copies of the evaluation."""

    def __init__(self, truth: COCO, found: COCO) -> None:
        # some of these subclasses repeat the constructor instead of calling it
        self.cocoGt, self.cocoDt = truth, found
        self.evalImgs: Any = defaultdict(list)
        self.eval: Any = {}
        self._gts, self._dts = defaultdict(list), defaultdict(list)
        self.params = single_kind(self)(truth, iouType="bbox").params
        self._paramsEval: Any = {}
        self.stats: Any = []
        self.ious: Any = {}

    def _prepare(self) -> None:
        self._gts, self._dts = defaultdict(list), defaultdict(list)
        for cells, coco in ((self._gts, self.cocoGt), (self._dts, self.cocoDt)):
            for item in coco.dataset.get("annotations", ()):
                if item["image_id"] in self.params.imgIds and item["category_id"] in self.params.catIds:
                    cells[item["image_id"], item["category_id"]].append({**item, "ignore": item["iscrowd"]})
        self.evalImgs, self.eval = defaultdict(list), {}

    def evaluate(self) -> None:
        self.params.imgIds = list(np.unique(self.params.imgIds))
        self.params.catIds = list(np.unique(self.params.catIds))
        workers = [pickle.loads(pickle.dumps(self)) for _ in range(2)]
        chunks = np.array_split(self.params.catIds, len(workers))
        parts = [worker.of_chunk(chunk) for worker, chunk in zip(workers, chunks, strict=True)]
        self.evalImgs = list(itertools.chain(*pickle.loads(pickle.dumps(parts))))
        self._paramsEval = copy.deepcopy(self.params)

    def of_chunk(self, chunk: NDArray[np.int64]) -> list[Any]:
        self._prepare()
        cells = itertools.product(chunk, self.params.areaRng, self.params.imgIds)
        return [self.evaluateImg(image, category, area, 100) for category, area, image in cells]

    def evaluateImg(self, image: Any, category: Any, area: Any, most: int) -> Any:
        self.ious = {(image, category): self.computeIoU(image, category)}
        return super().evaluateImg(image, category, area, most)


def single_kind(evaluation: Any) -> type:
    return Reference if isinstance(evaluation, Reference) else COCOeval


class ChunkedReference(Chunked, Reference):
    pass


class ChunkedOurs(Chunked, COCOeval):
    pass


@given(scenes())
def test_classes_are_evaluated_in_chunks_by_processes(scene: Scene) -> None:
    assume(len(scene.detections) > 0)
    truth, found = coco_objects(scene.truth, scene.detections)
    both = []
    for kind in (ChunkedReference, ChunkedOurs):
        evaluation = kind(truth, found)
        evaluation.evaluate()
        both.append(finished(evaluation))
    assert_same_evaluation(both[1], both[0])
    assert_array_equal(both[1].stats, single_process(Reference, scene).stats)


# detectron2's rotated boxes, and other subclasses with their own overlap or their own objects


def enclosing_iou(detections: Sequence[Any], objects: Sequence[Any]) -> NDArray[np.float32]:
    """IoU in single precision of the upright boxes around rotated boxes (cx, cy, w, h, angle in degrees)."""

    def corners(boxes: Sequence[Any]) -> NDArray[np.float32]:
        x, y, w, h, angle = np.array(boxes, np.float32).reshape(-1, 5).T
        sine, cosine = np.abs(np.sin(np.deg2rad(angle))), np.abs(np.cos(np.deg2rad(angle)))
        half = np.stack([w * cosine + h * sine, w * sine + h * cosine]) / np.float32(2)
        return np.concatenate([np.stack([x, y]) - half, np.stack([x, y]) + half])

    a, b = corners(detections)[:, :, None], corners(objects)[:, None]
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    shared = sides[0] * sides[1]
    whole = np.prod(a[2:] - a[:2], axis=0) + np.prod(b[2:] - b[:2], axis=0) - shared
    return (shared / np.maximum(whole, np.float32(1e-9))).astype(np.float32)


class Rotated:
    """An override of `computeIoU` that reads the prepared annotations."""

    as_tensor = False

    def computeIoU(self, image: Any, category: Any) -> Any:
        categories = [category] if self.params.useCats else self.params.catIds
        objects = [item for label in categories for item in self._gts[image, label]]
        found = [item for label in categories for item in self._dts[image, label]]
        if not objects and not found:
            return []
        order = np.argsort([-item["score"] for item in found], kind="mergesort")
        boxes = [found[index]["bbox"] for index in order][: self.params.maxDets[-1]]
        overlaps = enclosing_iou(boxes, [item["bbox"] for item in objects])
        return pytest.importorskip("torch").from_numpy(overlaps) if self.as_tensor else overlaps


def rotated(kind: type, scene: Scene, as_tensor: bool, use_classes: bool) -> Any:
    """An evaluation of the boxes of a scene, turned by angles that depend on their rows."""
    truth, results = coco_dicts(scene.truth, scene.detections)
    for items in (truth["annotations"], results):
        for row, item in enumerate(items):
            x, y, w, h = item["bbox"]
            item["bbox"] = [x + w / 2, y + h / 2, w, h, (0.0, 90.0, 30.0)[row % 3]]
    evaluation = type("RotatedEvaluation", (Rotated, kind), {"as_tensor": as_tensor})(
        *loaded(truth, results), "bbox"
    )
    evaluation.params.useCats = int(use_classes)
    evaluation.evaluate()
    return finished(evaluation)


@given(scenes(), st.booleans(), st.booleans())
def test_a_subclass_computes_its_own_overlap(scene: Scene, as_tensor: bool, use_classes: bool) -> None:
    theirs, ours = (rotated(kind, scene, as_tensor, use_classes) for kind in BOTH)
    assert_same_evaluation(ours, theirs)
    for cell, overlaps in theirs.ious.items():
        assert_array_equal(ours.ious[cell], overlaps)


def test_the_mask_functions_of_the_reference_can_be_imported() -> None:
    from pycocotools import cocoeval, mask

    assert maskUtils is mask is cocoeval.maskUtils


class HonoursIgnore:
    """An override of `_prepare` that ignores further objects, as evaluators of crowded scenes do."""

    def _prepare(self) -> None:
        super()._prepare()
        for objects in self._gts.values():
            for item in objects:
                item["ignore"] = item["ignore"] or item["id"] % 3 == 0


class HalvesLimit:
    """An override of `evaluateImg`."""

    def evaluateImg(self, image: Any, category: Any, area: Any, most: int) -> Any:
        return super().evaluateImg(image, category, area, max(1, most // 50))


@pytest.mark.parametrize("override", [HonoursIgnore, HalvesLimit])
@given(scenes())
def test_a_subclass_overrides_a_step(override: type, scene: Scene) -> None:
    theirs, ours = (single_process(type("Subclass", (override, kind), {}), scene) for kind in BOTH)
    assert_same_evaluation(ours, theirs)


def test_a_method_of_one_evaluation_is_replaced() -> None:
    scene = random_scene(4)
    evaluation = COCOeval(*coco_objects(scene.truth, scene.detections), "bbox")
    evaluation.computeIoU = lambda image, category: []
    evaluation.evaluate()
    assert finished(evaluation).stats[8] == 0
