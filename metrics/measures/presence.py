"""Is there one in the image? Accuracy, sensitivity and specificity of detections as answers about whole images.

For boxes a true negative does not exist: nobody can count the places where nothing was and nothing was found. An image
without a class, and without a detection of it, is one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.matching import Matches
from metrics.measures import Value, measure


class Presence(NamedTuple):
    """Images by what is in them and what is said of them, for each class.

    Attributes:
        true_positives: (K,) images with an object of the class, and a detection of it.
        false_positives: (K,) images without, and a detection.
        false_negatives: (K,) images with, and no detection.
        true_negatives: (K,) images without, and no detection.
    """

    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    false_negatives: NDArray[np.int64]
    true_negatives: NDArray[np.int64]


@measure("presence", better="higher", source="Fawcett 2006, An introduction to ROC analysis, section 2")
def presence(matches: Matches, score: float = 0.5, area: str | None = None) -> list[Value]:
    """Whether an image has a class: accuracy, sensitivity and specificity over images.

    ``image_accuracy`` is the share of images of which it is said rightly, ``image_sensitivity`` that among the images
    with the class, ``image_specificity`` that among those without. For all classes together each is the mean over
    the classes that have one.

    Args:
        matches: detections and what they found; where they lie does not matter here.
        score: an image has the class, so says the detector, if a detection of it has this score or a higher one.
        area: one of the rule's area ranges, the first where None: objects of other areas are as if ignored.

    Returns:
        NaN where there is no image to take a share of.
    """
    table = presence_table(matches, score, area)
    yes, no = table.true_positives + table.false_negatives, table.true_negatives + table.false_positives
    shares = {
        "image_accuracy": _shares(table.true_positives + table.true_negatives, yes + no),
        "image_sensitivity": _shares(table.true_positives, yes),
        "image_specificity": _shares(table.true_negatives, no),
    }
    where = area or matches.rule.areas[0]
    values = [Value(name, _mean(share), "", where) for name, share in shares.items()]
    for label, class_name in enumerate(matches.classes):
        values += [Value(name, float(share[label]), class_name, where) for name, share in shares.items()]
    return values


def presence_table(matches: Matches, score: float = 0.5, area: str | None = None) -> Presence:
    """Count images with and without each class, by what the detector says of them.

    An image whose only objects of a class are not asked for (crowds, ignored ones, those of another area) neither has
    the class nor lacks it, and is not counted for that class.

    Args:
        matches: detections and what they found.
        score: an image has the class, so says the detector, if a detection of it has this score or a higher one.
        area: one of the rule's area ranges, the first where None.
    """
    images, classes = len(matches.truth.catalog.image_ids), len(matches.classes)
    index = matches.rule.area_index(area or matches.rule.areas[0])
    asked = matches.valid >> index & 1 == 1
    place = matches.truth.image.astype(np.int64) * classes + matches.object_label
    has = np.unique(place[asked])
    unclear = np.setdiff1d(place[~asked], has)
    kept = matches.score >= score
    said = np.unique(matches.image[kept].astype(np.int64) * classes + matches.label[kept])
    said = np.setdiff1d(said, unclear, assume_unique=True)
    right = np.intersect1d(has, said, assume_unique=True)
    positives, positive_answers, hits, left_out = (
        np.bincount(places % classes if classes else places, minlength=classes)
        for places in (has, said, right, unclear)
    )
    false = positive_answers - hits
    return Presence(hits, false, positives - hits, images - left_out - positives - false)


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    shares = np.full(len(part), np.nan)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares


def _mean(shares: NDArray[np.float64]) -> float:
    defined = shares[~np.isnan(shares)]
    return float(defined.mean()) if len(defined) else float("nan")
