"""Average precision of rare, common and frequent classes, as reported for LVIS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metrics.errors import InputError
from metrics.matching import Matches
from metrics.measures import Value, iou_text, measure
from metrics.plurals import plural
from metrics.ratios import mean_defined

LVIS_GROUPS: Mapping[str, int] = {"rare": 1, "common": 11, "frequent": 101}
"""Minimum number of images of each group: rare classes occur in 1 to 10 images, common ones in 11 to 100."""


@measure("frequency_groups", better="higher", source="Gupta et al. 2019, arXiv:1908.03195, section 4")
def frequency_groups(
    matches: Matches, images: Sequence[int] | None = None, groups: Mapping[str, int] | None = None
) -> list[Value]:
    """Mean average precision of classes grouped by the number of images that contain them.

    Values are ``ap_<group>``, over all the rule's thresholds, in its first area range; NaN for a group in which no class has
    objects. LVIS counts the images of its training split; the default counts those of the given ground truth.

    Args:
        matches: the matched detections.
        images: (K,) number of images of each class; by default those with an object of the class.
        groups: names with minimum numbers of images, ascending; LVIS's by default.

    Raises:
        InputError: `images` does not have one number per class, or the groups are not ascending.
    """
    chosen = dict(LVIS_GROUPS if groups is None else groups)
    least = np.array(list(chosen.values()))
    if not len(least) or (np.diff(least) <= 0).any():
        raise InputError(f"groups: expected ascending numbers of images, got {chosen}")
    if images is None:
        pairs = np.unique(np.stack([matches.object_label, matches.truth.image], axis=1), axis=0)
        counts = np.bincount(pairs[:, 0], minlength=len(matches.classes))
    else:
        counts = np.asarray(images)
        if counts.shape != (len(matches.classes),):
            raise InputError(
                f"images: expected one number for each of {plural(len(matches.classes), 'class')}, got shape {counts.shape}"
            )
    group_of = np.searchsorted(least, counts, side="right") - 1
    by_class = matches.curves().precision[..., 0].mean(axis=(0, 1))
    rule = matches.rule
    values = []
    for index, name in enumerate(chosen):
        mean = mean_defined(by_class[group_of == index])
        values.append(
            Value(f"ap_{name}", mean, "", rule.areas[0], iou_text(rule.iou_thresholds), rule.max_dets[-1])
        )
    return values
