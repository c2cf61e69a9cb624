"""One tuning from command to winner: the stages in turn, by one or several workers, then the honest ending."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from optuna.trial import FrozenTrial

from bench.checkpoint import load_weights
from bench.config import RunConfig, resolve
from bench.data.types import Dataset, require_objects
from bench.predict import predict
from bench.progress import Progress
from bench.provenance import file_digest, settings_by_content
from bench.run import Circumstances, build_detector, open_configured, run
from bench.stopping import Stopped, StopRequest, listening
from bench.train import pick_device
from bench.tune.objectives import Objectives, parse_objectives
from bench.tune.outcome import Entry, Outcome, choose
from bench.tune.postprocessing import PostProcessing, save_candidates
from bench.tune.spaces import Scalar, Space, Stage, configured, space_of
from bench.tune.studies import Cause, Study
from bench.tune.training import WEIGHTS, Pruning, Training, make_pruner
from metrics.errors import DetbenchError, InputError
from metrics.matching import MatchRule
from reports.files import write_whole

FEW = 3
"""So many of the best settings reach the end."""

FRESH_SEED = 1000
"""Added to the run's seed: no trial trains with a fresh one."""

Values = Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tuning is asked to do; plain values, so that other processes can be given it.

    Attributes:
        variant: the detector.
        space: words of `bench.tune.spaces.space_of`.
        sources: what `bench.config.resolve` takes beside the variant.
        objectives: words of `parse_objectives`.
        trials: of each stage, over all workers, those of earlier calls included.
        out: the folder of studies.
        run: the folder of a finished run whose weights post-processing is tuned for; None trains one, or takes the
            best of the training stage.
        again: fresh seeds of the ending; None for two, or for none where `run` is given and nothing is trained.
        workers: processes on this machine.
        storage: a database's URL; None for a journal file in the study's folder.
        study: the study's name; None for one by its cause.
        pruning: who gives up trials of the training stage.
    """

    variant: str
    space: tuple[str, ...]
    sources: Mapping[str, Any] = field(default_factory=dict)
    objectives: tuple[str, ...] = ("ap",)
    trials: int = 50
    out: Path = Path("studies")
    run: Path | None = None
    again: int | None = None
    workers: int = 1
    storage: str | None = None
    study: str | None = None
    pruning: Pruning = "hyperband"


def tune(plan: Plan, progress: Progress | None = None, stop: StopRequest | None = None) -> Outcome:
    """Do all stages of a plan, go on with what was broken off, and end it honestly.

    Training comes first, post-processing then on the weights of its best trial. The test split is looked at once, by
    the settings that were chosen on validation and by the untuned ones.

    Raises:
        InputError: a space, an objective, a study or a run that does not fit.
        MachineError: storage, disk or device do not suffice.
        PartialError: no trial of a stage has a value.
        Stopped: a signal asked for it; the same call goes on.
    """
    return _Tuning(plan, progress or Progress(), stop or StopRequest()).run()


class _Tuning:
    def __init__(self, plan: Plan, progress: Progress, stop: StopRequest, number: int = 0) -> None:
        self.plan = plan
        self.progress = progress
        self.stop = stop
        self.number = number
        sources = dict(plan.sources)
        if plan.run is not None:
            if not (plan.run / WEIGHTS).is_file():
                raise InputError(f"--run {plan.run}: holds no {WEIGHTS}; give the folder of a finished run")
            sources["file"] = plan.run / "config.toml"
        self.dataset: Dataset = open_configured(resolve(plan.variant, **sources))
        config = resolve(plan.variant, **sources, data_defaults=self.dataset.defaults)
        self.space: Space = space_of(config, plan.space)
        if self.space.of("train"):
            if plan.run is not None:
                raise InputError(
                    "--run: its weights are for post-processing; leave it out, or name only --space nms"
                )
            if config.train.validate_every == 0:
                config = configured(config, {"train.validate_every": 1})
        self.config: RunConfig = config
        val = require_objects(self.dataset.splits["val"])
        rule = MatchRule(max_dets=config.evaluate.max_dets)
        self.objectives: Objectives = parse_objectives(plan.objectives, val.truth, rule)
        self.device = pick_device(config.device)
        threads = config.threads or (
            max(torch.get_num_threads() // plan.workers, 1) if plan.workers > 1 else 0
        )
        if threads:
            torch.set_num_threads(threads)

    def run(self) -> Outcome:
        fixed: Values = {}
        weights = None if self.plan.run is None else self.plan.run / WEIGHTS
        studies: dict[Stage, Study] = {}
        if self.space.of("train"):
            study = studies["train"] = self._stage("train", fixed, None)
            fixed = study.best()[0].params
            weights = _weights_of(study, study.best()[0])
        if self.space.of("nms"):
            if weights is None:
                self.progress.say("training once with the untuned settings; its candidates are kept")
                weights = self._trained(fixed, self.config.seed)
            studies["nms"] = self._stage("nms", fixed, weights)
        return self._end(studies, fixed, weights)

    def _stage(self, stage: Stage, fixed: Values, weights: Path | None) -> Study:
        with self._others(stage, fixed, weights):
            return self.work(stage, fixed, weights)

    def work(self, stage: Stage, fixed: Values, weights: Path | None) -> Study:
        """One worker's part of a stage; ends when all trials are finished, whoever did them."""
        config, space = configured(self.config, fixed), self.space.of(stage)
        study = self._study(stage, config, space, weights)
        if stage == "train":
            objective = Training(config, self.dataset, self.objectives, self.stop)
            study.optimize(objective, self.plan.trials, self.progress, self.stop)
            return study
        val = self.dataset.splits["val"]
        detector = build_detector(config, len(self.dataset.classes)).to(self.device).eval()
        assert weights is not None
        load_weights(weights, detector)
        path = study.folder / "candidates.parquet"
        candidates = save_candidates(detector, val, config, space, path, self.device, self.progress)
        post = PostProcessing(candidates, val.truth, config.detector.nms)
        study.optimize(
            lambda trial, values, folder: self.objectives.values(
                self.objectives.numbers(val.truth, post.found(values))
            ),
            self.plan.trials,
            self.progress,
            self.stop,
        )
        return study

    def _study(self, stage: Stage, config: RunConfig, space: Space, weights: Path | None) -> Study:
        tree = settings_by_content({k: v for k, v in config.tree().items() if k not in _WITHOUT_EFFECT})
        facts: dict[str, Any] = {
            "data": self.dataset.fingerprint,
            "space": space.tree(),
            "objective": [objective.text for objective in self.objectives.each],
            "settings": tree,
        }
        if weights is not None:
            facts["weights"] = file_digest(weights)
        cause = Cause(self.plan.variant, self.dataset.name, stage, facts)
        name = None if self.plan.study is None else f"{self.plan.study}-{stage}"
        pruner = make_pruner(self.plan.pruning, config, len(self.dataset.splits["train"]))
        seed = config.seed + self.number
        return Study(cause, space, self.objectives, self.plan.out, self.plan.storage, name, seed, pruner)

    @contextmanager
    def _others(self, stage: Stage, fixed: Values, weights: Path | None) -> Iterator[None]:
        """The other workers of this machine, for as long as the block runs."""
        context = multiprocessing.get_context("spawn")
        single = replace(self.plan, sources=dict(self.plan.sources))
        if self.plan.workers > 1:
            # The study, and the candidates, are there before anybody else asks for them.
            self._study(stage, configured(self.config, fixed), self.space.of(stage), weights)
        others = [
            context.Process(target=_work, args=(single, number, stage, dict(fixed), weights))
            for number in range(1, self.plan.workers)
        ]
        for process in others:
            process.start()
        try:
            yield
        finally:
            for process in others:
                if self.stop.signum is not None:
                    process.terminate()
                process.join()

    def _end(self, studies: Mapping[Stage, Study], fixed: Values, weights: Path | None) -> Outcome:
        last = list(studies.values())[-1]
        default = next(iter(studies.values())).default()
        entries = [Entry("default", {}, None if default is None else default.values[0])]
        entries += [
            Entry(f"trial {trial.number}", {**fixed, **trial.params}, trial.values[0])
            for trial in last.best(FEW)
            if {**fixed, **trial.params} != self.space.defaults
        ]
        again = self.plan.again if self.plan.again is not None else (0 if self.plan.run is not None else 2)
        seeds = [self.config.seed + FRESH_SEED + k for k in range(again)]
        places: dict[str, list[Path]] = {}
        for k, entry in enumerate(entries):
            places[entry.name] = [self._trained(entry.values, seed) for seed in seeds]
            found = tuple(self._measured(entry.values, path, "val") for path in places[entry.name])
            entries[k] = replace(entry, again=found)
        higher = self.objectives.each[0].higher
        chosen = choose(entries, higher)
        for k, entry in enumerate(entries):
            if entry.name in {"default", chosen.name}:
                paths = places[entry.name] or [self._own_weights(entry, studies, weights)]
                test = tuple(self._measured(entry.values, path, "test") for path in paths)
                entries[k] = replace(entry, test=test)
        outcome = Outcome(
            self.objectives.each[0].text,
            higher,
            tuple(entries),
            chosen.name,
            last.folder,
            {stage: study.states() for stage, study in studies.items()},
            {stage: study.importances() for stage, study in studies.items()},
        )
        outcome.save()
        write_whole(last.folder / "winner.toml", configured(self.config, chosen.values).toml())
        for study in studies.values():
            write_whole(study.folder / "trials.csv", study.study.trials_dataframe().to_csv(index=False))
        return outcome

    def _own_weights(self, entry: Entry, studies: Mapping[Stage, Study], weights: Path | None) -> Path:
        """The weights that the study itself measured an entry with."""
        if "train" in studies:
            study = studies["train"]
            wanted = {
                p: v for p, v in {**self.space.defaults, **entry.values}.items() if not p.startswith("nms.")
            }
            for trial in study.finished():
                if trial.params == wanted:
                    return _weights_of(study, trial)
        if weights is None or "train" in studies:
            return self._trained(entry.values, self.config.seed)
        return weights

    def _trained(self, values: Values, seed: int) -> Path:
        """Weights of a run with some settings, those of post-processing left as they are; a run that is done is reused."""
        training = {path: value for path, value in values.items() if not path.startswith("nms.")}
        config = configured(self.config, {**training, "evaluate.split": "val"}).with_seed(seed)
        around = Circumstances(progress=self.progress, stop=self.stop, page=False)
        return run(config, self.plan.out / "runs", self.dataset, around).path / WEIGHTS

    def _measured(self, values: Values, weights: Path, split_name: str) -> float:
        config = configured(self.config, values)
        detector = build_detector(config, len(self.dataset.classes)).to(self.device).eval()
        load_weights(weights, detector)
        split = self.dataset.splits[split_name]
        found = predict(
            detector,
            split,
            config.image,
            batch=config.evaluate.batch,
            workers=config.workers,
            device=self.device,
            progress=self.progress,
        )
        return self.objectives.each[0](self.objectives.numbers(split.truth, found))


_WITHOUT_EFFECT = ("data", "device", "threads", "workers", "evaluate")


def _weights_of(study: Study, trial: FrozenTrial) -> Path:
    return study.folder / "trials" / str(trial.user_attrs["folder"]) / WEIGHTS


def _work(plan: Plan, number: int, stage: Stage, fixed: Values, weights: Path | None) -> None:
    """A further worker, in a process of its own; what it cannot do the first one says."""
    with listening() as stop, suppress(Stopped, DetbenchError):
        _Tuning(plan, Progress(), stop, number).work(stage, fixed, weights)
