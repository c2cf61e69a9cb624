"""Average precision of rare, common and frequent classes, as LVIS reports it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from metrics.errors import InputError
from metrics.matching import Matches
from metrics.measures import Value, iou_text, measure

LVIS_GROUPS: Mapping[str, int] = {"rare": 1, "common": 11, "frequent": 101}
"""Each group's least number of images: rare classes are on 1 to 10, common ones on 11 to 100."""


@measure("frequency_groups", better="higher", source="Gupta et al. 2019, arXiv:1908.03195, section 4")
def frequency_groups(
    matches: Matches, images: Sequence[int] | None = None, groups: Mapping[str, int] | None = None
) -> list[Value]:
    """Mean average precision of classes grouped by the number of images that they are annotated on.

    Values are ``ap_<group>``, over all the rule's thresholds, in its first area range. A group without a class that
    has objects is NaN. LVIS counts images of its training split; the default, of the truth at hand, is not that.

    Args:
        matches: detections and what they found.
        images: (K,) for each class the number of images; by default those of the truth that have an object of it.
        groups: names and least numbers of images, rising; LVIS's by default.

    Raises:
        InputError: `images` has not one number for each class, or the groups do not rise.
    """
    chosen = dict(LVIS_GROUPS if groups is None else groups)
    least = np.array(list(chosen.values()))
    if not len(least) or (np.diff(least) <= 0).any():
        raise InputError(f"groups: expected rising numbers of images, got {chosen}")
    if images is None:
        pairs = np.unique(np.stack([matches.object_label, matches.truth.image], axis=1), axis=0)
        counts = np.bincount(pairs[:, 0], minlength=len(matches.classes))
    else:
        counts = np.asarray(images)
        if counts.shape != (len(matches.classes),):
            raise InputError(
                f"images: expected one number for each of {len(matches.classes)} classes, got shape {counts.shape}"
            )
    group_of = np.searchsorted(least, counts, side="right") - 1
    of_classes = matches.curves().precision[..., 0].mean(axis=(0, 1))
    rule = matches.rule
    values = []
    for index, name in enumerate(chosen):
        mine = of_classes[(group_of == index) & ~np.isnan(of_classes)]
        mean = float(mine.mean()) if len(mine) else math.nan
        values.append(
            Value(f"ap_{name}", mean, "", rule.areas[0], iou_text(rule.iou_thresholds), rule.max_dets[-1])
        )
    return values
