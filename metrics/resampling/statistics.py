"""Statistics that can be resampled, and their short names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from metrics.errors import InputError
from metrics.match_rule import MatchRule
from metrics.measures.error_types import FIXABLE, Fixable
from metrics.registry import did_you_mean
from metrics.resampling.blocks import Block, Lanes
from metrics.resampling.replicates import Statistic
from metrics.resampling.scale import UNIT

COCO_LEVELS = 101
VOC07_LEVELS = 11
ALL_RECALLS = 0
"""Instead of a number of recall levels: the area under the envelope (Pascal VOC from 2010)."""


def average_precision(
    rule: MatchRule,
    iou: float | Sequence[float] | None = None,
    area: str | None = None,
    max_dets: int | None = None,
    levels: int = COCO_LEVELS,
    name: str = "ap",
) -> Statistic:
    """Average precision: mean over IoU thresholds, and over the classes with objects.

    Args:
        rule: match rule of the runs.
        iou: one or more of its thresholds, by default all.
        area: one of its area ranges, by default the first.
        max_dets: at most its largest, which is the default.
        levels: number of recall levels 0 ... 1: 101 (COCO), 11 (VOC 2007), or 0 for all recalls, the area under the envelope
            (VOC from 2010).
        name: name of the statistic.

    Raises:
        InputError: the rule has no such threshold, area range or max_dets.
    """
    indices, where = _threshold_indices(rule, iou), _area(rule, area)
    most = rule.max_dets_or_largest(max_dets)
    if levels not in (COCO_LEVELS, VOC07_LEVELS, ALL_RECALLS):
        raise InputError(f"levels: expected 101, 11 or 0 (all recalls), got {levels}")

    def of_classes(block: Block) -> Lanes:
        precision, _ = block.curves(block.rankings.over_thresholds(where, most), levels)
        return np.asarray(precision[:, indices].mean(axis=1))

    return Statistic(name, "higher", of_classes, area=where, bounds=UNIT)


def average_recall(
    rule: MatchRule,
    iou: float | Sequence[float] | None = None,
    area: str | None = None,
    max_dets: int | None = None,
    name: str = "ar",
) -> Statistic:
    """Average recall: mean over IoU thresholds, and over the classes with objects.

    Args:
        rule: match rule of the runs.
        iou: one or more of its thresholds, by default all.
        area: one of its area ranges, by default the first.
        max_dets: at most its largest, which is the default.
        name: name of the statistic.

    Raises:
        InputError: the rule has no such threshold, area range or max_dets.
    """
    indices, where = _threshold_indices(rule, iou), _area(rule, area)
    most = rule.max_dets_or_largest(max_dets)

    def of_classes(block: Block) -> Lanes:
        _, recall = block.curves(block.rankings.over_thresholds(where, most), COCO_LEVELS)
        return np.asarray(recall[:, indices].mean(axis=1))

    return Statistic(name, "higher", of_classes, area=where, bounds=UNIT)


def operating_point(
    rule: MatchRule,
    which: str = "f1",
    score: float = 0.5,
    iou: float | None = None,
    area: str | None = None,
    max_dets: int | None = None,
    name: str | None = None,
) -> Statistic:
    """Precision, recall or F1 at a score threshold, all classes pooled.

    Args:
        rule: match rule of the runs.
        which: ``precision``, ``recall`` or ``f1``.
        score: score threshold.
        iou: one of its thresholds, by default the first.
        area: one of its area ranges, by default the first.
        max_dets: at most its largest, which is the default.
        name: name of the statistic, by default `which`.

    Raises:
        InputError: the rule has no such threshold, area range or max_dets, or `which` is unknown.
    """
    formulas: dict[str, Callable[[Lanes, Lanes, Lanes], Lanes]] = {
        "precision": lambda tp, fp, positives: tp / (tp + fp),
        "recall": lambda tp, fp, positives: tp / positives,
        "f1": lambda tp, fp, positives: np.where(positives > 0, 2 * tp / (tp + fp + positives), np.nan),
    }
    if which not in formulas:
        raise InputError(f"operating point: no value {which!r}{did_you_mean(which, formulas)}")
    index = rule.threshold_index(_one_threshold(rule, iou))
    where, most = _area(rule, area), rule.max_dets_or_largest(max_dets)

    def counts(block: Block) -> tuple[Lanes, Lanes, Lanes]:
        ranking = block.rankings.over_thresholds(where, most)
        return *block.counts(ranking, index, score), block.positives(ranking)

    def of_classes(block: Block) -> Lanes:
        with np.errstate(invalid="ignore"):
            return formulas[which](*counts(block))

    def of_all(block: Block) -> Lanes:
        with np.errstate(invalid="ignore"):
            return formulas[which](*(count.sum(axis=0) for count in counts(block)))

    return Statistic(name or which, "higher", of_classes, of_all, where, UNIT)


def best_f1(
    rule: MatchRule, iou: float | None = None, area: str | None = None, max_dets: int | None = None
) -> Statistic:
    """Highest F1 over all score thresholds, all classes pooled; optimistic, as the threshold is chosen on the same data.

    Args:
        rule: match rule of the runs.
        iou: one of its thresholds, by default the first.
        area: one of its area ranges, by default the first.
        max_dets: at most its largest, which is the default.

    Raises:
        InputError: the rule has no such threshold, area range or max_dets.
    """
    threshold, where, most = _one_threshold(rule, iou), _area(rule, area), rule.max_dets_or_largest(max_dets)

    def of_classes(block: Block) -> Lanes:
        return block.optima(block.rankings.at(threshold, where, most), threshold).f1

    def of_all(block: Block) -> Lanes:
        return np.asarray(block.optima(block.rankings.at(threshold, where, most).pooled, threshold).f1[0])

    return Statistic("best_f1", "higher", of_classes, of_all, where, UNIT)


def optimal_lrp(
    rule: MatchRule,
    iou: float | None = None,
    area: str | None = None,
    max_dets: int | None = None,
    name: str = "olrp",
) -> Statistic:
    """Optimal localization recall precision error: the lowest over score thresholds, mean over the classes with objects.

    Args:
        rule: match rule of the runs.
        iou: one of its thresholds, below 1; by default the first.
        area: one of its area ranges, by default the first.
        max_dets: at most its largest, which is the default.
        name: name of the statistic.

    Raises:
        InputError: the rule has no such threshold, area range or max_dets, or the threshold is 1.

    Source: Oksuz et al. 2022, "One metric to measure them all", TPAMI 44(12).
    """
    threshold, where, most = _one_threshold(rule, iou), _area(rule, area), rule.max_dets_or_largest(max_dets)
    if threshold >= 1:
        raise InputError("iou: optimal LRP divides by 1 - iou; use a threshold below 1")

    def of_classes(block: Block) -> Lanes:
        return block.optima(block.rankings.at(threshold, where, most), threshold).lrp

    return Statistic(name, "lower", of_classes, area=where, bounds=UNIT)


def error_cost(
    rule: MatchRule,
    kind: Fixable,
    iou: float | None = None,
    background: float = 0.1,
    area: str | None = None,
    max_dets: int | None = None,
) -> Statistic:
    """Cost of a type of error in average precision, mean over the classes with objects.

    An image that counts twice has its errors twice, of the same types, so the ranking with the errors fixed is resampled like
    the original ranking.

    Args:
        rule: match rule of the runs.
        kind: see `metrics.measures.error_types.FIXABLE`.
        iou: one of its thresholds, by default the first.
        background: see `metrics.measures.error_types.classify_errors`.
        area: one of its area ranges, by default the first.
        max_dets: at most its largest, which is the default.

    Raises:
        InputError: the rule has no such threshold, area range or max_dets, or there is no such type.
    """
    threshold, where, most = _one_threshold(rule, iou), _area(rule, area), rule.max_dets_or_largest(max_dets)
    if kind not in FIXABLE:
        raise InputError(f"kind: no error type {kind!r}{did_you_mean(kind, FIXABLE)}")

    def of_classes(block: Block) -> Lanes:
        rankings = block.rankings
        base, _ = block.curves(rankings.at(threshold, where, most), COCO_LEVELS)
        fixed, _ = block.curves(rankings.fixed(kind, threshold, background, where, most), COCO_LEVELS)
        # A class whose objects were all missed has no valid object left when misses are fixed: no gain.
        return np.asarray(np.where(np.isnan(base), np.nan, np.nan_to_num(fixed) - base)[:, 0])

    return Statistic(f"cost_{kind}", "lower", of_classes, area=where, bounds=(-1.0, 1.0))


def named_statistic(name: str, rule: MatchRule, score: float = 0.5) -> Statistic:
    """Return the statistic with a short name.

    Args:
        name: ``ap``, ``ap50`` (any of the rule's thresholds), ``ap_<area>``, ``ar_<max_dets>``, ``ar_<area>``,
            ``precision``, ``recall``, ``f1``, ``best_f1``, ``olrp``, ``olrp_<area>``,
            ``cost_<type of error>``, ``voc07_ap``, ``voc10_ap``: the names of the measures' values.
        rule: match rule of the runs.
        score: score threshold of precision, recall and F1.

    Raises:
        InputError: no such name under this rule; the message suggests the closest one.
    """
    known = _statistics(rule, score)
    if name not in known:
        raise InputError(f"measure: no value {name!r} can be resampled{did_you_mean(name, known)}")
    return known[name]()


def statistic_names(rule: MatchRule) -> tuple[str, ...]:
    """Names that `named_statistic` knows under this rule."""
    return tuple(_statistics(rule, score=0.5))


def _statistics(rule: MatchRule, score: float) -> dict[str, Callable[[], Statistic]]:
    known: dict[str, Callable[[], Statistic]] = {"ap": partial(average_precision, rule)}
    for iou in rule.iou_thresholds:
        text = f"ap{iou * 100:.6g}".replace(".", "_")
        known[text] = partial(average_precision, rule, iou, name=text)
    for most in rule.max_dets:
        known[f"ar_{most}"] = partial(average_recall, rule, max_dets=most, name=f"ar_{most}")
    for area in rule.areas[1:]:
        known[f"ap_{area}"] = partial(average_precision, rule, area=area, name=f"ap_{area}")
        known[f"ar_{area}"] = partial(average_recall, rule, area=area, name=f"ar_{area}")
        known[f"olrp_{area}"] = partial(optimal_lrp, rule, area=area, name=f"olrp_{area}")
    for which in ("precision", "recall", "f1"):
        known[which] = partial(operating_point, rule, which, score)
    known |= {"best_f1": partial(best_f1, rule), "olrp": partial(optimal_lrp, rule)}
    if any(abs(iou - 0.5) < 1e-9 for iou in rule.iou_thresholds):
        known["voc07_ap"] = partial(average_precision, rule, 0.5, levels=VOC07_LEVELS, name="voc07_ap")
        known["voc10_ap"] = partial(average_precision, rule, 0.5, levels=ALL_RECALLS, name="voc10_ap")
    for kind in FIXABLE:
        known[f"cost_{kind}"] = partial(error_cost, rule, kind)
    return known


def _threshold_indices(rule: MatchRule, iou: float | Sequence[float] | None) -> list[int]:
    if iou is None:
        return list(range(len(rule.iou_thresholds)))
    return [rule.threshold_index(value) for value in ([iou] if isinstance(iou, (int, float)) else iou)]


def _one_threshold(rule: MatchRule, iou: float | None) -> float:
    return rule.iou_thresholds[0 if iou is None else rule.threshold_index(iou)]


def _area(rule: MatchRule, area: str | None) -> str:
    return rule.areas[0 if area is None else rule.area_index(area)]
