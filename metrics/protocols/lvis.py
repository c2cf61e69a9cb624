"""LVIS's protocol for federated annotations, in which not every class is annotated on every image."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from metrics.evaluator_rules import highest_scores
from metrics.match_rule import COCO_THRESHOLDS, MatchRule
from metrics.matching import Matches, match
from metrics.measures import Value
from metrics.measures.average_precision import average_precision
from metrics.measures.average_recall import average_recall
from metrics.measures.frequency_groups import frequency_groups
from metrics.notes import Note, report
from metrics.protocols import Thresholds, protocol
from metrics.tables import AnnotationTable, Catalog, DetectionTable
from metrics.tables.image_classes import image_class_pairs, listed_pairs

MAX_DETS = 300
"""Detections of an image that count, over all classes."""

_PRECISIONS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")

_LEAST_IMAGES = {"r": 1, "c": 11, "f": 101}
"""A number of images in each of LVIS's groups: up to 10 rare, up to 100 common."""


def lvis_values(matches: Matches) -> list[Value]:
    """AP, AP50, AP75, AP by size and by frequency of the class, and AR of 300 detections."""
    precision, recall = average_precision(matches), average_recall(matches)
    groups = frequency_groups(matches, images=_image_counts(matches.truth.catalog))
    overall = [each for each in precision if not each.class_name and each.name in _PRECISIONS]
    overall += [*groups, *(each for each in recall if not each.class_name)]
    return overall + [each for each in (*precision, *recall) if each.class_name]


def lacks_verified_classes(truth: AnnotationTable) -> str:
    """That no image tells which classes are absent, without which every detection of an unannotated class would be dropped."""
    if "negative" in truth.catalog.image_classes:
        return ""
    return "has no neg_category_ids, which say what classes an image does not have; use a file of LVIS, or --protocol coco"


@protocol(
    "lvis",
    lvis_values,
    COCO_THRESHOLDS,
    "Gupta et al. 2019, arXiv:1908.03195, section 2; lvis 0.5.3, LVISEval",
    lacks=lacks_verified_classes,
)
def match_as_lvis(truth: AnnotationTable, detections: DetectionTable, iou_thresholds: Thresholds) -> Matches:
    """LVIS's AP and AR for federated annotations, also for rare, common and frequent classes.

    The 300 highest-scoring detections of an image count, over all classes. On an image, a class is evaluated only if it has
    objects there or is among its ``neg_category_ids``; other detections are left out, because nobody looked for their class.
    Where a class is among the ``not_exhaustive_category_ids``, detections that match no object are ignored. Matching is
    COCO's, in which no object of LVIS is a crowd. The groups are those of the categories' ``frequency``, which counts images
    of the training split.
    """
    catalog = truth.catalog
    evaluated = np.union1d(
        listed_pairs(catalog, "negative"), image_class_pairs(catalog, truth.image, truth.label)
    )
    kept = highest_scores(detections, MAX_DETS)
    kept &= np.isin(image_class_pairs(catalog, detections.image, detections.label), evaluated)
    chosen = detections.take(kept)
    plain = dataclasses.replace(truth, crowd=np.zeros_like(truth.crowd))
    rule = MatchRule(iou_thresholds=iou_thresholds, max_dets=(MAX_DETS,))
    matches = match(plain, chosen, rule)
    pairs = image_class_pairs(catalog, chosen.image, chosen.label)
    incomplete = np.isin(pairs, listed_pairs(catalog, "not_exhaustive"))
    # in no area range: ignored unless it matches, as those of another size are
    return dataclasses.replace(matches, inside=np.where(incomplete, np.uint16(0), matches.inside))


def _image_counts(catalog: Catalog) -> Sequence[int] | None:
    """A number of images in the group of each class; None where categories do not tell, which is reported."""
    frequency, counts = (catalog.class_columns.get(name, ()) for name in ("frequency", "image_count"))
    if frequency and set(frequency) <= set(_LEAST_IMAGES):
        return [_LEAST_IMAGES[str(letter)] for letter in frequency]
    if counts and all(isinstance(count, int) for count in counts):
        return [int(count) for count in counts if count is not None]
    text = "categories have neither frequency (r, c, f) nor image_count: the groups count images of this ground truth"
    report(Note("frequency", text))
    return None
