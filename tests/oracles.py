"""Numbers of pycocotools on a scene, and the comparison with ours."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from metrics.match_rule import MatchRule
from metrics.matching import Matches
from metrics.tables import AnnotationTable, DetectionTable

RULES = (
    MatchRule(),
    MatchRule(by_class=False),
    MatchRule(max_dets=(1, 2, 3)),
    MatchRule(iou_thresholds=(0.05, 0.5, 1.0), max_dets=(2, 5, 100)),
    MatchRule(area_ranges={"tiny": (0, 64), "rest": (64, 9216)}, max_dets=(3, 4, 10)),
    MatchRule(iou_thresholds=tuple(np.linspace(0.1, 1, 64).tolist())),
)
"""Rules that exercise the whole engine: 64 thresholds, classes as one, few detections, other areas."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Results of pycocotools; -1 where no object is valid.

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
    """A scene as objects of pycocotools; with at least one detection."""
    document, results = coco_dicts(truth, found)
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = document
        reference.createIndex()
        return reference, reference.loadRes(results)


def coco_reference(truth: AnnotationTable, found: DetectionTable, rule: MatchRule | None = None) -> Reference:
    """Evaluate with pycocotools, which supports neither ignored objects nor tables without detections."""
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


def assert_is_the_reference(matches: Matches, reference: Reference) -> None:
    """Compare curves at every max_dets, and the matches of every image, class, area range and threshold."""
    for index, most in enumerate(matches.rule.max_dets):
        curves = matches.curves(most)
        for ours, theirs in (
            (curves.precision, reference.precision),
            (curves.score, reference.scores),
            (curves.recall, reference.recall),
        ):
            assert_array_equal(np.nan_to_num(ours, nan=-1.0), theirs[..., index])
        with np.errstate(invalid="ignore"):
            recall = matches.tp_count[index] / matches.positives[:, None]
        assert_array_equal(np.nan_to_num(recall, nan=-1.0), np.moveaxis(reference.recall[..., index], 2, 0))

    rule, images = matches.rule, len(matches.truth.catalog.image_ids)
    outcomes = [[matches.at(iou, area) for iou in rule.iou_thresholds] for area in rule.areas]
    cell = matches.label.astype(np.int64) * images + matches.image
    by_cell = np.argsort(cell, kind="stable")
    start = np.searchsorted(cell[by_cell], np.arange(len(matches.classes) * images + 1))
    for area, of_area in enumerate(outcomes):
        found = np.stack([outcome.object for outcome in of_area])
        ignored = np.stack([outcome.ignored for outcome in of_area])
        matched_by = np.stack([outcome.matched_by for outcome in of_area])
        for number in range(len(matches.classes) * images):
            label, image = divmod(number, images)
            theirs = reference.images[(label * len(outcomes) + area) * images + image]
            here = by_cell[start[number] : start[number + 1]]
            if theirs is None:
                assert not len(here)
                continue
            # pycocotools numbers detections and objects from 1; ours are rows
            assert_array_equal(matches.row[here] + 1, theirs["dtIds"])
            assert_array_equal(found[:, here] + 1, theirs["dtMatches"])
            assert_array_equal(ignored[:, here], theirs["dtIgnore"])
            objects = np.array(theirs["gtIds"], int) - 1
            assert_array_equal(of_area[0].valid[objects], theirs["gtIgnore"] == 0)
            once = ~matches.truth.crowd[
                objects
            ]  # on a crowd pycocotools keeps the last detection, we the highest-scoring
            assert_array_equal(matched_by[:, objects[once]] + 1, theirs["gtMatches"][:, once])


def assert_same_evaluation(ours: Any, theirs: Any) -> None:
    """Compare `eval`, `stats` and `evalImgs` of two `COCOeval` to the last bit."""
    for name in ("precision", "recall", "scores", "counts"):
        assert_array_equal(ours.eval[name], theirs.eval[name], err_msg=name)
    assert_array_equal(ours.stats, theirs.stats)
    assert_same_images(ours.evalImgs, theirs.evalImgs)


def assert_same_images(ours: Sequence[Any], theirs: Sequence[Any]) -> None:
    """Compare entries of `evalImgs`."""
    assert len(ours) == len(theirs)
    for our_image, their_image in zip(ours, theirs, strict=True):
        assert (our_image is None) == (their_image is None)
        if our_image is not None:
            assert our_image.keys() == their_image.keys()
            for name, value in their_image.items():
                assert_array_equal(our_image[name], value, err_msg=name)
