"""One tuning from command to winner: the stages in turn, by one or several workers, then the honest ending."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.trial import Trial

from bench.process.interrupts import Stopped, StopRequest, handle_signals
from bench.process.progress import Progress
from bench.runs.provenance import environment, file_digest, settings_by_content
from bench.settings.sections import EvaluateConfig
from bench.tune.anchors import FIT
from bench.tune.final_evaluation import Ending, weights_of
from bench.tune.outcome import Outcome
from bench.tune.plan import Plan, Task, Values
from bench.tune.postprocessing import PostProcessing, save_candidates
from bench.tune.record import ending_of, record
from bench.tune.spaces import STAGES, Stage, configured
from bench.tune.study import Cause, Objective, Study
from bench.tune.training import WEIGHTS, Training, make_pruner
from detectors.nms import NMS
from metrics.errors import DetbenchError
from reports.pages import write_study_page
from reports.records.atomic_files import atomic_write
from reports.records.study import Limit, StudyFolder, save_study


def tune(plan: Plan, progress: Progress | None = None, stop: StopRequest | None = None) -> Outcome:
    """Do all stages of a plan, go on with what was broken off, and end it honestly.

    Priors are fitted first, then trained with; post-processing comes last, on the weights of the best trial. What is best
    in a stage is fixed for the next. The test split is looked at once, by the settings that were chosen on validation and
    by the untuned ones.

    Raises:
        InputError: a space, an objective, a limit, a study or a run that does not fit.
        MachineError: storage, disk or device do not suffice.
        PartialError: no trial of a stage has a value, or none keeps the limits.
        Stopped: a signal asked for it; the same call goes on.
    """
    return _Tuning(Task(plan, progress or Progress(), stop or StopRequest())).run()


class _Tuning:
    """The stages of a task."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.plan = task.plan

    def run(self) -> Outcome:
        task, stages = self.task, [stage for stage in STAGES if self.task.space.of(stage)]
        fixed: Values = {}
        weights = None if self.plan.run is None else self.plan.run / WEIGHTS
        studies: dict[Stage, Study] = {}
        for stage in stages:
            if stage == "nms" and weights is None:
                task.progress.message("training once with what is fixed; its candidates are kept")
                weights = task.trained(fixed, task.config.seed)
            with self._others(stage, fixed, weights):
                study = studies[stage] = self.work(stage, fixed, weights)
            self._record(studies, fixed)
            best = study.best()[0]
            if stage == "train":
                weights = weights_of(study, best)
            if stage != stages[-1]:
                fixed = {**fixed, **best.params}
        outcome = Ending(task, studies, fixed, weights).run()
        self._leave(outcome, studies, fixed)
        return outcome

    def _leave(self, outcome: Outcome, studies: Mapping[Stage, Study], fixed: Values) -> None:
        """Write what the tuning came to into the folder of the last study."""
        outcome.save()
        chosen = dict(outcome.winner.values)
        if chosen:
            chosen |= {
                "tuned.study": list(studies.values())[-1].name,
                "tuned.trials": _tried(studies) + (self.task.config.tuned.trials or 0),
                "tuned.objective": outcome.objective,
            }
        atomic_write(outcome.folder / StudyFolder.WINNER, configured(self.task.config, chosen).toml())
        self._record(studies, fixed, outcome)

    def _record(self, studies: Mapping[Stage, Study], fixed: Values, outcome: Outcome | None = None) -> None:
        """Leave the facts of the last study, and with an outcome its page."""
        task, plan = self.task, self.plan
        *earlier, (stage, study) = studies.items()
        ending = None
        if outcome is not None:
            intervals = {e.name: e.test_interval for e in outcome.entries if e.test_interval is not None}
            sought = study.objectives.each[0].text
            ending = ending_of(outcome, sought, intervals, outcome.gain.interval if outcome.gain else None)
        result = record(
            study,
            plan.variant,
            stage,
            task.dataset,
            asked=plan.trials,
            limits=[Limit(name=limit.name, bound=limit.most) for limit in task.limits.limits],
            fixed=fixed,
            pruner=plan.pruning if stage == "train" and plan.pruning != "none" else "",
            seed=task.config.seed,
            storage=plan.storage,
            command=plan.command,
            environment=environment(str(task.device)),
            earlier=[other.folder.name for _, other in earlier],
            ending=ending,
        )
        saved = save_study(study.folder, result)
        if outcome is not None:
            with task.progress.stage("report", 1) as shown:
                write_study_page(saved)
                shown.advance()

    def work(self, stage: Stage, fixed: Values, weights: Path | None) -> Study:
        """One worker's part of a stage; ends when all trials are finished, whoever did them."""
        study = self._study(stage, fixed, weights)
        trial_of = {"anchors": self._anchors, "train": self._training, "nms": self._postprocessing}[stage]
        study.optimize(trial_of(study, fixed, weights), self.plan.trials, self.task.progress, self.task.stop)
        return study

    def _anchors(self, study: Study, fixed: Values, weights: Path | None) -> Objective:
        task = self.task

        def objective(trial: Trial, values: Values, folder: Path) -> tuple[float, ...]:
            if task.limits:
                task.limits.hold(trial, lambda: task.detector(values))
            return task.anchors(trial, values)

        return objective

    def _training(self, study: Study, fixed: Values, weights: Path | None) -> Objective:
        task = self.task
        training = Training(configured(task.config, fixed), task.dataset, task.objectives, task.stop)

        def objective(trial: Trial, values: Values, folder: Path) -> tuple[float, ...]:
            if task.limits:
                chosen = {**fixed, **values}
                image = configured(task.config, chosen).image
                task.limits.hold(trial, lambda: task.detector(chosen), image)
            return training(trial, values, folder)

        return objective

    def _postprocessing(self, study: Study, fixed: Values, weights: Path | None) -> Objective:
        task, config = self.task, configured(self.task.config, fixed)
        assert weights is not None
        detector: Any = task.detector(fixed, weights)
        val = task.dataset.splits["val"]
        path = study.folder / "candidates.parquet"
        candidates = save_candidates(detector, val, config, study.space, path, task.device, task.progress)
        post = PostProcessing(candidates, val.truth, config.detector.nms)

        def objective(trial: Trial, values: Values, folder: Path) -> tuple[float, ...]:
            if task.limits:
                detector.nms = NMS(configured(config, values).detector.nms)
                task.limits.hold(trial, lambda: detector, config.image)
            return task.objectives.values(task.objectives.numbers(val.truth, post.found(values)))

        return objective

    def _study(self, stage: Stage, fixed: Values, weights: Path | None) -> Study:
        task, plan = self.task, self.plan
        config, space = configured(task.config, fixed), task.space.of(stage)
        objectives = FIT if stage == "anchors" else task.objectives
        tree = settings_by_content({k: v for k, v in config.tree().items() if k not in _WITHOUT_EFFECT})
        facts: dict[str, Any] = {
            "data": task.dataset.fingerprint,
            "space": space.tree(),
            "objective": [objective.text for objective in objectives.each],
            "settings": tree,
        }
        if task.config.evaluate.max_dets != EvaluateConfig().max_dets:
            facts["max_dets"] = list(task.config.evaluate.max_dets)
        if task.limits:
            facts["limits"] = [str(limit) for limit in task.limits.limits]
        if weights is not None:
            facts["weights"] = file_digest(weights)
        name = None if plan.study is None else f"{plan.study}-{stage}"
        pruner = (
            make_pruner(plan.pruning, config, len(task.dataset.splits["train"])) if stage == "train" else None
        )
        shapes = next((d.options for d in space if d.path == "shapes"), ())
        return Study(
            Cause(plan.variant, task.dataset.name, stage, facts),
            space,
            objectives,
            plan.out,
            plan.storage,
            name,
            config.seed,
            pruner,
            [{"shapes": option} for option in shapes if option] if stage == "anchors" else [],
            plan.patience,
        )

    @contextmanager
    def _others(self, stage: Stage, fixed: Values, weights: Path | None) -> Iterator[None]:
        """The other workers of this machine, for as long as the block runs."""
        context = multiprocessing.get_context("spawn")
        single = replace(self.plan, sources=dict(self.plan.sources))
        if self.plan.workers > 1:
            self._study(stage, fixed, weights)  # it is there before anybody else asks for it
        others = [
            context.Process(target=_work, args=(single, stage, dict(fixed), weights))
            for _ in range(1, self.plan.workers)
        ]
        for process in others:
            process.start()
        try:
            yield
        finally:
            for process in others:
                if self.task.stop.signum is not None:
                    process.terminate()
                process.join()


_WITHOUT_EFFECT = ("data", "device", "threads", "workers", "evaluate", "tuned")


def _tried(studies: Mapping[Stage, Study]) -> int:
    """How many settings were tried on validation images: what the chosen ones have cost beside their training."""
    return sum(
        count
        for stage, study in studies.items()
        if stage != "anchors"
        for state, count in study.states().items()
        if state in {"complete", "pruned"}
    )


def _work(plan: Plan, stage: Stage, fixed: Values, weights: Path | None) -> None:
    """A further worker, in a process of its own; what it cannot do the first one says."""
    with handle_signals() as stop, suppress(Stopped, DetbenchError):
        _Tuning(Task(plan, Progress(), stop)).work(stage, fixed, weights)
