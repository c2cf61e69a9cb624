"""Independent answers: pycocotools on a scene of ours."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from metrics.matching import MatchRule
from metrics.tables import AnnotationTable, DetectionTable


@dataclass(frozen=True, eq=False)
class Reference:
    """What pycocotools says. -1 stands where nothing is asked for.

    Attributes:
        precision, scores: (T, R, K, A, M); recall: (T, K, A, M).
        stats: the twelve numbers, or None where the rule does not have three max_dets.
        images: its `evalImgs`, one dict per class, area range and image, or None.
    """

    precision: NDArray[np.float64]
    scores: NDArray[np.float64]
    recall: NDArray[np.float64]
    stats: NDArray[np.float64] | None
    images: list[dict[str, Any] | None]


def coco_dicts(truth: AnnotationTable, found: DetectionTable) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A scene as the two JSON documents of COCO; object ids are rows + 1, because 0 breaks the reference."""
    catalog = truth.catalog
    document = {
        "info": {},
        "images": [
            {"id": i, "width": 640, "height": 480, "file_name": f"{i}.jpg"} for i in catalog.image_ids
        ],
        "categories": [
            {"id": k, "name": name} for k, name in zip(catalog.class_ids, catalog.classes, strict=True)
        ],
        "annotations": [
            {
                "id": row + 1,
                "image_id": catalog.image_ids[truth.image[row]],
                "category_id": catalog.class_ids[truth.label[row]],
                "bbox": truth.xywh[row].tolist(),
                "area": float(truth.area[row]),
                "iscrowd": int(truth.crowd[row]),
            }
            for row in range(len(truth))
        ],
    }
    results = [
        {
            "image_id": catalog.image_ids[found.image[row]],
            "category_id": catalog.class_ids[found.label[row]],
            "bbox": found.xywh[row].tolist(),
            "score": float(found.score[row]),
        }
        for row in range(len(found))
    ]
    return document, results


def coco_objects(truth: AnnotationTable, found: DetectionTable) -> tuple[COCO, COCO]:
    """A scene as pycocotools' objects. At least one detection."""
    document, results = coco_dicts(truth, found)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = document
        reference.createIndex()
        return reference, reference.loadRes(results)


def coco_reference(truth: AnnotationTable, found: DetectionTable, rule: MatchRule | None = None) -> Reference:
    """Evaluate with pycocotools. It does not know ignored objects, nor a table without detections."""
    assert not truth.ignored.any()
    rule = rule or MatchRule()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(*coco_objects(truth, found), "bbox")
        evaluation.params.iouThrs = np.array(rule.iou_thresholds)
        evaluation.params.areaRng = [list(limits) for limits in rule.area_ranges.values()]
        evaluation.params.areaRngLbl = list(rule.area_ranges)
        evaluation.params.maxDets = list(rule.max_dets)
        evaluation.params.useCats = int(rule.by_class)
        evaluation.evaluate()
        evaluation.accumulate()
        if len(rule.max_dets) == 3:
            evaluation.summarize()
    return Reference(
        evaluation.eval["precision"],
        evaluation.eval["scores"],
        evaluation.eval["recall"],
        np.array(evaluation.stats) if len(rule.max_dets) == 3 else None,
        evaluation.evalImgs,
    )
