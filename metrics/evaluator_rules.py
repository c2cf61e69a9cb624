"""Rules in which evaluators differ, as data: what each rule changes, one after another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.curves import RECALL_LEVELS
from metrics.match_rule import COCO_AREAS, COCO_THRESHOLDS, UNLIMITED, MatchRule
from metrics.matching import Matches, MatchOutcome, match
from metrics.measures import ClassColumn, Value, class_values, iou_text, overall_values
from metrics.plurals import plural
from metrics.ratios import mean_defined
from metrics.tables import AnnotationTable, DetectionTable

Curve = Literal["envelope", "own_precision", "interpolated", "interpolated_to_end"]


@dataclass(frozen=True)
class EvaluatorRules:
    """The rules of an evaluator. The defaults are COCO's; the order of the fields is that in which steps are shown.

    Attributes:
        rounding: type of the IoU thresholds and recall levels. In ``float32``, 36 of the 101 levels are higher: a class of which
            11 of 20 objects are found does not reach the level 0.55.
        areas: area of an object by which small, medium and large are told apart: ``given``, that of the annotation, which is
            its mask's in COCO; ``box``.
        score: only detections with a higher score count; None: all.
        per_image: limit on the detections of an image, over all classes; None: none.
        per_class: limit on the detections of each image and class; None: none.
        empty_images: whether detections in images without an object count.
        regions: crowds and other ignored objects: ``ignored``, detections that match them count neither way; ``left_out``,
            such detections are false positives.
        candidates: as in `MatchRule`, where of several ``free`` objects of equal IoU the last is taken. ``first_free``: the
            first.
        curve: average precision of a class, from its precision-recall curve.
            ``envelope``: mean, over 101 recall levels, of the highest precision at that recall or beyond.
            ``own_precision``: mean, over 101 recall levels, of the precision at the first detection that reaches the level.
            ``interpolated``: area under 101 points on straight lines between the points of the envelope, which starts at
            recall 0 and falls to 0 at the last recall. ``interpolated_to_end``: it falls to 0 on a straight line to recall 1.
    """

    rounding: Literal["float64", "float32"] = "float64"
    areas: Literal["given", "box"] = "given"
    score: float | None = None
    per_image: int | None = None
    per_class: int | None = 100
    empty_images: bool = True
    regions: Literal["ignored", "left_out"] = "ignored"
    candidates: Literal["free", "first_free", "best"] = "free"
    curve: Curve = "envelope"

    def match(
        self,
        truth: AnnotationTable,
        detections: DetectionTable,
        iou_thresholds: Sequence[float] = COCO_THRESHOLDS,
    ) -> Matches:
        """Match detections with objects by these rules.

        Args:
            truth: ground truth.
            detections: on the same catalog; may be empty.
            iou_thresholds: rising.
        """
        if self.rounding == "float32":
            iou_thresholds = rounded_steps(
                iou_thresholds[0], iou_thresholds[-1], len(iou_thresholds)
            ).tolist()
        if self.areas == "box":
            truth = dataclasses.replace(truth, area=truth.xywh[:, 2] * truth.xywh[:, 3])
        kept = np.ones(len(detections), np.bool_)
        if self.score is not None:
            kept &= detections.score > self.score
        if not self.empty_images:
            kept &= np.isin(detections.image, truth.image)
        detections = detections.take(kept)
        if self.per_image is not None:
            detections = detections.take(highest_scores(detections, self.per_image))
        if self.regions == "left_out":
            truth = truth.take(np.flatnonzero(~(truth.crowd | truth.ignored)))
        if self.candidates == "first_free":
            truth = truth.take(np.arange(len(truth))[::-1])
        most = UNLIMITED if self.per_class is None else self.per_class
        rule = MatchRule(
            iou_thresholds=tuple(iou_thresholds),
            area_ranges=COCO_AREAS,
            max_dets=(most,),
            candidates="best" if self.candidates == "best" else "free",
        )
        return match(truth, detections, rule)

    def average_precision(self, matches: Matches, area: str = "all") -> NDArray[np.float64]:
        """(T, K) average precision of each threshold and class; NaN for a class without an object, 0 without a detection.

        Args:
            matches: of `match`.
            area: an area range.
        """
        if self.curve == "envelope":
            index = matches.rule.area_index(area)
            levels = None if self.rounding == "float64" else rounded_steps(0.0, 1.0, len(RECALL_LEVELS))
            return np.asarray(matches.curves(levels=levels).precision[..., index].mean(axis=1))
        outcomes = [matches.at(iou, area) for iou in matches.rule.iou_thresholds]
        return np.stack([_by_class(outcome, self.curve) for outcome in outcomes])

    def values(self, matches: Matches, names: Mapping[str, str]) -> list[Value]:
        """Average precision over the thresholds, at 0.5 and at 0.75, and of the sizes among `names`; overall and by class.

        Args:
            matches: of `match`.
            names: name of each value; keys are ``ap``, ``ap50``, ``ap75`` and names of area ranges.
        """
        thresholds = matches.rule.iou_thresholds
        by_threshold = self.average_precision(matches)
        columns = []
        for key, name in names.items():
            if key in COCO_AREAS:
                mean = self.average_precision(matches, key).mean(axis=0)
                columns.append(ClassColumn(name, mean, key, iou_text(thresholds)))
            elif key == "ap":
                columns.append(ClassColumn(name, by_threshold.mean(axis=0), "all", iou_text(thresholds)))
            else:
                iou = float(key.removeprefix("ap")) / 100
                column = by_threshold[matches.rule.threshold_index(iou)]
                columns.append(ClassColumn(name, column, "all", iou_text([iou])))
        return overall_values(columns) + class_values(columns, matches.classes)


class RuleStep(NamedTuple):
    """Average precision after one more rule of COCO was replaced by another evaluator's.

    Attributes:
        rule: the rule that is new; the first step has COCO's rules.
        values: AP, AP50, AP75, and AP of small, medium and large objects, over all classes; NaN without objects.
    """

    rule: str
    values: tuple[float, ...]


STEP_VALUES = ("ap", "ap50", "ap75", "small", "medium", "large")
"""Names of the values of a `RuleStep`."""


def rule_steps(truth: AnnotationTable, detections: DetectionTable, rules: EvaluatorRules) -> list[RuleStep]:
    """Average precision by COCO's rules, and after each rule in which `rules` differ.

    The rules are replaced one after another, so that a difference belongs to a rule given those before it.

    Args:
        truth: ground truth.
        detections: on the same catalog.
        rules: of the other evaluator.
    """
    current = EvaluatorRules()
    steps = [RuleStep("COCO's rules", _step_values(truth, detections, current))]
    for fields in _STEP_FIELDS:
        changed = {name: getattr(rules, name) for name in fields}
        following = dataclasses.replace(current, **changed)
        if following != current:
            current = following
            steps.append(RuleStep(_sentence(fields, changed), _step_values(truth, detections, current)))
    return steps


def highest_scores(detections: DetectionTable, most: int) -> NDArray[np.bool_]:
    """(N,) whether each detection is among the `most` of its image with the highest scores; ties as given."""
    order = np.lexsort((-detections.score, detections.image))
    image = detections.image[order]
    first = np.searchsorted(image, np.arange(len(detections.catalog.image_ids)))
    kept = np.zeros(len(detections), np.bool_)
    kept[order] = np.arange(len(order)) - first[image] < most
    return kept


def rounded_steps(first: float, last: float, count: int) -> NDArray[np.float64]:
    """Evenly spaced numbers as PyTorch's ``linspace`` computes them in float32: the first half from `first`, the others from
    `last`, each by one fused multiplication and addition. Processors without that instruction round eight of 101 otherwise.
    """
    start, end = np.float32(first), np.float32(last)
    step = float((end - start) / np.float32(max(count - 1, 1)))
    index = np.arange(count)
    exact = np.where(index < count // 2, start + step * index, end - step * (count - 1 - index))
    return exact.astype(np.float32).astype(np.float64)


def _by_class(outcome: MatchOutcome, curve: Curve) -> NDArray[np.float64]:
    """(K,) average precision."""
    found = np.full(len(outcome.positives), math.nan)
    for label in np.flatnonzero(outcome.positives):
        part = slice(outcome.start[label], outcome.start[label + 1])
        tp = outcome.tp[part][~outcome.ignored[part]]
        recall = np.cumsum(tp) / outcome.positives[label]
        precision = np.cumsum(tp) / np.arange(1, len(tp) + 1)
        found[label] = _area(recall, precision, curve) if len(tp) else 0.0
    return found


def _area(recall: NDArray[np.float64], precision: NDArray[np.float64], curve: Curve) -> float:
    if curve == "own_precision":
        at = np.searchsorted(recall, RECALL_LEVELS)
        return float(np.append(precision, 0.0)[at].mean())
    end = [recall[-1], 1.0] if curve == "interpolated" else [1.0]
    x = np.concatenate([[0.0], recall, end])
    y = np.concatenate([[1.0], precision, np.zeros(len(end))])
    envelope = np.maximum.accumulate(y[::-1])[::-1]
    return float(np.trapezoid(np.interp(RECALL_LEVELS, x, envelope), RECALL_LEVELS))


def _step_values(
    truth: AnnotationTable, detections: DetectionTable, rules: EvaluatorRules
) -> tuple[float, ...]:
    matches = rules.match(truth, detections)
    by_threshold = rules.average_precision(matches)
    at = [
        by_threshold.mean(axis=0),
        *(by_threshold[matches.rule.threshold_index(iou)] for iou in (0.5, 0.75)),
    ]
    sizes = [rules.average_precision(matches, area).mean(axis=0) for area in COCO_AREAS if area != "all"]
    return tuple(mean_defined(column) for column in (*at, *sizes))


_STEP_FIELDS = (
    ("rounding",),
    ("areas",),
    ("score",),
    ("per_image", "per_class"),
    ("empty_images",),
    ("regions",),
    ("candidates",),
    ("curve",),
)
"""Fields that change together, in the order of the steps."""

_SENTENCES = {
    (
        "rounding",
        "float32",
    ): "IoU thresholds and recall levels are rounded to float32, so that some are just above 0.55 and the like",
    ("areas", "box"): "the area of an object is that of its box, not of its mask",
    ("empty_images", False): "detections in images without an object do not count",
    ("regions", "left_out"): "detections on crowds and ignored objects are false positives",
    (
        "candidates",
        "first_free",
    ): "of several objects with equal IoU, a detection takes the first, not the last",
    (
        "candidates",
        "best",
    ): "a detection whose best object is taken is a false positive; it does not get the next best",
    (
        "curve",
        "own_precision",
    ): "precision at a recall level is that of the first detection there, not the highest beyond",
    (
        "curve",
        "interpolated",
    ): "area under straight lines between the points of the curve, not mean precision at 101 levels",
    (
        "curve",
        "interpolated_to_end",
    ): "area under straight lines between the points of the curve, with one from its end to "
    "recall 1, not mean precision at 101 levels",
}


def _sentence(fields: Sequence[str], changed: Mapping[str, Any]) -> str:
    if fields == ("score",):
        return f"only scores above {changed['score']:g} count"
    if fields == ("per_image", "per_class"):
        image, each = changed["per_image"], changed["per_class"]
        limits = [] if image is None else [f"{plural(image, 'detection')} of an image"]
        limits += [] if each is None else [f"{each} of an image and class"]
        return (
            f"the highest-scoring {' and '.join(limits)} count"
            if limits
            else "all detections of an image count"
        )
    ((name, value),) = changed.items()
    return _SENTENCES[name, value]
