"""Settings of `COCOeval`, with the names of pycocotools."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.match_rule import COCO_AREAS, COCO_THRESHOLDS

BOXES = "bbox"
"""The only `Params.iouType` that is evaluated here."""


class Params:
    """Settings of `COCOeval`.

    Args:
        iouType: ``bbox``.

    Attributes:
        imgIds: images to evaluate on; Python or NumPy integers, or strings.
        catIds: classes to evaluate.
        iouThrs: (T,) IoU thresholds.
        recThrs: (R,) rising recall levels.
        maxDets: M limits on the detections of each image and class.
        areaRng: A area ranges [min, max] in square pixels, both ends included.
        areaRngLbl: names of the area ranges.
        useCats: 0 to treat all classes as one.
        iouType: ``bbox``.
        useSegm: deprecated by pycocotools; None, or 0 for boxes.

    Raises:
        InputError: `iouType` is not ``bbox``.
    """

    def __init__(self, iouType: str = BOXES) -> None:
        require_boxes(iouType)
        self.setDetParams()
        self.iouType = iouType
        self.useSegm: int | None = None

    def setDetParams(self) -> None:
        """Set the defaults for boxes, and no images and classes."""
        self.imgIds: Sequence[Any] = []
        self.catIds: Sequence[Any] = []
        self.iouThrs: NDArray[np.float64] = np.array(COCO_THRESHOLDS)
        self.recThrs: NDArray[np.float64] = np.linspace(0.0, 1.0, 101)
        self.maxDets: Sequence[int] = [1, 10, 100]
        self.areaRng: Sequence[Sequence[float]] = [list(limits) for limits in COCO_AREAS.values()]
        self.areaRngLbl: Sequence[str] = list(COCO_AREAS)
        self.useCats: int | bool = 1

    def setKpParams(self) -> None:
        """Refuse keypoints."""
        require_boxes("keypoints")


def require_boxes(iou_type: str) -> None:
    """Refuse masks, keypoints and unknown kinds.

    Raises:
        InputError: `iou_type` is not ``bbox``.
    """
    if iou_type != BOXES:
        raise InputError(f"iouType: only 'bbox' is supported, got {iou_type!r}; use pycocotools for that")


def normalize(params: Params) -> None:
    """Sort ids and limits, as pycocotools does before it evaluates; ids become Python's integers or strings.

    Raises:
        InputError: the settings do not ask for boxes.
    """
    if params.useSegm is not None:
        params.iouType = "segm" if params.useSegm == 1 else BOXES
    require_boxes(params.iouType)
    params.imgIds = sorted(set(_plain(params.imgIds)))
    # without classes, their order breaks ties between the detections of an image
    categories = _plain(params.catIds)
    params.catIds = sorted(set(categories)) if params.useCats else list(dict.fromkeys(categories))
    params.maxDets = sorted(params.maxDets)


def category_axis(params: Params) -> Sequence[Any]:
    """The ids along the class axis of the results: -1 where all classes are one."""
    return params.catIds if params.useCats else [-1]


def _plain(ids: Iterable[Any]) -> list[Any]:
    return [item.item() if isinstance(item, np.generic) else item for item in ids]
