"""The final evaluation: retrain the best and the default settings with fresh seeds, choose on validation, test once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from optuna.trial import FrozenTrial

from bench.tune.anchors import FIT
from bench.tune.limits import describe
from bench.tune.looks import record_look
from bench.tune.plan import TuningTask, Values
from bench.tune.predicted import Predicted
from bench.tune.study import Study
from bench.tune.training_trials import WEIGHTS
from bench.tune.trial_attributes import FOLDER
from metrics.compare import Comparison
from metrics.errors import InputError, PartialError
from reports.records.final_evaluation import FinalEvaluation, Finalist, Gain, PriorFit, finalist_name
from reports.records.trial import Stage, StudyObjective

FINALISTS = 3
"""Number of the best trials that are evaluated beside the default settings."""

FRESH_SEED = 1000
"""Added to the run's seed: no trial is trained with such a seed."""


class Finals:
    """Evaluates the best settings of a tuning.

    Args:
        task: the tuning.
        studies: of the finished stages, in order; at least one.
        fixed: settings found by all stages but the last.
        weights: for which post-processing was tuned; None where it was not.
    """

    def __init__(
        self, task: TuningTask, studies: Mapping[Stage, Study], fixed: Values, weights: Path | None
    ) -> None:
        self.task = task
        self.studies = studies
        self.fixed = fixed
        self.weights = weights
        self._last = list(studies.values())[-1]
        self._anchors_only = list(studies) == ["anchors"]

    def run(self) -> FinalEvaluation:
        """Retrain, choose on the validation split, and test the chosen and the default settings once.

        Where only anchor priors were tuned, their fit says nothing about the detector: finalists are compared by their
        retrained values only or, without fresh seeds, by the fit, and nothing is tested.

        Raises:
            PartialError: all finalists exceed a limit.
        """
        plan, task = self.task.plan, self.task
        fresh = plan.fresh_seeds if plan.fresh_seeds is not None else (0 if plan.run is not None else 2)
        seeds = [task.config.seed + FRESH_SEED + k for k in range(fresh)]
        by_fit = self._anchors_only and not seeds
        objective = FIT.each[0] if by_fit else task.objectives.each[0]
        finalists = self._finalists(by_fit)
        weights = {each.trial: [task.train(each.values, seed) for seed in seeds] for each in finalists}
        finalists = [
            _with(
                each,
                retrained=[
                    task.value(task.predict(each.values, path, "val"), "val") for path in weights[each.trial]
                ],
            )
            for each in finalists
        ]
        chosen = self._choose(finalists, objective.higher)
        gain, note = None, ""
        if not by_fit:
            record_look(self.studies.values(), chosen, len(seeds))
            predicted = {
                each.trial: [
                    task.predict(each.values, path, "test")
                    for path in weights[each.trial] or [self._weights_in_study(each)]
                ]
                for each in finalists
                if each.trial in {None, chosen.trial}
            }
            finalists, gain, note = self._test(finalists, chosen.trial, predicted)
        return FinalEvaluation(
            objective=StudyObjective(text=objective.text, higher=objective.higher),
            finalists=tuple(finalists),
            chosen=chosen.trial,
            gain=gain,
            note=note,
            prior_fit=self._prior_fit(),
        )

    def _finalists(self, by_fit: bool) -> list[Finalist]:
        """The default settings, and the best trials with other settings."""
        first, study = next(iter(self.studies.items()))
        default = study.default() if first != "anchors" or by_fit else None
        finalists = [Finalist(tuned=None if default is None else default.values[0])]
        for trial in self._last.best(1 if self._anchors_only else FINALISTS):
            values = {**self.fixed, **trial.params}
            if values != self.task.space.defaults:
                tuned = trial.values[0] if by_fit or not self._anchors_only else None
                finalists.append(Finalist(trial=trial.number, values=values, tuned=tuned))
        limits = self.task.limits
        if not limits.limits:
            return finalists
        weights = self.weights if list(self.studies) == ["nms"] else None  # random, as before each training
        measured = []
        for each in finalists:
            values = limits.measure(self.task.detector(each.values, weights))
            # Complete trials were within the limits when they were measured; the default settings need not be.
            exceeded = [limit.name for limit in limits.exceeded(values)] if each.trial is None else []
            measured.append(_with(each, measured=values, exceeded=exceeded))
        return measured

    def _choose(self, finalists: Sequence[Finalist], higher: bool) -> Finalist:
        try:
            return choose(finalists, higher)
        except PartialError:
            default = finalists[0]
            over = describe(self.task.limits.exceeded(default.measured), default.measured)
            raise PartialError(
                f"no settings are within the limits: {over}; raise the limit, or widen --space"
            ) from None

    def _test(
        self,
        finalists: Sequence[Finalist],
        chosen: int | None,
        predicted: Mapping[int | None, Sequence[Predicted]],
    ) -> tuple[list[Finalist], Gain | None, str]:
        """The finalists with their test results, the gain of the chosen one, and why there are no intervals."""
        values = {
            trial: tuple(self.task.value(each, "test") for each in of_seeds)
            for trial, of_seeds in predicted.items()
        }
        named = {finalist_name(trial): of_seeds for trial, of_seeds in predicted.items()}
        comparison, note = self._compare(named)
        finalists = [
            _with(each, test=values.get(each.trial, ()), test_interval=_interval(comparison, each.name))
            for each in finalists
        ]
        if chosen is None:
            return finalists, None, note
        delta = fmean(values[chosen]) - fmean(values[None])
        return finalists, gain_of(delta, comparison, chosen, len(predicted[chosen])), note

    def _compare(self, predicted: Mapping[str, Sequence[Predicted]]) -> tuple[Comparison | None, str]:
        objectives, truth = self.task.objectives, self.task.dataset.splits["test"].truth
        try:
            return objectives.each[0].compare(predicted, truth, objectives.rule, self.task.config.seed), ""
        except InputError as error:
            return None, f"no confidence intervals: {error}"

    def _weights_in_study(self, finalist: Finalist) -> Path:
        """The weights with which the study itself evaluated a finalist."""
        values = {**self.task.space.defaults, **finalist.values}
        if "train" in self.studies:
            study = self.studies["train"]
            for trial in study.complete():
                tried = {**self.task.space.of("anchors").defaults, **self.fixed, **trial.params}
                if all(
                    values[path] == value
                    for path, value in tried.items()
                    if not self.task.config.is_post_processing(path)
                ):
                    return trial_weights(study, trial)
        if self.weights is None or list(self.studies) != ["nms"]:
            return self.task.train(finalist.values, self.task.config.seed)
        return self.weights

    def _prior_fit(self) -> tuple[PriorFit, ...]:
        """Fit of the default and of the best-fitting priors to training and validation boxes."""
        if "anchors" not in self.studies:
            return ()
        best = self.studies["anchors"].best()[0]
        rows = self.task.anchors.measure(None, {})
        if best.params != self.task.space.of("anchors").defaults:
            rows += self.task.anchors.measure(best.number, best.params)
        return tuple(rows)


def choose(finalists: Sequence[Finalist], higher: bool) -> Finalist:
    """The finalist that did best on the validation split; of equally good ones the first, so put the default there.

    Raises:
        PartialError: all exceed a limit.
    """
    sign = 1 if higher else -1
    within = [each for each in finalists if not each.exceeded]
    if not within:
        raise PartialError("no settings are within the limits")
    return max(within, key=lambda each: -math.inf if math.isnan(each.validation) else sign * each.validation)


def gain_of(delta: float, comparison: Comparison | None, chosen: int, seeds: int) -> Gain:
    """The gain of the chosen over the default settings.

    Args:
        delta: difference of their means.
        comparison: of both on the test split, by `finalist_name`; None where nothing was resampled.
        chosen: the trial that has the chosen settings.
        seeds: of each.
    """
    if comparison is None:
        return Gain(delta=delta, seeds=seeds, doubt="nothing was resampled")
    row = comparison.difference(finalist_name(chosen), finalist_name(None))
    in_order = row.model_a == finalist_name(chosen)
    low, high = (row.ci_low, row.ci_high) if in_order else (0.0 - row.ci_high, 0.0 - row.ci_low)
    p_better = row.p_a_gt_b if in_order else 1 - row.p_a_gt_b
    return Gain(
        delta=delta,
        interval=None if math.isnan(low) else (low, high),
        p_better=None if math.isnan(p_better) else p_better,
        images=comparison.method.images,
        seeds=seeds,
        doubt=row.doubt,
    )


def trial_weights(study: Study, trial: FrozenTrial) -> Path:
    """The weights that a complete trial of the training stage left."""
    return study.folder / "trials" / str(trial.user_attrs[FOLDER]) / WEIGHTS


def _with(finalist: Finalist, **changes: Any) -> Finalist:
    """A copy with some fields replaced, and validated."""
    return Finalist.model_validate({**dict(finalist), **changes})


def _interval(comparison: Comparison | None, name: str) -> tuple[float, float] | None:
    if comparison is None or name not in comparison.models:
        return None
    row = comparison.standing(name)
    return None if math.isnan(row.ci_low) else (row.ci_low, row.ci_high)
