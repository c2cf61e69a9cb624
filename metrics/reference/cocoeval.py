"""Drop-in replacement for pycocotools' ``COCOeval``, for boxes.

Replace ``from pycocotools.cocoeval import COCOeval`` by ``from metrics.cocoeval import COCOeval``. Attributes and
numbers are equal to the last bit, including -1 for undefined numbers and the first number, which looks for ``maxDets``
of 100. It differs where pycocotools crashes or is silently wrong: without detections AP is 0; an object with the id 0
can be matched; objects that share an id are separate objects; a missing ``area`` is w * h and a missing ``iscrowd`` 0;
fewer than three ``maxDets`` are accepted; `accumulate` refuses settings that were not evaluated. It prints only the
summary, and ``iouType`` is ``bbox`` by default.
"""

from __future__ import annotations

import copy
import datetime
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.reference.accumulation import accumulate_matches, accumulate_results, same_matching
from metrics.reference.annotations import AnnotationSource, Cells, document_of
from metrics.reference.image_matching import ImageCell, ImageResult, box_overlaps, match_cell
from metrics.reference.image_results import Evaluated, list_results, match_all
from metrics.reference.params import BOXES, Params, category_axis, normalize, require_boxes
from metrics.reference.summary import summarize_boxes

STEPS = ("_prepare", "computeIoU", "evaluateImg")
"""Methods that `evaluate` calls for each image and class where a subclass overrides one of them."""


class COCOeval:
    """Evaluation of detections with the interface of pycocotools.

    `evaluate` matches all images at once. Where a subclass overrides `_prepare`, `computeIoU` or `evaluateImg`, it calls
    them for each image and class, as pycocotools does, and takes about as long.

    Args:
        cocoGt: pycocotools' ``COCO``, or any object with its ``dataset``.
        cocoDt: the return value of its ``loadRes``, or the list of results, which may be empty. Both can be set later.
        iouType: ``bbox``; masks and keypoints are not evaluated here.

    Attributes:
        params: settings; change them before `evaluate`.
        eval: after `accumulate`, ``precision`` and ``scores`` (T, R, K, A, M), ``recall`` (T, K, A, M), ``counts``,
            ``params`` and ``date``; -1 where no object is valid.
        stats: after `summarize`, (12,).

    Raises:
        InputError: `iouType` is not ``bbox``.
    """

    # defaults for subclasses that do not call this __init__
    _paramsEval: Any = None
    _source: AnnotationSource | None = None
    _evaluated: Evaluated | None = None

    def __init__(self, cocoGt: Any = None, cocoDt: Any = None, iouType: str = BOXES) -> None:
        self.cocoGt = cocoGt
        self.cocoDt = cocoDt
        self.params = Params(iouType)
        if cocoGt is not None:
            document = document_of(cocoGt)
            self.params.imgIds = sorted({image["id"] for image in document.get("images", ())})
            self.params.catIds = sorted({category["id"] for category in document.get("categories", ())})
        self.eval: dict[str, Any] = {}
        self.stats: NDArray[np.float64] | list[float] = []

    def evaluate(self) -> None:
        """Match detections with objects under `params`.

        Raises:
            InputError: `cocoGt` or `cocoDt` was not set, or annotations or settings are invalid.
        """
        params = self.params
        normalize(params)
        self._prepare()
        if self._overrides_a_step():
            cells = [(image, category) for category in category_axis(params) for image in params.imgIds]
            self.ious = {cell: self.computeIoU(*cell) for cell in cells}
            self.evalImgs = [
                self.evaluateImg(image, category, area, params.maxDets[-1])
                for category in category_axis(params)
                for area in params.areaRng
                for image in params.imgIds
            ]
        else:
            self._evaluated = match_all(self._new_source(), copy.deepcopy(params))
        self._paramsEval = copy.deepcopy(params)

    def accumulate(self, p: Params | None = None) -> None:
        """Compute `eval` from `evalImgs`, also where these were set or modified.

        Args:
            p: settings, by default `params`. They can choose among the evaluated thresholds, classes, images, area
                ranges and detections.

        Raises:
            InputError: `evaluate` was not called, settings that were not evaluated, `evalImgs` that do not fit
                `_paramsEval`, or recall levels that do not rise.
        """
        if not self._paramsEval:
            raise InputError("COCOeval.accumulate: call evaluate first")
        params, evaluated = p or self.params, self._evaluated
        if "evalImgs" not in vars(self) and evaluated and same_matching(evaluated.params, params):
            tables = accumulate_matches(evaluated.matches, params)
        else:
            tables = accumulate_results(self.evalImgs, self._paramsEval, params)
        self.eval = {
            "params": params,
            "counts": [*tables.precision.shape],
            "date": datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S"),
            **tables._asdict(),
        }

    def summarize(self) -> None:
        """Compute `stats`, the twelve numbers, and print them.

        Raises:
            InputError: `accumulate` was not called.
        """
        if not self.eval:
            raise InputError("COCOeval.summarize: call accumulate first")
        self.stats = summarize_boxes(self.eval, self.params)

    def __str__(self) -> str:
        self.summarize()
        return ""

    @cached_property
    def evalImgs(self) -> Sequence[ImageResult | None]:
        """Matches of each class, area range and image, in this order: a dict, or None without objects and detections.

        The dicts have the keys of pycocotools. Empty before `evaluate`. Where an image has a match with the id 0, it is
        recorded as a tiny positive number, because 0 means no match.
        """
        return list_results(self._evaluated) if self._evaluated else []

    @cached_property
    def ious(self) -> dict[tuple[Any, Any], Any]:
        """What `computeIoU` returns for each image and class of `evaluate`, computed when it is first read."""
        if self._evaluated is None:
            return {}
        params = self._evaluated.params
        return {
            (image, category): box_overlaps(self._cell(params, image, category), params.maxDets[-1])
            for image in params.imgIds
            for category in category_axis(params)
        }

    @cached_property
    def _gts(self) -> Cells:
        return self._source.objects_by_cell() if self._source else defaultdict(list)

    @cached_property
    def _dts(self) -> Cells:
        return self._source.detections_by_cell() if self._source else defaultdict(list)

    def computeIoU(self, imgId: Any, catId: Any) -> Any:
        """IoU of the highest-scoring detections of an image and class with its objects.

        Args:
            imgId: id of the image.
            catId: id of the class; -1 where all classes are one.

        Returns:
            (D, G) with the detections by falling score, or an empty list where D or G is 0. For a crowd, the covered
            part of the detection.
        """
        return box_overlaps(self._cell(self.params, imgId, catId), self.params.maxDets[-1])

    def computeOks(self, imgId: Any, catId: Any) -> Any:
        """Refuse keypoints."""
        require_boxes("keypoints")

    def evaluateImg(self, imgId: Any, catId: Any, aRng: Sequence[float], maxDet: int) -> ImageResult | None:
        """Match the detections of one image and class, by `ious`.

        Args:
            imgId: id of the image.
            catId: id of the class; -1 where all classes are one.
            aRng: smallest and largest area of valid objects.
            maxDet: maximum number of detections.

        Returns:
            An entry of `evalImgs`.
        """
        cell = self._cell(self.params, imgId, catId)
        known = self.ious.get((imgId, catId))
        overlaps = self.computeIoU(imgId, catId) if known is None else known
        return match_cell(cell, overlaps, self.params.iouThrs, aRng, maxDet)

    def _prepare(self) -> None:
        """Prepare `_gts` and `_dts`, which are read when they are first used, and forget all results."""
        for name in ("evalImgs", "ious", "_gts", "_dts"):
            vars(self).pop(name, None)
        self.eval = {}
        self._evaluated = None
        self._source = self._new_source()

    def _new_source(self) -> AnnotationSource:
        for name in ("cocoGt", "cocoDt"):
            if getattr(self, name) is None:
                raise InputError(f"COCOeval.evaluate: {name} is None; set it first")
        return AnnotationSource(self.cocoGt, self.cocoDt, self.params.imgIds, self.params.catIds)

    def _cell(self, params: Params, image_id: Any, category_id: Any) -> ImageCell:
        categories = [category_id] if params.useCats else params.catIds
        objects = [item for category in categories for item in self._gts[image_id, category]]
        detections = [item for category in categories for item in self._dts[image_id, category]]
        return ImageCell(image_id, category_id, objects, detections)

    def _overrides_a_step(self) -> bool:
        return any(
            name in vars(self) or getattr(type(self), name) is not getattr(COCOeval, name) for name in STEPS
        )
