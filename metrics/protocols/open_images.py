"""Open Images' protocol: the object detection challenge of 2019, with group-of boxes and a hierarchy of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from metrics.engine.neighbours import neighbours
from metrics.match_rule import MatchRule
from metrics.matching import Matches, match
from metrics.measures import ClassColumn, Value, class_values, iou_text, overall_values
from metrics.measures.voc_average_precision import area_under_envelope
from metrics.protocols import Thresholds, protocol
from metrics.tables import AnnotationTable, Catalog, DetectionTable
from metrics.tables.image_classes import image_class_pairs, listed_pairs

MAX_DETS = 10_000
"""Detections of an image and class that count."""


def open_images_values(matches: Matches) -> list[Value]:
    """Area under the precision-recall curve of each class, and the mean over classes with objects or groups."""
    (iou,) = matches.rule.iou_thresholds
    by_class = area_under_envelope(matches.at(iou))
    column = ClassColumn("ap_open_images", by_class, "all", iou_text([iou]), 0)
    return overall_values([column]) + class_values([column], matches.classes)


def lacks_verified_labels(truth: AnnotationTable) -> str:
    """That no image tells which classes were looked for."""
    if {"present", "absent"} & set(truth.catalog.image_classes):
        return ""
    return (
        "has no verified labels of images; put Open Images' file of human-verified image labels (columns ImageID, LabelName, "
        "Confidence) beside the table of boxes, or use --protocol coco"
    )


@protocol(
    "open_images",
    open_images_values,
    (0.5,),
    "Kuznetsova et al. 2020, doi:10.1007/s11263-020-01316-z; storage.googleapis.com/openimages/web/evaluation.html, object detection "
    "challenge 2019; TensorFlow Object Detection API, OpenImagesChallengeEvaluator",
    lacks=lacks_verified_labels,
)
def match_as_open_images(
    truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds
) -> Matches:
    """Open Images' AP at an IoU of 0.5, with group-of boxes, verified labels and the hierarchy of classes.

    The hierarchy, if there is one, expands the ground truth: a box counts for its class and all classes above it, and so does a
    label that is present; one that is absent is absent for all classes below it. Detections are not expanded: the challenge expects
    a detection for each class. On an image a class is evaluated if it has boxes there or a verified label; other detections are
    left out, and so are those without width or height.

    By falling score each detection is compared with the box of its class that it overlaps most, without group-of boxes: at an IoU
    of 0.5 it is true if the box has not been found yet. Each other detection is assigned to the group-of box that covers most of
    it, if that is half of it or more. The highest-scoring one assigned to a group is true, others are ignored; a group without
    detection is missed like a box.
    """
    truth = _expanded(truth)
    catalog = truth.catalog
    evaluated = [image_class_pairs(catalog, truth.image, truth.label), _verified(catalog)]
    kept = np.isin(image_class_pairs(catalog, detections.image, detections.label), np.concatenate(evaluated))
    kept &= (detections.xywh[:, 2:] > 0).all(axis=1)
    detections = detections.take(kept)
    boxes = np.flatnonzero(~truth.crowd)
    rule = MatchRule(
        iou_thresholds=iou_thresholds,
        area_ranges={"all": (-1e10, 1e10)},
        max_dets=(MAX_DETS,),
        candidates="best",
        ties="given",
    )
    single = match(truth.take(boxes), detections, rule)
    return _with_groups(single, truth, boxes)


def _with_groups(single: Matches, truth: AnnotationTable, boxes: NDArray[np.intp]) -> Matches:
    """The matches with boxes, and those with groups of detections that match no box.

    Args:
        single: of boxes alone.
        truth: boxes and groups.
        boxes: rows in `truth` of the objects of `single`.
    """
    detections = single.detections
    (iou,) = single.rule.iou_thresholds
    rank = np.zeros(len(detections), np.int32)
    rank[single.row] = single.rank
    unmatched = np.zeros(len(detections), np.bool_)
    unmatched[single.row] = True
    unmatched[single.pair_row] = False
    near = neighbours(truth, detections, truth.crowd, np.flatnonzero(unmatched), iou, crowd=truth.crowd)
    near = near.select(truth.label[near.object] == detections.label[near.row])
    # the group that covers most of a detection, of equal ones the first
    order = np.lexsort((near.object, -near.iou, near.row))
    near = near.select(order[np.unique(near.row[order], return_index=True)[1]])
    inside = single.inside.copy()
    inside[near.row] = 0
    # the highest score of each group, of equal ones the first; a score of 0 counts as none
    near = near.select(detections.score[near.row] > 0)
    order = np.lexsort((near.row, -detections.score[near.row], near.object))
    best = near.select(order[np.unique(near.object[order], return_index=True)[1]])
    count = len(best.row)
    return Matches(
        rule=single.rule,
        truth=dataclasses.replace(truth, crowd=np.zeros_like(truth.crowd)),
        detections=detections,
        start=single.start,
        row=single.row,
        valid=np.ones(len(truth), np.uint16) * ~truth.ignored,
        inside=inside,
        pair_row=np.concatenate([single.pair_row, best.row]),
        pair_object=np.concatenate([boxes[single.pair_object].astype(np.int32), best.object]),
        pair_rank=np.concatenate([single.pair_rank, rank[best.row]]),
        pair_iou=np.concatenate([single.pair_iou, best.iou]),
        pair_bits=np.concatenate([single.pair_bits, np.ones((count, 1), np.uint64)]),
    )


def _expanded(truth: AnnotationTable) -> AnnotationTable:
    """The table with each box also as an object of every class above its own."""
    above = _above(truth.catalog)
    copies = [(row, label) for row, own in enumerate(truth.label.tolist()) for label in above.get(own, ())]
    rows, labels = np.array(copies, np.int64).reshape(-1, 2).T
    table = truth.take(np.concatenate([np.arange(len(truth)), rows]))
    return dataclasses.replace(table, label=np.concatenate([truth.label, labels.astype(np.int32)]))


def _above(catalog: Catalog) -> Mapping[int, list[int]]:
    """The labels of the classes above each class."""
    label = {class_id: index for index, class_id in enumerate(catalog.class_ids)}
    return {
        own: [label[class_id] for class_id in ids]
        for own, ids in enumerate(catalog.class_lists.get("ancestors", ()))
    }


def _verified(catalog: Catalog) -> NDArray[np.int64]:
    """Images and classes that were looked for, as `image_class_pairs`, expanded by the hierarchy."""
    above = _above(catalog)
    below: dict[int, list[int]] = {}
    for own, parents in above.items():
        for parent in parents:
            below.setdefault(parent, []).append(own)
    parts = []
    for name, further in (("present", above), ("absent", below)):
        pairs = listed_pairs(catalog, name)
        parts.append(pairs)
        image, label = pairs // len(catalog.classes), pairs % len(catalog.classes)
        more = [
            (of, other)
            for of, own in zip(image.tolist(), label.tolist(), strict=True)
            for other in further.get(own, ())
        ]
        images, others = np.array(more, np.int32).reshape(-1, 2).T
        parts.append(image_class_pairs(catalog, images, others))
    return np.concatenate(parts)
