"""The honest ending: the best and the untuned settings once more with fresh seeds, chosen on validation, told on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from optuna.trial import FrozenTrial

from bench.tune.anchors import FIT, Fitted
from bench.tune.outcome import Entry, Gain, Outcome, choose
from bench.tune.plan import Task, Values
from bench.tune.spaces import Stage
from bench.tune.study import Study
from bench.tune.training import WEIGHTS
from metrics.compare import Comparison, compare
from metrics.errors import InputError
from metrics.tables import DetectionTable

FEW = 3
"""So many of the best settings reach the end."""

FRESH_SEED = 1000
"""Added to the run's seed: no trial trains with a fresh one."""


class Ending:
    """Runs the best settings again and says what they are worth.

    Args:
        task: what was asked for.
        studies: of the stages that were done, in order; at least one.
        fixed: what all stages but the last have found.
        weights: with which post-processing was tuned; None where it was not.
    """

    def __init__(
        self, task: Task, studies: Mapping[Stage, Study], fixed: Values, weights: Path | None
    ) -> None:
        self.task = task
        self.studies = studies
        self.fixed = fixed
        self.weights = weights
        self.last = list(studies.values())[-1]
        self.only_fitted = list(studies) == ["anchors"]

    def run(self) -> Outcome:
        """Train, choose, and look at the test split once.

        The fit of priors is no measure of a detector: where nothing else was tuned, the untuned and the best fitting
        settings are only told apart by the fresh runs, and without these by the fit, and nothing is said of test.
        """
        plan, config = self.task.plan, self.task.config
        again = plan.again if plan.again is not None else (0 if plan.run is not None else 2)
        seeds = [config.seed + FRESH_SEED + k for k in range(again)]
        entries = self._entries(fit_decides=not seeds)
        places = {entry.name: [self.task.trained(entry.values, seed) for seed in seeds] for entry in entries}
        entries = [
            replace(
                entry,
                again=tuple(
                    self.task.value(self.task.found(entry.values, path, "val"), "val")
                    for path in places[entry.name]
                ),
            )
            for entry in entries
        ]
        by_fit = self.only_fitted and not seeds
        objective = FIT.each[0] if by_fit else self.task.objectives.each[0]
        chosen = choose(entries, objective.higher)
        gain, note = None, ""
        if not by_fit:
            found = {
                entry.name: [
                    self.task.found(entry.values, path, "test")
                    for path in places[entry.name] or [self._own_weights(entry)]
                ]
                for entry in entries
                if entry.name in {"default", chosen.name}
            }
            entries, gain, note = self._told_on_test(entries, chosen.name, found)
        return Outcome(
            objective=objective.text,
            higher=objective.higher,
            entries=tuple(entries),
            chosen=chosen.name,
            folder=self.last.folder,
            states={stage: study.states() for stage, study in self.studies.items()},
            importances={stage: study.importances() for stage, study in self.studies.items()},
            gain=gain,
            note=note,
            fit=self._fit(),
        )

    def _entries(self, fit_decides: bool) -> list[Entry]:
        """The untuned settings, and the best few that are others."""
        first, default = next(iter(self.studies.items()))
        measured = default.default() if first != "anchors" or (self.only_fitted and fit_decides) else None
        entries = [Entry("default", {}, None if measured is None else measured.values[0])]
        for trial in self.last.best(1 if self.only_fitted else FEW):
            values = {**self.fixed, **trial.params}
            if values != self.task.space.defaults:
                tuned = None if self.only_fitted and not fit_decides else trial.values[0]
                entries.append(Entry(f"trial {trial.number}", values, tuned))
        limits = self.task.limits
        if not limits:
            return entries
        weights = self.weights if list(self.studies) == ["nms"] else None  # random, as before each training
        told = []
        for entry in entries:
            limited = limits.measured(self.task.detector(entry.values, weights))
            # The trials have kept the limits when they were measured; the untuned settings need not have.
            over = limits.over(limited) if entry.name == "default" else ""
            told.append(replace(entry, limited=limited, over=over))
        return told

    def _told_on_test(
        self, entries: Sequence[Entry], chosen: str, found: Mapping[str, Sequence[DetectionTable]]
    ) -> tuple[list[Entry], Gain | None, str]:
        """The entries with their numbers on test; what the chosen one gains there; and why there is no interval."""
        values = {
            name: tuple(self.task.value(table, "test") for table in tables) for name, tables in found.items()
        }
        comparison, note = self._compared(found)
        entries = [
            replace(entry, test=values.get(entry.name, ()), test_interval=_interval(comparison, entry.name))
            for entry in entries
        ]
        if chosen == "default":
            return entries, None, note
        delta = fmean(values[chosen]) - fmean(values["default"])
        return entries, Gain.of(delta, comparison, chosen, len(found[chosen])), note

    def _compared(self, found: Mapping[str, Sequence[DetectionTable]]) -> tuple[Comparison | None, str]:
        objective, truth = self.task.objectives.each[0], self.task.dataset.splits["test"].truth
        try:
            statistic = objective.statistic(self.task.objectives.rule)
        except InputError as error:
            return None, f"no intervals: {error}"
        runs = {name: [(truth, table) for table in tables] for name, tables in found.items()}
        comparison = compare(
            runs, statistic, rule=self.task.objectives.rule, seed=self.task.config.seed, permutations=0
        )
        return comparison, ""

    def _own_weights(self, entry: Entry) -> Path:
        """The weights that the study itself measured an entry with."""
        mine = {**self.task.space.defaults, **entry.values}
        if "train" in self.studies:
            study = self.studies["train"]
            for trial in study.finished():
                theirs = {**self.task.space.of("anchors").defaults, **self.fixed, **trial.params}
                if all(mine[path] == value for path, value in theirs.items() if not path.startswith("nms.")):
                    return weights_of(study, trial)
        if self.weights is None or list(self.studies) != ["nms"]:
            return self.task.trained(entry.values, self.task.config.seed)
        return self.weights

    def _fit(self) -> tuple[Fitted, ...]:
        """How the untuned and the fitted priors fit, on training and validation boxes."""
        if "anchors" not in self.studies:
            return ()
        best = self.studies["anchors"].best()[0]
        rows = self.task.anchors.fitted("default", {})
        if best.params != self.task.space.of("anchors").defaults:
            rows += self.task.anchors.fitted(f"trial {best.number}", best.params)
        return tuple(rows)


def weights_of(study: Study, trial: FrozenTrial) -> Path:
    """Where a finished trial of the training stage left its weights."""
    return study.folder / "trials" / str(trial.user_attrs["folder"]) / WEIGHTS


def _interval(comparison: Comparison | None, name: str) -> tuple[float, float] | None:
    if comparison is None or name not in comparison.models:
        return None
    row = comparison.standing(name)
    return None if row.ci_low != row.ci_low else (row.ci_low, row.ci_high)
