"""Evaluations of a scene by any class with the interface of pycocotools' `COCOeval`."""

from __future__ import annotations

import copy
from typing import Any

from oracles import coco_dicts
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval as Reference
from strategies import Scene

from metrics.cocoeval import COCOeval

BOTH = (Reference, COCOeval)
"""The reference and ours, in this order."""


def single_process(kind: type, scene: Scene) -> Any:
    """All images in one evaluation."""
    truth, results = coco_dicts(scene.truth, scene.detections)
    evaluation = kind(*loaded(truth, results), "bbox")
    evaluation.evaluate()
    return finished(evaluation)


def loaded(truth: dict[str, Any], results: list[dict[str, Any]]) -> tuple[COCO, COCO]:
    """Objects of pycocotools; without results an empty one, because `loadRes` fails."""
    document = COCO()
    document.dataset = truth
    document.createIndex()
    return document, document.loadRes(copy.deepcopy(results)) if results else COCO()


def finished(evaluation: Any) -> Any:
    """The same evaluation, accumulated and summarized."""
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation
