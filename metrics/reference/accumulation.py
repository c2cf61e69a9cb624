"""Precision, recall and scores of `COCOeval.accumulate`, from matches or from the results of every image."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.engine.curves import EPSILON
from metrics.errors import InputError
from metrics.matching import Matches
from metrics.plurals import plural
from metrics.reference.image_matching import ImageResult
from metrics.reference.params import Params, category_axis


class Accumulated(NamedTuple):
    """Curves of every class, area range and limit; -1 where no object is valid.

    Attributes:
        precision: (T, R, K, A, M) best precision at each recall level or beyond; 0 where the level is not reached.
        recall: (T, K, A, M) recall of all detections.
        scores: (T, R, K, A, M) score at which each recall level is first reached; 0 where it is not.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    scores: NDArray[np.float64]


def recall_levels(params: Params) -> NDArray[np.float64]:
    """(R,) the recall levels of settings.

    Raises:
        InputError: they do not rise.
    """
    levels = np.asarray(params.recThrs, np.float64)
    if (np.diff(levels) < 0).any():
        raise InputError("params.recThrs: expected rising recall levels")
    return levels


def same_matching(evaluated: Params, params: Params) -> bool:
    """Whether matches under some settings serve other settings without a choice among images, classes or areas."""
    return (
        bool(evaluated.useCats) == bool(params.useCats)
        and all(
            list(getattr(evaluated, name)) == list(getattr(params, name))
            for name in ("imgIds", "catIds", "iouThrs")
        )
        and _ranges(evaluated) == _ranges(params)
        and max(params.maxDets, default=0) <= max(evaluated.maxDets)
    )


def accumulate_matches(matches: Matches, params: Params) -> Accumulated:
    """Compute the curves of matches.

    Args:
        matches: under settings for which `same_matching` is true.
        params: settings.

    Raises:
        InputError: the recall levels do not rise.
    """
    levels = recall_levels(params)
    order = np.searchsorted(matches.rule.iou_thresholds, np.asarray(params.iouThrs, np.float64))
    computed = [matches.curves(most, levels) for most in params.maxDets]
    precision, recall, scores = (
        np.nan_to_num(np.stack(columns, axis=-1)[order], nan=-1.0)
        for columns in (
            [curves.precision for curves in computed],
            [curves.recall for curves in computed],
            [curves.score for curves in computed],
        )
    )
    return Accumulated(precision, recall, scores)


def accumulate_results(
    results: Sequence[ImageResult | None] | NDArray[np.object_], evaluated: Params, params: Params
) -> Accumulated:
    """Compute the curves of results of single images, which may come from several processes.

    Args:
        results: one for each class, area range and image of `evaluated`, in this order.
        evaluated: settings under which the results were computed.
        params: settings; they can choose among the evaluated thresholds, classes, images, area ranges and detections.

    Raises:
        InputError: another number of results, settings that were not evaluated, or recall levels that do not rise.
    """
    chosen = _Choice.of(evaluated, params)
    listed = list(results.ravel() if isinstance(results, np.ndarray) else results)
    classes, areas, images = len(category_axis(evaluated)), len(evaluated.areaRng), len(evaluated.imgIds)
    if len(listed) != classes * areas * images:
        raise InputError(
            f"COCOeval.evalImgs: expected {plural(classes, 'class')} x {plural(areas, 'area range')} x {plural(images, 'image')} of _paramsEval = "
            f"{plural(classes * areas * images, 'result')}, got {len(listed)}; after setting evalImgs, set "
            "_paramsEval = copy.deepcopy(params)"
        )
    levels, limits = recall_levels(params), list(params.maxDets)
    shape = (len(chosen.classes), len(chosen.areas), len(limits))
    precision = np.full((len(chosen.thresholds), len(levels), *shape), -1.0)
    recall, scores = np.full((len(chosen.thresholds), *shape), -1.0), precision.copy()
    for k, label in enumerate(chosen.classes):
        for a, area in enumerate(chosen.areas):
            first = (label * areas + area) * images
            ranked = _rank([entry for i in chosen.images if (entry := listed[first + i]) is not None])
            if ranked is None:
                continue
            if len(ranked.matched) != len(evaluated.iouThrs):
                raise InputError(
                    f"COCOeval.evalImgs: expected matches at the {plural(len(evaluated.iouThrs), 'threshold')} of "
                    f"_paramsEval.iouThrs, got {len(ranked.matched)}"
                )
            for m, most in enumerate(limits):
                for t, threshold in enumerate(chosen.thresholds):
                    curve = _curve(ranked, threshold, most, levels)
                    precision[t, :, k, a, m], recall[t, k, a, m], scores[t, :, k, a, m] = curve
    return Accumulated(precision, recall, scores)


class _Choice(NamedTuple):
    """Indices of settings among the evaluated ones: images in the evaluated order, the others in the order asked for."""

    images: list[int]
    classes: list[int]
    areas: list[int]
    thresholds: list[int]

    @classmethod
    def of(cls, evaluated: Params, params: Params) -> _Choice:
        if bool(params.useCats) != bool(evaluated.useCats):
            raise _not_evaluated("useCats", params.useCats)
        if params.useCats:
            classes = _indices("catIds", evaluated.catIds, params.catIds)
        else:
            classes = [0]
            if {*params.catIds} not in ({*evaluated.catIds}, {-1}):  # pycocotools sets [-1]
                raise _not_evaluated("catIds", list(params.catIds))
        if max(params.maxDets, default=0) > max(evaluated.maxDets):
            raise _not_evaluated("maxDets", max(params.maxDets))
        return cls(
            sorted(set(_indices("imgIds", evaluated.imgIds, params.imgIds))),
            classes,
            _indices("areaRng", _ranges(evaluated), _ranges(params)),
            _indices("iouThrs", evaluated.iouThrs, params.iouThrs),
        )


class _Ranked(NamedTuple):
    """The detections of one class and area range by falling score.

    Attributes:
        score: (D,).
        rank: (D,) by score in the image, from 0.
        matched: (T, D) bool.
        ignored: (T, D) bool.
        positives: number of valid objects; at least 1.
    """

    score: NDArray[np.float64]
    rank: NDArray[np.int64]
    matched: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    positives: int


def _rank(entries: Sequence[ImageResult]) -> _Ranked | None:
    """The detections of results of images; None where no object is valid."""
    positives = sum(int(np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)) for entry in entries)
    if positives == 0:
        return None
    score = np.concatenate([np.asarray(entry["dtScores"], np.float64) for entry in entries])
    order = np.argsort(-score, kind="stable")
    return _Ranked(
        score[order],
        np.concatenate([np.arange(len(entry["dtScores"])) for entry in entries])[order],
        np.concatenate([entry["dtMatches"] for entry in entries], axis=1).astype(np.bool_)[:, order],
        np.concatenate([entry["dtIgnore"] for entry in entries], axis=1).astype(np.bool_)[:, order],
        positives,
    )


def _curve(
    ranked: _Ranked, threshold: int, most: int, levels: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """(R,) precision, recall and (R,) scores at one threshold and limit, as pycocotools computes them."""
    kept = ranked.rank < most
    counted = ~ranked.ignored[threshold, kept]
    matched = ranked.matched[threshold, kept]
    tp, fp = np.cumsum(matched & counted), np.cumsum(~matched & counted)
    reached = np.searchsorted(tp / ranked.positives, levels, side="left")
    precision = np.maximum.accumulate((tp / (fp + tp + EPSILON))[::-1])[::-1]
    recall = tp[-1] / ranked.positives if len(tp) else 0.0
    return (
        np.append(precision, 0.0)[reached],
        float(recall),
        np.append(ranked.score[kept], 0.0)[reached],
    )


def _indices(name: str, evaluated: Iterable[Hashable], wanted: Iterable[Hashable]) -> list[int]:
    index = {value: position for position, value in enumerate(evaluated)}
    chosen = []
    for value in wanted:
        if value not in index:
            raise _not_evaluated(name, value)
        chosen.append(index[value])
    return chosen


def _ranges(params: Params) -> list[tuple[float, ...]]:
    return [tuple(map(float, limits)) for limits in params.areaRng]


def _not_evaluated(name: str, value: Any) -> InputError:
    return InputError(
        f"params.{name}: {value} was not evaluated; call evaluate again after a change of params.{name}, or choose "
        "among the evaluated values"
    )
