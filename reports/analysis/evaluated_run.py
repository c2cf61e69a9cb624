"""A run as a report reads it: matched once, evaluated, and counted at the score that suits it best."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metrics.evaluation import Evaluation
from metrics.evaluator import evaluate_matches
from metrics.matching import Matches, MatchOutcome, MatchRule
from metrics.measures.confusion import ConfusionMatrix, confusion_matrix
from metrics.measures.error_types import error_types
from metrics.measures.localization_recall_precision import LRP, optimal_lrp
from metrics.measures.operating_point import ScoreCurve, score_curve
from reports.records.run import RunFolder

IOU = 0.5
"""At which detections are called right or false, wherever a single threshold is needed."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What is left when only detections of at least a score are kept, all classes together, at IoU 0.5.

    Attributes:
        score: the least that is kept; infinite where nothing is.
        right: detections that found an object that is asked for.
        false: detections that found nothing.
        missed: objects asked for and not found.
    """

    score: float
    right: int
    false: int
    missed: int

    @property
    def precision(self) -> float:
        """Right of all kept; NaN where nothing is kept."""
        return self.right / (self.right + self.false) if self.right + self.false else np.nan

    @property
    def recall(self) -> float:
        """Found of all asked for; NaN where nothing is asked for."""
        return self.right / (self.right + self.missed) if self.right + self.missed else np.nan

    @property
    def f1(self) -> float:
        """Their harmonic mean, 2 right / (2 right + false + missed); NaN where there is neither object nor detection."""
        whole = 2 * self.right + self.false + self.missed
        return 2 * self.right / whole if whole else np.nan


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """What happened in each image at the run's operating point; all (I,) int64."""

    right: NDArray[np.int64]
    false: NDArray[np.int64]
    missed: NDArray[np.int64]

    @property
    def errors(self) -> NDArray[np.int64]:
        """False and missed together."""
        return self.false + self.missed


class EvaluatedRun:
    """A run, evaluated from its detections: what `result.json` says is not taken on trust.

    Attributes:
        run: the folder.
        matches: its detections, matched with the truth under COCO's rule.
    """

    def __init__(self, run: RunFolder, rule: MatchRule | None = None) -> None:
        self.run = run
        self.rule = rule or MatchRule()
        self.matches: Matches = run.matches(self.rule)

    @cached_property
    def evaluation(self) -> Evaluation:
        """AP and AR of COCO, per class and size."""
        return evaluate_matches(self.matches)

    @cached_property
    def outcome(self) -> MatchOutcome:
        """What became of each detection and object at IoU 0.5, whatever their size."""
        return self.matches.at(IOU)

    @cached_property
    def class_ap(self) -> NDArray[np.float64]:
        """(C,) AP over all IoU thresholds; NaN for a class without an object."""
        return np.asarray(self.matches.curves().precision[:, :, :, 0].mean((0, 1)), np.float64)

    @cached_property
    def ap_by_iou(self) -> NDArray[np.float64]:
        """(T,) AP at each IoU threshold, objects of all sizes; NaN where there is no object."""
        precision = self.matches.curves().precision[:, :, :, 0]
        defined = ~np.isnan(precision[0, 0])
        if not defined.any():
            return np.full(len(precision), np.nan)
        return np.asarray(precision[:, :, defined].mean((1, 2)), np.float64)

    def class_precision(self, iou: float) -> NDArray[np.float64]:
        """(C, 101) precision at COCO's recalls, objects of all sizes; NaN for a class without an object."""
        at = self.rule.threshold_index(iou)
        return np.asarray(self.matches.curves().precision[at, :, :, 0].T, np.float64)

    @cached_property
    def best(self) -> OperatingPoint:
        """Where F1 over all classes is highest: an exact scan of all scores, equal scores kept or dropped together.

        Of equally good scores the highest. Without a right detection nothing is kept.
        """
        curve = self.sweep
        if not curve.tp.any():
            return OperatingPoint(np.inf, 0, 0, curve.positives)
        score, _ = curve.best()
        right, false = curve.at(score)
        return OperatingPoint(score, right, false, curve.positives - right)

    @cached_property
    def sweep(self) -> ScoreCurve:
        """Right and false detections of all classes, at every score that occurs."""
        return score_curve(self.outcome)

    @cached_property
    def confusion(self) -> ConfusionMatrix:
        """Which class is taken for which at the operating point."""
        # No score is as high as infinity, but the largest number that is none of them is as good.
        return confusion_matrix(self.matches, score=min(self.best.score, np.finfo(np.float64).max))

    @cached_property
    def error_types(self) -> dict[str, float]:
        """Of each kind of error ``cost_<kind>``, a fraction of AP at IoU 0.5, and ``errors_<kind>``, a count."""
        return {value.name: value.value for value in error_types(self.matches, IOU) if not value.class_name}

    @cached_property
    def lrp(self) -> LRP:
        """The error of each class at its own best score, and its parts."""
        return optimal_lrp(self.matches, IOU)

    def class_counts(self, thresholds: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Right and false detections of at least each score: two (C, S), for S rising `thresholds`."""
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
        """(D,) which detections of the outcome's walk reach the operating point."""
        return np.asarray(self.outcome.score >= self.best.score)

    @cached_property
    def missed(self) -> NDArray[np.bool_]:
        """(G,) objects asked for that no detection of at least the operating point's score found."""
        outcome = self.outcome
        found = np.zeros(len(outcome.valid), np.bool_)
        found[outcome.object[self.kept & outcome.tp]] = True
        return outcome.valid & ~found

    @property
    def false_rows(self) -> NDArray[np.int32]:
        """Rows of the false detections that reach the operating point."""
        return self.outcome.row[self.kept & ~self.outcome.tp & ~self.outcome.ignored]

    @cached_property
    def images(self) -> ImageCounts:
        """What happened in each image at the operating point."""
        outcome, size = self.outcome, len(self.run.truth.catalog.image_ids)
        false = self.kept & ~outcome.tp & ~outcome.ignored
        return ImageCounts(
            np.bincount(outcome.image[self.kept & outcome.tp], minlength=size),
            np.bincount(outcome.image[false], minlength=size),
            np.bincount(self.run.truth.image[self.missed], minlength=size),
        )
