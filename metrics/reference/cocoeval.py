"""Drop-in replacement for pycocotools' ``COCOeval``, for boxes.

Replace ``from pycocotools.cocoeval import COCOeval`` by ``from metrics.cocoeval import COCOeval``. Attributes and
numbers are equal to the last bit, including -1 for undefined numbers and the first number, which looks for ``maxDets``
of 100. It differs where pycocotools crashes or is silently wrong: without detections AP is 0; an object with the id 0
can be matched; objects that share an id are separate objects; a missing ``area`` is w * h and a missing ``iscrowd`` 0;
fewer than three ``maxDets`` are accepted. It prints only the summary.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.matching import COCO_AREAS, COCO_THRESHOLDS, Matches, MatchRule, match
from metrics.tables import AnnotationTable, Catalog, DetectionTable

Record = Mapping[str, Any]


class Params:
    """Settings of `COCOeval`, with the names of pycocotools.

    Attributes:
        imgIds: images to evaluate on.
        catIds: classes to evaluate.
        iouThrs: (T,) IoU thresholds.
        recThrs: (R,) rising recall levels.
        maxDets: M limits on the detections of each image and class.
        areaRng: A area ranges [min, max] in square pixels.
        areaRngLbl: names of the area ranges.
        useCats: 0 to treat all classes as one.
        iouType: ``bbox``.
    """

    def __init__(self) -> None:
        self.imgIds: Sequence[Any] = []
        self.catIds: Sequence[int] = []
        self.iouThrs: NDArray[np.float64] = np.array(COCO_THRESHOLDS)
        self.recThrs: NDArray[np.float64] = np.linspace(0.0, 1.0, 101)
        self.maxDets: Sequence[int] = [1, 10, 100]
        self.areaRng: Sequence[Sequence[float]] = [list(limits) for limits in COCO_AREAS.values()]
        self.areaRngLbl: Sequence[str] = list(COCO_AREAS)
        self.useCats: int | bool = 1
        self.iouType = "bbox"


class COCOeval:
    """Evaluation of detections with the interface of pycocotools.

    Args:
        cocoGt: pycocotools' ``COCO``, or any object with its ``dataset``.
        cocoDt: the return value of its ``loadRes``, or the list of results, which may be empty.
        iouType: ``bbox``; masks and keypoints are not evaluated here.

    Attributes:
        params: settings; change them before `evaluate`.
        eval: after `accumulate`, ``precision`` and ``scores`` (T, R, K, A, M), ``recall`` (T, K, A, M), ``counts``,
            ``params`` and ``date``; -1 where no object is valid.
        stats: after `summarize`, (12,).

    Raises:
        InputError: `iouType` is not ``bbox``.
    """

    def __init__(self, cocoGt: Any, cocoDt: Any, iouType: Literal["bbox"] = "bbox") -> None:
        if iouType != "bbox":
            raise InputError(f"iouType: only 'bbox' is supported, got {iouType!r}; use pycocotools for that")
        self.cocoGt = cocoGt
        self.cocoDt = cocoDt
        self.params = Params()
        document = _document(cocoGt)
        self.params.imgIds = sorted({image["id"] for image in document["images"]})
        self.params.catIds = sorted({category["id"] for category in document.get("categories", [])})
        self.eval: dict[str, Any] = {}
        self.stats: NDArray[np.float64] | list[float] = []
        self._matches: Matches | None = None

    def evaluate(self) -> None:
        """Match detections with objects under `params`."""
        params = self.params
        params.imgIds = sorted(set(params.imgIds))
        params.catIds = sorted(set(params.catIds))
        params.maxDets = sorted(params.maxDets)
        self._matches = self._match(params)

    def accumulate(self, p: Params | None = None) -> None:
        """Compute `eval`: precision, recall and scores.

        Args:
            p: settings; by default `params`.

        Raises:
            InputError: `evaluate` was not called.
        """
        if self._matches is None:
            raise InputError("COCOeval.accumulate: call evaluate first")
        params = p or self.params
        matches = self._matches if p is None or p is self.params else self._match(p)
        levels = np.asarray(params.recThrs, np.float64)
        if (np.diff(levels) < 0).any():
            raise InputError("params.recThrs: expected rising recall levels")
        thresholds = np.unique(np.asarray(params.iouThrs, np.float64))
        order = np.searchsorted(thresholds, np.asarray(params.iouThrs, np.float64))
        computed = [matches.curves(most, levels) for most in params.maxDets]
        precision, scores, recall = (
            np.nan_to_num(np.stack(columns, axis=-1)[order], nan=-1.0)
            for columns in (
                [curves.precision for curves in computed],
                [curves.score for curves in computed],
                [curves.recall for curves in computed],
            )
        )
        self.eval = {
            "params": params,
            "counts": [*precision.shape],
            "date": datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S"),
            "precision": precision,
            "recall": recall,
            "scores": scores,
        }

    def summarize(self) -> None:
        """Compute `stats`, the twelve numbers, and print them.

        Raises:
            InputError: `accumulate` was not called.
        """
        if not self.eval:
            raise InputError("COCOeval.summarize: call accumulate first")
        cuts = list(self.params.maxDets)
        first, second, last = cuts[0], cuts[min(1, len(cuts) - 1)], cuts[min(2, len(cuts) - 1)]
        self.stats = np.array(
            [
                self._number("precision", most=100 if len(cuts) > 2 else last),
                self._number("precision", iou=0.5, most=last),
                self._number("precision", iou=0.75, most=last),
                *(self._number("precision", area=area, most=last) for area in ("small", "medium", "large")),
                *(self._number("recall", most=most) for most in (first, second, last)),
                *(self._number("recall", area=area, most=last) for area in ("small", "medium", "large")),
            ]
        )

    def __str__(self) -> str:
        self.summarize()
        return ""

    @property
    def evalImgs(self) -> list[dict[str, Any] | None]:
        """Matches of each class, area range and image, in this order: a dict, or None without objects and detections.

        The dicts have the keys of pycocotools. Among ids, 0 means no match.

        Raises:
            InputError: `evaluate` was not called.
        """
        if self._matches is None:
            raise InputError("COCOeval.evalImgs: call evaluate first")
        return _per_image(self._matches, self.params, self._detection_ids)

    def _match(self, params: Params) -> Matches:
        images, classes = sorted(set(params.imgIds)), sorted(set(params.catIds))
        catalog = Catalog.of(images, [str(identity) for identity in classes], class_ids=classes)
        objects = _records(_document(self.cocoGt)["annotations"], catalog)
        results = self.cocoDt if isinstance(self.cocoDt, Sequence) else _document(self.cocoDt)["annotations"]
        detections = _records(results, catalog)
        truth = AnnotationTable.of(
            catalog,
            *_columns(objects, catalog),
            area=[item["area"] if "area" in item else item["bbox"][2] * item["bbox"][3] for item in objects],
            crowd=[bool(item.get("iscrowd", 0)) for item in objects],
            object_id=[item.get("id", 0) for item in objects],
        )
        image, label, box = _columns(detections, catalog)
        score = np.array([item["score"] for item in detections], np.float64)
        self._detection_ids = np.array(
            [item.get("id", row + 1) for row, item in enumerate(detections)], np.int64
        )
        rule = MatchRule(
            iou_thresholds=tuple(np.unique(np.asarray(params.iouThrs, np.float64)).tolist()),
            area_ranges={str(index): (low, high) for index, (low, high) in enumerate(params.areaRng)},
            max_dets=tuple(sorted(set(params.maxDets))),
            by_class=bool(params.useCats),
        )
        return match(truth, DetectionTable(catalog, image, label, box, score), rule)

    def _number(
        self,
        kind: Literal["precision", "recall"],
        iou: float | None = None,
        area: str = "all",
        most: int = 100,
    ) -> float:
        """Print one line of the summary and return its number; -1 where it is undefined or no setting has that name."""
        params = self.params
        table = self.eval[kind]
        if iou is not None:
            table = table[np.flatnonzero(np.asarray(params.iouThrs) == iou)]
        areas = [index for index, name in enumerate(params.areaRngLbl) if name == area]
        cuts = [index for index, cut in enumerate(params.maxDets) if cut == most]
        table = table[..., areas, :][..., cuts]
        defined = table[table > -1]
        number = float(np.mean(defined)) if defined.size else -1.0
        title = "Average Precision  (AP)" if kind == "precision" else "Average Recall     (AR)"
        span = f"{params.iouThrs[0]:0.2f}:{params.iouThrs[-1]:0.2f}" if iou is None else f"{iou:0.2f}"
        print(f" {title} @[ IoU={span:<9} | area={area:>6s} | maxDets={most:>3d} ] = {number:0.3f}")
        return number


def _document(coco: Any) -> Mapping[str, Any]:
    """The contents of a COCO file, which objects of pycocotools and its successors hold as ``dataset``."""
    document = getattr(coco, "dataset", coco)
    if not isinstance(document, Mapping) or "annotations" not in document:
        raise InputError(f"COCOeval: expected pycocotools' COCO with a dataset, got {type(coco).__name__}")
    return document


def _records(items: Iterable[Record], catalog: Catalog) -> list[Record]:
    """The records on evaluated images and of evaluated classes."""
    images, classes = set(catalog.image_ids), set(catalog.class_ids)
    return [item for item in items if item["image_id"] in images and item["category_id"] in classes]


def _columns(
    items: Sequence[Record], catalog: Catalog
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Image, label and box."""
    image_of = {identity: index for index, identity in enumerate(catalog.image_ids)}
    label_of = {identity: index for index, identity in enumerate(catalog.class_ids)}
    return (
        np.array([image_of[item["image_id"]] for item in items], np.int32),
        np.array([label_of[item["category_id"]] for item in items], np.int32),
        np.array([item["bbox"] for item in items], np.float64).reshape(-1, 4),
    )


def _per_image(
    matches: Matches, params: Params, detection_ids: NDArray[np.int64]
) -> list[dict[str, Any] | None]:
    """`evalImgs` of pycocotools."""
    truth, catalog = matches.truth, matches.truth.catalog
    classes, images = len(matches.classes), len(catalog.image_ids)
    ids = params.catIds if params.useCats else [-1]
    det_cell = matches.label.astype(np.int64) * images + matches.image
    det_order = np.argsort(det_cell, kind="stable")
    det_start = np.searchsorted(det_cell[det_order], np.arange(classes * images + 1))
    # as pycocotools concatenates them: by class or, without classes, by class within the image
    obj_cell = matches.object_label.astype(np.int64) * images + truth.image
    obj_order = np.lexsort((truth.label, obj_cell))
    obj_start = np.searchsorted(obj_cell[obj_order], np.arange(classes * images + 1))
    thresholds = np.searchsorted(matches.rule.iou_thresholds, np.asarray(params.iouThrs))
    listed: list[list[dict[str, Any] | None]] = [[] for _ in range(classes)]
    for area_index, area in enumerate(matches.rule.areas):
        outcomes = [matches.at(matches.rule.iou_thresholds[index], area) for index in thresholds]
        matched = np.stack([outcome.object for outcome in outcomes])
        ignored = np.stack([outcome.ignored for outcome in outcomes])
        matched_by = np.zeros((len(thresholds), len(truth)), np.int64)
        for by, outcome in zip(
            matched_by, outcomes, strict=True
        ):  # of the detections on a crowd the last remains
            hits = outcome.object >= 0
            by[outcome.object[hits]] = detection_ids[outcome.row[hits]]
        matched_id = np.where(matched >= 0, np.append(truth.object_id, 0)[matched], 0).astype(np.float64)
        for label in range(classes):
            for image in range(images):
                cell = label * images + image
                detections = det_order[det_start[cell] : det_start[cell + 1]]
                objects = obj_order[obj_start[cell] : obj_start[cell + 1]]
                if not len(detections) and not len(objects):
                    listed[label].append(None)
                    continue
                objects = objects[np.argsort(~outcomes[0].valid[objects], kind="stable")]
                listed[label].append(
                    {
                        "image_id": catalog.image_ids[image],
                        "category_id": ids[label],
                        "aRng": params.areaRng[area_index],
                        "maxDet": matches.rule.max_dets[-1],
                        "dtIds": detection_ids[matches.row[detections]].tolist(),
                        "gtIds": truth.object_id[objects].tolist(),
                        "dtMatches": matched_id[:, detections],
                        "gtMatches": matched_by[:, objects].astype(np.float64),
                        "dtScores": matches.score[detections].tolist(),
                        "gtIgnore": (~outcomes[0].valid[objects]).astype(np.int64),
                        "dtIgnore": ignored[:, detections],
                    }
                )
    return [item for items in listed for item in items]
