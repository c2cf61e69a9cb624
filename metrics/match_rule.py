"""When a detection matches an object: thresholds, areas and limits; by default COCO's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from metrics.errors import InputError
from metrics.registry import did_you_mean

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""0.5, 0.55 ... 0.95, bit for bit those of pycocotools."""

UNLIMITED = 2**31 - 1
"""For `MatchRule.max_dets`: no limit on the detections of an image and class."""

COCO_AREAS: Mapping[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 1024.0),
    "medium": (1024.0, 9216.0),
    "large": (9216.0, 1e10),
}
"""Square pixels, both ends included: an area of exactly 1024 is small and medium."""


@dataclass(frozen=True)
class MatchRule:
    """When a detection matches an object. The defaults are COCO's.

    Attributes:
        iou_thresholds: T rising numbers in (0, 1], at most 64. A threshold of 1 means 1 - 1e-10, as in pycocotools.
        area_ranges: A names and (min, max) in square pixels, both ends included, at most 16. In a range only objects
            of such an area are valid. The others are ignored, and so are detections that match them, and unmatched
            detections of another area.
        max_dets: rising limits on the detections of each image and class, by score. Matching and average precision use
            the largest (the summary of pycocotools looks for 100, and prints -1 without it); recall is computed for each.
        by_class: whether a detection must have the object's class. If not, all classes are one.
        candidates: the objects that a detection may match. ``free``: of those that are not matched yet the one of the
            highest IoU. ``best``: only the one of the highest IoU of all, valid or not, of equal ones the first; if it is
            matched already, the detection is a false positive, unless the object is ignored (Pascal VOC).
        ties: the rank of detections of equal score: by image and then as given (``image``), or as given (``given``).
    """

    iou_thresholds: tuple[float, ...] = COCO_THRESHOLDS
    area_ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(COCO_AREAS))
    max_dets: tuple[int, ...] = (1, 10, 100)
    by_class: bool = True
    candidates: Literal["free", "best"] = "free"
    ties: Literal["image", "given"] = "image"

    def __post_init__(self) -> None:
        thresholds, cuts = self.iou_thresholds, self.max_dets
        if not 1 <= len(thresholds) <= 64:
            raise InputError(f"MatchRule.iou_thresholds: expected 1 to 64 numbers, got {len(thresholds)}")
        if not (thresholds[0] > 0 and thresholds[-1] <= 1 and _rising(thresholds)):
            raise InputError(f"MatchRule.iou_thresholds: expected rising numbers in (0, 1], got {thresholds}")
        if not 1 <= len(self.area_ranges) <= 16:
            raise InputError(f"MatchRule.area_ranges: expected 1 to 16 ranges, got {len(self.area_ranges)}")
        for name, (least, most) in self.area_ranges.items():
            if not least <= most:
                raise InputError(
                    f"MatchRule.area_ranges: {name!r} has minimum {least} above maximum {most}; swap them"
                )
        if not (cuts and cuts[0] >= 1 and _rising(cuts)):
            raise InputError(f"MatchRule.max_dets: expected rising numbers of at least 1, got {cuts}")
        for name, value, known in (
            ("candidates", self.candidates, ("free", "best")),
            ("ties", self.ties, ("image", "given")),
        ):
            if value not in known:
                raise InputError(f"MatchRule.{name}: expected {' or '.join(known)}, got {value!r}")

    @property
    def areas(self) -> tuple[str, ...]:
        """Names of the area ranges."""
        return tuple(self.area_ranges)

    def threshold_index(self, iou: float) -> int:
        """Index of the threshold that equals `iou` to nine decimals.

        Raises:
            InputError: there is none.
        """
        for index, threshold in enumerate(self.iou_thresholds):
            if abs(threshold - iou) < 1e-9:
                return index
        thresholds = ", ".join(f"{value:g}" for value in self.iou_thresholds)
        raise InputError(
            f"iou: {iou:g} is not among the rule's thresholds ({thresholds}); add it to iou_thresholds"
        )

    def area_index(self, area: str) -> int:
        """Index of the area range with this name.

        Raises:
            InputError: there is none.
        """
        if area not in self.area_ranges:
            raise InputError(f"area: no area range {area!r}{did_you_mean(area, self.areas)}")
        return self.areas.index(area)

    def max_dets_or_largest(self, max_dets: int | None) -> int:
        """`max_dets`, or the rule's largest where it is None.

        Raises:
            InputError: it is below 1, or above the largest: detections beyond that were not matched.
        """
        if max_dets is None:
            return self.max_dets[-1]
        if not 1 <= max_dets <= self.max_dets[-1]:
            raise InputError(
                f"max_dets: expected 1 to {self.max_dets[-1]}, the rule's largest, got {max_dets}"
            )
        return max_dets


def _rising(values: tuple[float, ...]) -> bool:
    return all(a < b for a, b in pairwise(values))
