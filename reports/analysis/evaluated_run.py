"""A run as sections read it: evaluated from its detections, and counted at the score where its F1 is highest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metrics.evaluation import Evaluation
from metrics.evaluator import evaluate_matches
from metrics.match_rule import MatchRule
from metrics.matching import Matches, MatchOutcome
from metrics.measures.confusion import ConfusionMatrix, confusion_matrix
from metrics.measures.error_types import FALSE_POSITIVES, FIXABLE, KINDS, ErrorTypes, classify_errors
from metrics.measures.localization_recall_precision import LRP, optimal_lrp
from metrics.measures.operating_point import ScoreCurve, score_curve
from metrics.ratios import mean_defined
from reports.records.run import RunFolder

IOU = 0.5
"""IoU threshold of true positives wherever a report uses a single one."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Counts over all classes at IoU 0.5 when only detections of at least `score` are kept.

    Attributes:
        score: score threshold; infinite if no detection is kept.
        tp, fp, fn: true positives, false positives and false negatives.
    """

    score: float
    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN without detections."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else np.nan

    @property
    def recall(self) -> float:
        """TP / (TP + FN); NaN without valid ground truth."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else np.nan

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN without detections and valid ground truth."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else np.nan


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """True positives, false positives and false negatives of each image at the operating point; all (I,) int64.

    Attributes:
        tp, fp, fn: the counts.
        by_type: (5, I) int64 false positives by type, in the order of `metrics.measures.error_types.FALSE_POSITIVES`.
    """

    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    fn: NDArray[np.int64]
    by_type: NDArray[np.int64]

    @property
    def errors(self) -> NDArray[np.int64]:
        """False positives and false negatives."""
        return self.fp + self.fn


class EvaluatedRun:
    """A run, evaluated from its detections; the numbers in `result.json` are not used.

    Args:
        run: the run.
        rule: COCO's by default.

    Attributes:
        matches: the run's detections, matched with the truth under `rule`.
    """

    def __init__(self, run: RunFolder, rule: MatchRule | None = None) -> None:
        self.run = run
        self.rule = rule or MatchRule()
        self.matches: Matches = run.matches(self.rule)

    @cached_property
    def evaluation(self) -> Evaluation:
        """COCO's AP and AR, also by class and size."""
        return evaluate_matches(self.matches)

    @cached_property
    def outcome(self) -> MatchOutcome:
        """The matches at IoU 0.5, for objects of all sizes."""
        return self.matches.at(IOU)

    @cached_property
    def class_ap(self) -> NDArray[np.float64]:
        """(C,) AP over all IoU thresholds; NaN for a class without valid ground truth."""
        return np.asarray(self.matches.curves().precision[:, :, :, 0].mean((0, 1)), np.float64)

    @cached_property
    def ap_by_iou(self) -> NDArray[np.float64]:
        """(T,) AP at each IoU threshold, objects of all sizes; NaN without valid ground truth."""
        precision = self.matches.curves().precision[:, :, :, 0]
        defined = ~np.isnan(precision[0, 0])
        if not defined.any():
            return np.full(len(precision), np.nan)
        return np.asarray(precision[:, :, defined].mean((1, 2)), np.float64)

    def class_precision(self, iou: float) -> NDArray[np.float64]:
        """(C, 101) precision at COCO's recalls, objects of all sizes; NaN for a class without valid ground truth."""
        at = self.rule.threshold_index(iou)
        return np.asarray(self.matches.curves().precision[at, :, :, 0].T, np.float64)

    @cached_property
    def best_point(self) -> OperatingPoint:
        """The operating point of the highest F1 over all classes, found by an exact scan of all scores.

        Among equal F1 the highest score wins. Without a true positive no detection is kept.
        """
        curve = self.score_curve
        if not curve.tp.any():
            return OperatingPoint(np.inf, 0, 0, curve.positives)
        score, _ = curve.best()
        tp, fp = curve.at(score)
        return OperatingPoint(score, tp, fp, curve.positives - tp)

    @cached_property
    def score_curve(self) -> ScoreCurve:
        """True and false positives of all classes at every score that occurs."""
        return score_curve(self.outcome)

    @cached_property
    def confusion(self) -> ConfusionMatrix:
        """The confusion matrix at the operating point."""
        # The score may be infinite, which confusion_matrix refuses; the largest float keeps no detection either.
        return confusion_matrix(self.matches, score=min(self.best_point.score, np.finfo(np.float64).max))

    @cached_property
    def errors(self) -> ErrorTypes:
        """The type of each false positive (TIDE) at IoU 0.5, in the order of `outcome`."""
        return classify_errors(self.matches, IOU)

    @cached_property
    def error_types(self) -> dict[str, float]:
        """TIDE: for each error type ``cost_<type>``, a fraction of AP at IoU 0.5, and ``errors_<type>``, a count."""
        counts = zip(KINDS, self.errors.counts().sum(0), strict=True)
        costs = {f"cost_{kind}": mean_defined(self.errors.cost(kind)) for kind in FIXABLE}
        return costs | {f"errors_{kind}": float(count) for kind, count in counts}

    @property
    def fp_by_type(self) -> NDArray[np.int64]:
        """(5,) false positives at the operating point by type, in the order of `FALSE_POSITIVES`."""
        return np.bincount(self.errors.kind[self.is_fp], minlength=len(FALSE_POSITIVES))

    @cached_property
    def lrp(self) -> LRP:
        """Optimal LRP of each class and its components."""
        return optimal_lrp(self.matches, IOU)

    def class_counts(self, thresholds: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count true and false positives of at least each score: two (C, S), for S ascending `thresholds`."""
        outcome, shape = self.outcome, (len(self.matches.classes), len(thresholds))
        counts = []
        for kept in (outcome.tp, ~outcome.tp & ~outcome.ignored):
            reached = np.searchsorted(thresholds, outcome.score[kept], side="right")
            table = np.zeros((shape[0], shape[1] + 1), np.int64)
            np.add.at(table, (outcome.label[kept], reached), 1)
            counts.append(table[:, ::-1].cumsum(1)[:, ::-1][:, 1:])
        return counts[0], counts[1]

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """(D,) which detections, in the order of `outcome`, reach the operating point."""
        return np.asarray(self.outcome.score >= self.best_point.score)

    @cached_property
    def is_fn(self) -> NDArray[np.bool_]:
        """(G,) whether each object is a false negative at the operating point."""
        outcome = self.outcome
        detected = np.zeros(len(outcome.valid), np.bool_)
        detected[outcome.object[self.kept & outcome.tp]] = True
        return outcome.valid & ~detected

    @cached_property
    def is_fp(self) -> NDArray[np.bool_]:
        """(D,) whether each detection, in the order of `outcome`, is a false positive at the operating point."""
        return self.kept & ~self.outcome.tp & ~self.outcome.ignored

    @cached_property
    def image_counts(self) -> ImageCounts:
        """The counts of each image at the operating point."""
        outcome, size = self.outcome, len(self.run.truth.catalog.image_ids)
        fp, by_type = self.is_fp, np.zeros((len(FALSE_POSITIVES), size), np.int64)
        np.add.at(by_type, (self.errors.kind[fp], outcome.image[fp]), 1)
        return ImageCounts(
            np.bincount(outcome.image[self.kept & outcome.tp], minlength=size),
            by_type.sum(0),
            np.bincount(self.run.truth.image[self.is_fn], minlength=size),
            by_type,
        )
