"""One tuning: all stages in turn, by one or several workers, then the final evaluation."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.trial import Trial

from bench.pipeline.loader import images_per_epoch
from bench.process.interrupts import Stopped, StopRequest, handle_signals
from bench.process.progress import Progress
from bench.runs.naming import used_masks
from bench.runs.provenance import environment, file_digest, settings_by_content
from bench.settings.sections import EvaluateConfig
from bench.tune.anchors import FIT
from bench.tune.component_postprocessing import post_processing
from bench.tune.final_evaluation import Finals, trial_weights
from bench.tune.looks import recorded_looks
from bench.tune.plan import TuningPlan, TuningTask, Values
from bench.tune.predicted import Predicted
from bench.tune.search_space import with_values
from bench.tune.study import ObjectiveFunction, Study
from bench.tune.study_key import StudyKey
from bench.tune.study_record import study_result
from bench.tune.training_trials import WEIGHTS, TrainingTrials, make_pruner
from detectors.nms import NMS
from metrics.atomic_files import atomic_write
from metrics.errors import DetbenchError
from reports.pages import write_study_page
from reports.records.final_evaluation import FinalEvaluation
from reports.records.study import StudyFolder
from reports.records.trial import STAGES, Stage

_WITHOUT_EFFECT = ("data", "device", "threads", "workers", "evaluate", "tuned")
"""Settings that do not change a trial's value; of `data`, the fingerprint is part of the study's key."""


def tune(plan: TuningPlan, progress: Progress | None = None, stop: StopRequest | None = None) -> StudyFolder:
    """Carry out all stages of a plan, continue what was interrupted, and evaluate the best settings.

    Anchor priors are fitted first, then trained with; post-processing is tuned last, on the weights of the best trial. The
    best settings of a stage are fixed for the next ones. Only the settings chosen on the validation split, and the default
    ones, are tested, once for each number of trials; the study counts these looks at the test split.

    Returns:
        The study of the last stage, with the final evaluation.

    Raises:
        InputError: an invalid space, objective, limit, study or run.
        MachineError: storage, disk or device are unavailable or too small.
        PartialError: no trial of a stage has a value, or none is within the limits.
        Stopped: a signal requested it; the same call continues.
    """
    return _Tuning(TuningTask(plan, progress or Progress(), stop or StopRequest())).run()


class _Tuning:
    """The stages of a task."""

    def __init__(self, task: TuningTask) -> None:
        self.task = task
        self.plan = task.plan

    def run(self) -> StudyFolder:
        task, stages = self.task, [stage for stage in STAGES if self.task.space.of(stage)]
        fixed: Values = {}
        weights = None if self.plan.run is None else self.plan.run / WEIGHTS
        studies: dict[Stage, Study] = {}
        for stage in stages:
            if stage == "nms" and weights is None:
                task.progress.message("training once with the fixed settings, to predict candidates")
                weights = task.train(fixed, task.config.seed)
            with self._other_workers(stage, fixed, weights):
                study = studies[stage] = self.work(stage, fixed, weights)
            self._record(studies, fixed)
            best = study.best()[0]
            if stage == "train":
                weights = trial_weights(study, best)
            if stage != stages[-1]:
                fixed = {**fixed, **best.params}
        evaluation = Finals(task, studies, fixed, weights).run()
        self._write_winner(evaluation, studies)
        folder = self._record(studies, fixed, evaluation)
        if self.plan.page:
            with task.progress.stage("writing the report", 1) as stage_progress:
                write_study_page(folder)
                stage_progress.advance()
        return folder

    def work(self, stage: Stage, fixed: Values, weights: Path | None) -> Study:
        """One worker's part of a stage; returns when all trials are finished, by any worker."""
        study = self._open_study(stage, fixed, weights)
        if stage == "anchors":
            objective = self._anchor_trials()
        elif stage == "train":
            objective = self._training_trials(fixed)
        else:
            assert weights is not None
            objective = self._postprocessing_trials(study, fixed, weights)
        study.optimize(objective, self.plan.trials, self.task.progress, self.task.stop)
        return study

    def _anchor_trials(self) -> ObjectiveFunction:
        task = self.task

        def objective(trial: Trial, values: Values, folder: Path) -> tuple[float, ...]:
            task.limits.check(trial, lambda: task.detector(values))
            return task.anchors(trial, values)

        return objective

    def _training_trials(self, fixed: Values) -> ObjectiveFunction:
        task = self.task
        training = TrainingTrials(
            with_values(task.config, fixed), task.dataset, task.objectives, task.stop, task.callbacks
        )

        def objective(trial: Trial, values: Values, folder: Path) -> tuple[float, ...]:
            chosen = {**fixed, **values}
            image = with_values(task.config, chosen).image.for_prediction
            task.limits.check(trial, lambda: task.detector(chosen), image)
            return training(trial, values, folder)

        return objective

    def _postprocessing_trials(self, study: Study, fixed: Values, weights: Path) -> ObjectiveFunction:
        task, config = self.task, with_values(self.task.config, fixed)
        detector: Any = task.detector(fixed, weights)
        val = task.dataset.splits["val"]
        path = study.folder / "candidates.parquet"
        post = post_processing(detector, val, config, study.space, path, task.device, task.progress)

        def objective(trial: Trial, values: Values, folder: Path) -> tuple[float, ...]:
            if task.limits.limits:
                chosen = with_values(config, values).detector
                detector.nms = NMS(chosen.nms)
                if hasattr(detector, "components"):
                    detector.components = chosen.components
                task.limits.check(trial, lambda: detector, config.image.for_prediction)
            predicted = Predicted(post.detections(values))
            return task.objectives.values(task.objectives.numbers(val.truth, predicted))

        return objective

    def _open_study(self, stage: Stage, fixed: Values, weights: Path | None) -> Study:
        task, plan = self.task, self.plan
        config, space = with_values(task.config, fixed), task.space.of(stage)
        objectives = FIT if stage == "anchors" else task.objectives
        tree = settings_by_content({k: v for k, v in config.tree().items() if k not in _WITHOUT_EFFECT})
        facts: dict[str, Any] = {
            "data": task.dataset.fingerprint,
            "space": space.tree(),
            "objective": [objective.text for objective in objectives.each],
            "settings": tree,
        } | used_masks(config, task.dataset)
        if task.config.evaluate.max_dets != EvaluateConfig().max_dets:
            facts["max_dets"] = list(task.config.evaluate.max_dets)
        if task.limits.limits:
            facts["limits"] = [str(limit) for limit in task.limits.limits]
        if weights is not None:
            facts["weights"] = file_digest(weights)
        shapes = next((d.options for d in space if d.path == "shapes"), ())
        return Study(
            StudyKey(plan.variant, task.dataset.name, stage, facts),
            space,
            objectives,
            plan.out,
            plan.storage,
            name=None if plan.study is None else f"{plan.study}-{stage}",
            seed=config.seed,
            pruner=make_pruner(
                plan.pruner,
                config,
                images_per_epoch(task.dataset.splits["train"], config.train.sampling),
                len(task.dataset.classes),
            )
            if stage == "train"
            else None,
            first=[{"shapes": option} for option in shapes if option] if stage == "anchors" else [],
            timeouts=plan.timeouts,
        )

    def _write_winner(self, evaluation: FinalEvaluation, studies: Mapping[Stage, Study]) -> None:
        study = list(studies.values())[-1]
        values = dict(evaluation.winner.values)
        if values:
            values |= {
                "tuned.study": study.name,
                "tuned.trials": _num_validated(studies) + (self.task.config.tuned.trials or 0),
                "tuned.objective": evaluation.objective.text,
            }
        atomic_write(study.folder / StudyFolder.WINNER, with_values(self.task.config, values).toml())

    def _record(
        self, studies: Mapping[Stage, Study], fixed: Values, evaluation: FinalEvaluation | None = None
    ) -> StudyFolder:
        """Write the record of the last study."""
        task, plan = self.task, self.plan
        *earlier, (stage, study) = studies.items()
        result = study_result(
            study,
            plan.storage,
            plan.command,
            variant=plan.variant,
            stage=stage,
            data=task.dataset.name,
            fingerprint=task.dataset.fingerprint,
            images=len(task.dataset.splits["val"]),
            limits=task.limits.limits,
            fixed=dict(fixed),
            requested=plan.trials,
            pruner=plan.pruner if stage == "train" and plan.pruner != "none" else "",
            seed=task.config.seed,
            environment=environment(str(task.device)),
            earlier=tuple(other.folder.name for _, other in earlier),
            test_looks=recorded_looks(studies.values()),
            final_evaluation=evaluation,
        )
        return StudyFolder.save(study.folder, result)

    @contextmanager
    def _other_workers(self, stage: Stage, fixed: Values, weights: Path | None) -> Iterator[None]:
        """The other workers on this machine, while the block runs."""
        context = multiprocessing.get_context("spawn")
        plan = replace(self.plan, sources=dict(self.plan.sources))
        if self.plan.workers > 1:
            self._open_study(stage, fixed, weights)  # creates it before the others open it
        others = [
            context.Process(target=_work, args=(plan, stage, dict(fixed), weights))
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


def _num_validated(studies: Mapping[Stage, Study]) -> int:
    """How many settings were evaluated on validation images."""
    return sum(
        count
        for stage, study in studies.items()
        if stage != "anchors"
        for state, count in study.states().items()
        if state in {"complete", "pruned"}
    )


def _work(plan: TuningPlan, stage: Stage, fixed: Values, weights: Path | None) -> None:
    """Another worker, in its own process; the first one reports errors."""
    with handle_signals() as stop, suppress(Stopped, DetbenchError):
        _Tuning(TuningTask(plan, Progress(), stop)).work(stage, fixed, weights)
