"""Measures that can be resampled, and the short names under which a user asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from metrics.errors import InputError
from metrics.matching import MatchRule
from metrics.registry import did_you_mean
from metrics.resampling.blocks import Block, Lanes, Statistic

if TYPE_CHECKING:
    from metrics.measures.error_types import Fixable

COCO_LEVELS = 101
VOC07_LEVELS = 11
ALL_RECALLS = 0
"""Instead of a number of levels: the area under the envelope (Pascal VOC from 2010 on)."""


def average_precision(
    rule: MatchRule,
    iou: float | Sequence[float] | None = None,
    area: str | None = None,
    max_dets: int | None = None,
    levels: int = COCO_LEVELS,
    name: str = "ap",
) -> Statistic:
    """Average precision: mean over IoU thresholds, and over classes that have objects.

    Args:
        rule: under which the runs were matched.
        iou: one or more of its thresholds; by default all.
        area: one of its area ranges; by default the first.
        max_dets: any number up to its largest, which is the default.
        levels: recall levels 0 ... 1 at which precision is read: 101 (COCO), 11 (VOC 2007), or 0 for all recalls, the
            area under the envelope (VOC from 2010 on).
        name: what rows are called.

    Raises:
        InputError: the rule has no such threshold, range or max_dets.
    """
    bits, where = _thresholds(rule, iou), _area(rule, area)
    most = rule.max_dets_or_largest(max_dets)
    if levels not in (COCO_LEVELS, VOC07_LEVELS, ALL_RECALLS):
        raise InputError(f"levels: expected 101, 11 or 0 (all recalls), got {levels}")

    def of_classes(block: Block) -> Lanes:
        precision, _ = block.curves(block.rankings.over_thresholds(where, most), levels)
        return np.asarray(precision[:, bits].mean(axis=1))

    return Statistic(name, "higher", of_classes, area=where)


def average_recall(
    rule: MatchRule,
    iou: float | Sequence[float] | None = None,
    area: str | None = None,
    max_dets: int | None = None,
    name: str = "ar",
) -> Statistic:
    """Recall of all that is found: mean over IoU thresholds, and over classes that have objects.

    Args:
        rule: under which the runs were matched.
        iou: one or more of its thresholds; by default all.
        area: one of its area ranges; by default the first.
        max_dets: any number up to its largest, which is the default.
        name: what rows are called.

    Raises:
        InputError: the rule has no such threshold, range or max_dets.
    """
    bits, where = _thresholds(rule, iou), _area(rule, area)
    most = rule.max_dets_or_largest(max_dets)

    def of_classes(block: Block) -> Lanes:
        _, recall = block.curves(block.rankings.over_thresholds(where, most), COCO_LEVELS)
        return np.asarray(recall[:, bits].mean(axis=1))

    return Statistic(name, "higher", of_classes, area=where)


def operating_point(
    rule: MatchRule,
    which: str = "f1",
    score: float = 0.5,
    iou: float | None = None,
    area: str | None = None,
    max_dets: int | None = None,
    name: str | None = None,
) -> Statistic:
    """Precision, recall or F1 of the detections at a score or above; all classes pooled.

    Args:
        rule: under which the runs were matched.
        which: ``precision``, ``recall`` or ``f1``.
        score: detections below it are dropped.
        iou: one of its thresholds; by default the first.
        area: one of its area ranges; by default the first.
        max_dets: any number up to its largest, which is the default.
        name: what rows are called; by default `which`.

    Raises:
        InputError: the rule has no such threshold, range or max_dets, or there is no such number.
    """
    ratios: dict[str, Callable[[Lanes, Lanes, Lanes], Lanes]] = {
        "precision": lambda true, false, asked: true / (true + false),
        "recall": lambda true, false, asked: true / asked,
        "f1": lambda true, false, asked: np.where(asked > 0, 2 * true / (true + false + asked), np.nan),
    }
    if which not in ratios:
        raise InputError(f"operating point: no number {which!r}{did_you_mean(which, ratios)}")
    bit = rule.threshold_index(_one_threshold(rule, iou))
    where, most = _area(rule, area), rule.max_dets_or_largest(max_dets)

    def counts(block: Block) -> tuple[Lanes, Lanes, Lanes]:
        ranking = block.rankings.over_thresholds(where, most)
        return *block.counts(ranking, bit, score), block.positives(ranking)

    def of_classes(block: Block) -> Lanes:
        with np.errstate(invalid="ignore"):
            return ratios[which](*counts(block))

    def of_all(block: Block) -> Lanes:
        with np.errstate(invalid="ignore"):
            return ratios[which](*(count.sum(axis=0) for count in counts(block)))

    return Statistic(name or which, "higher", of_classes, of_all, where)


def best_f1(
    rule: MatchRule, iou: float | None = None, area: str | None = None, max_dets: int | None = None
) -> Statistic:
    """The greatest F1 that one score threshold reaches; all classes pooled. It flatters: see `operating_point`.

    Args:
        rule: under which the runs were matched.
        iou: one of its thresholds; by default the first.
        area: one of its area ranges; by default the first.
        max_dets: any number up to its largest, which is the default.

    Raises:
        InputError: the rule has no such threshold, range or max_dets.
    """
    threshold, where, most = _one_threshold(rule, iou), _area(rule, area), rule.max_dets_or_largest(max_dets)

    def of_classes(block: Block) -> Lanes:
        return block.best(block.rankings.at(threshold, where, most), threshold)[1]

    def of_all(block: Block) -> Lanes:
        return np.asarray(block.best(block.rankings.at(threshold, where, most).pooled, threshold)[1][0])

    return Statistic("best_f1", "higher", of_classes, of_all, where)


def optimal_lrp(
    rule: MatchRule,
    iou: float | None = None,
    area: str | None = None,
    max_dets: int | None = None,
    name: str = "olrp",
) -> Statistic:
    """Optimal localization-recall-precision error: the least over score thresholds, mean over classes with objects.

    Args:
        rule: under which the runs were matched.
        iou: one of its thresholds, below 1; by default the first.
        area: one of its area ranges; by default the first.
        max_dets: any number up to its largest, which is the default.
        name: what rows are called.

    Raises:
        InputError: the rule has no such threshold, range or max_dets.

    Source: Oksuz et al. 2022, "One metric to measure them all", TPAMI 44(12).
    """
    threshold, where, most = _one_threshold(rule, iou), _area(rule, area), rule.max_dets_or_largest(max_dets)
    if threshold >= 1:
        raise InputError("iou: optimal LRP weighs how far above the threshold an IoU is; give one below 1")

    def of_classes(block: Block) -> Lanes:
        return block.best(block.rankings.at(threshold, where, most), threshold)[0]

    return Statistic(name, "lower", of_classes, area=where)


def error_cost(
    rule: MatchRule,
    kind: Fixable,
    iou: float | None = None,
    background: float = 0.1,
    area: str | None = None,
    max_dets: int | None = None,
) -> Statistic:
    """What a kind of error costs in average precision; mean over classes that have objects.

    An image that counts twice has its errors twice, of the same kinds; so what would be there if they were mended is
    resampled like what is there.

    Args:
        rule: under which the runs were matched.
        kind: see `metrics.measures.error_types.FIXABLE`.
        iou: one of its thresholds; by default the first.
        background: see `metrics.measures.error_types.classify_errors`.
        area: one of its area ranges; by default the first.
        max_dets: any number up to its largest, which is the default.

    Raises:
        InputError: the rule has no such threshold, range or max_dets, or there is no such kind.
    """
    from metrics.measures.error_types import FIXABLE

    threshold, where, most = _one_threshold(rule, iou), _area(rule, area), rule.max_dets_or_largest(max_dets)
    if kind not in FIXABLE:
        raise InputError(f"kind: no error {kind!r}{did_you_mean(kind, FIXABLE)}")

    def of_classes(block: Block) -> Lanes:
        rankings = block.rankings
        base, _ = block.curves(rankings.at(threshold, where, most), COCO_LEVELS)
        mended, _ = block.curves(rankings.fixed(kind, threshold, background, where, most), COCO_LEVELS)
        # A class whose objects were all missed has nothing left to find once they are not asked for: nothing is gained.
        return np.asarray(np.where(np.isnan(base), np.nan, np.nan_to_num(mended) - base)[:, 0])

    return Statistic(f"cost_{kind}", "lower", of_classes, area=where)


def named_statistic(name: str, rule: MatchRule, score: float = 0.5) -> Statistic:
    """The statistic of a short name.

    Args:
        name: ``ap``, ``ap50`` (any of the rule's thresholds), ``ap_<area>``, ``ar_<max_dets>``, ``ar_<area>``,
            ``precision``, ``recall``, ``f1``, ``best_f1``, ``olrp``, ``olrp_<area>``,
            ``cost_<kind of error>``, ``voc07_ap``, ``voc10_ap``: the names that the measures give.
        rule: under which the runs were matched.
        score: at which precision, recall and F1 are read.

    Raises:
        InputError: there is no such name under this rule; the message has the nearest that there is.
    """
    from metrics.measures.error_types import FIXABLE

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
    if name not in known:
        raise InputError(f"measure: no number {name!r} can be resampled{did_you_mean(name, known)}")
    return known[name]()


def _thresholds(rule: MatchRule, iou: float | Sequence[float] | None) -> list[int]:
    if iou is None:
        return list(range(len(rule.iou_thresholds)))
    return [rule.threshold_index(value) for value in ([iou] if isinstance(iou, (int, float)) else iou)]


def _one_threshold(rule: MatchRule, iou: float | None) -> float:
    return rule.iou_thresholds[0 if iou is None else rule.threshold_index(iou)]


def _area(rule: MatchRule, area: str | None) -> str:
    return rule.areas[0 if area is None else rule.area_index(area)]
