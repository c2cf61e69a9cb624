"""One run, from settings to a folder: train, predict, evaluate, and leave the result with its cause."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pandas as pd
import torch
from torch import nn

from bench.data.types import Dataset, Split
from bench.pipeline.inference import wrap_predictor
from bench.pipeline.predict import predict
from bench.process import distributed
from bench.process.log import Log, collect_warnings
from bench.runs.context import RunContext
from bench.runs.detector import build_detector
from bench.runs.finished_run import image_loader
from bench.runs.folders import create_run_folder, is_done, partial_folder, remove, require_space
from bench.runs.naming import run_name
from bench.runs.provenance import (
    environment,
    settings_without_place,
)
from bench.settings.config import EntryConfig, RunConfig, find_model
from bench.settings.resolution import open_run_data
from bench.training.checkpoint import save_weights
from bench.training.loop import TrainingResult, pick_device, train
from detectors.external.registry import external_model
from detectors.types import Predictor
from metrics.evaluator import evaluate
from metrics.matching import MatchRule
from metrics.tables import DetectionTable
from reports.records.atomic_files import atomic_write
from reports.records.run import Budget, DataFacts, RunFolder, RunResult, save_result

_SPARE_BYTES = 64 * 2**20


def run(
    config: EntryConfig,
    out: str | Path = "runs",
    dataset: Dataset | None = None,
    context: RunContext | None = None,
) -> RunFolder:
    """Do a run, go on with one that was broken off, or find that it is done.

    A predictor that was trained elsewhere only predicts: its folder holds no weights and no history.

    The folder's name ends in a digest of the run's cause: settings that change numbers, bytes of data and weights,
    versions of the result. While the run lasts the name ends in ``.partial``.

    Args:
        config: all settings.
        out: the folder of run folders.
        dataset: that of `config`, where it is open already.
        context: what changes no number.

    Raises:
        InputError: something given cannot be used.
        MachineError: the disk, the device or the memory does not suffice, or another process has this run in hand.
        LossNotFinite: training diverged.
        Stopped: a signal asked for it; the same call goes on from there.
    """
    context = context or RunContext()
    distributed.initialize(cpu=pick_device(config.device).type == "cpu")
    dataset = dataset or open_run_data(config)
    out = Path(out)
    folder = out / run_name(config, dataset)
    if context.fresh and distributed.is_main_process():
        remove(folder)
    distributed.wait_for_everyone()
    if is_done(folder):
        context.progress.message(f"{folder.name}: already done, reused")
        return RunFolder.open(folder)
    place = (
        create_run_folder(folder) if distributed.is_main_process() else nullcontext(partial_folder(folder))
    )
    with place as partial, collect_warnings() as messages:
        _Work(config, dataset, partial, folder.name, context, messages).run()
    distributed.wait_for_everyone()
    return RunFolder.open(folder)


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    """What there is to evaluate and to save. `training` is None of a predictor that was trained elsewhere."""

    predictor: Predictor
    found: DetectionTable
    training: TrainingResult | None = None


class _Work:
    def __init__(
        self,
        config: EntryConfig,
        dataset: Dataset,
        folder: Path,
        name: str,
        context: RunContext,
        messages: Sequence[str],
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.folder = folder
        self.name = name
        self.context = context
        self.messages = messages
        self.log = Log(folder / "log.jsonl" if distributed.is_main_process() else None)
        self.device = pick_device(config.device)
        self.started = datetime.now(UTC)
        self.began = time.monotonic()

    def run(self) -> None:
        _set_up_torch(self.config)
        if distributed.is_main_process():
            atomic_write(self.folder / "config.toml", self.config.toml())
        self.log.write("started", name=self.name, device=str(self.device))
        splits = self._splits()
        if isinstance(self.config, RunConfig):
            done = self._train(self.config, splits)
        else:
            done = self._enter(splits[self.config.evaluate.split])
        if distributed.is_main_process():
            self._finish(done, splits[self.config.evaluate.split])

    def _train(self, config: RunConfig, splits: Mapping[str, Split]) -> _Done:
        detector = build_detector(config, len(self.dataset.classes))
        if distributed.is_main_process():
            self._require_space(detector)
        trained = train(
            detector,
            splits["train"],
            splits["val"],
            config,
            self.folder / "checkpoint",
            progress=self.context.progress,
            log=self.log,
            stop=self.context.stop,
        )
        found = predict(
            wrap_predictor(cast(Predictor, detector), config.evaluate),
            splits[config.evaluate.split],
            config.image,
            batch=config.evaluate.batch,
            workers=config.workers,
            device=self.device,
            candidates=self.folder / "candidates.parquet" if config.evaluate.save_candidates else None,
            candidates_per_image=config.evaluate.candidates,
            progress=self.context.progress,
        )
        return _Done(cast(Predictor, detector), found, trained)

    def _enter(self, split: Split) -> _Done:
        """A predictor that was trained elsewhere: its own preparation of images is part of it, so it gets them whole."""
        predictor = external_model(self.config.variant).build(
            self.config.model_settings, self.dataset.classes
        )
        if isinstance(predictor, nn.Module):
            predictor.to(self.device)
        looking = wrap_predictor(predictor, self.config.evaluate)
        found = predict(looking, split, None, device=self.device, progress=self.context.progress)
        return _Done(predictor, found)

    def _splits(self) -> dict[str, Split]:
        """All splits; a data set that is drawn is drawn here."""
        with self.context.progress.stage(f"data {self.dataset.name}", len(self.dataset.splits)) as stage:
            splits = {}
            for name in self.dataset.splits:
                splits[name] = self.dataset.splits[name]
                stage.advance()
        return splits

    def _finish(self, done: _Done, split: Split) -> None:
        with self.context.progress.stage("evaluating", 1) as stage:
            settings = self.config.evaluate
            rule = MatchRule(max_dets=settings.max_dets)
            headline = evaluate(split.truth, done.found, measures=settings.measures, rule=rule).headline
            stage.advance(ap=headline["ap"])
        history = None
        if done.training is not None:
            save_weights(self.folder / "weights.safetensors", cast(nn.Module, done.predictor))
            history = pd.DataFrame(done.training.history) if done.training.history else None
        result = self._result(done, split, headline)
        saved = save_result(self.folder, result, split.truth, done.found, history)
        if self.context.page:
            with self.context.progress.stage("report", 1) as stage:
                from reports.pages import write_report  # imports Matplotlib

                write_report([saved], self.folder, image_loader(split), show_paths=self.context.show_paths)
                stage.advance()
        if isinstance(self.config, RunConfig) and not self.config.train.keep_checkpoint:
            shutil.rmtree(self.folder / "checkpoint", ignore_errors=True)
        self.log.write("finished", **headline)

    def _result(self, done: _Done, split: Split, headline: dict[str, float]) -> RunResult:
        config, dataset = self.config, self.dataset
        tree = config.tree()
        source = find_model(config.variant).source
        trained_here = isinstance(config, RunConfig)
        return RunResult(
            name=self.name,
            variant=config.variant,
            variant_source=source if trained_here else f"{source}; not trained here".removeprefix("; "),
            data=DataFacts(
                name=dataset.name,
                format=dataset.format,
                split=split.name,
                fingerprint=split.truth.fingerprint,
                images=len(split),
                objects=len(split.truth),
                classes=len(dataset.classes),
                notes=tuple(dict.fromkeys([*dataset.notes, *(done.training.notes if done.training else ())])),
            ),
            seed=config.seed if isinstance(config, RunConfig) else None,
            config=tree if self.context.show_paths else settings_without_place(tree),
            budget=self._budget(done),
            headline=dict(headline),
            environment=environment(str(self.device)),
            command=self.context.command,
            warnings=tuple(self.messages),
            started=self.started,
            finished=datetime.now(UTC),
        )

    def _budget(self, done: _Done) -> Budget:
        """Of a predictor that was trained elsewhere only its size and the time it took here are known."""
        parameters = None
        if isinstance(done.predictor, nn.Module):
            parameters = sum(parameter.numel() for parameter in done.predictor.parameters())
        seconds = time.monotonic() - self.began
        if not isinstance(self.config, RunConfig) or done.training is None:
            return Budget(total_seconds=round(seconds, 3), parameters=parameters)
        earlier = max(done.training.seconds - seconds, 0.0)
        return Budget(
            epochs=self.config.train.epochs,
            images_seen=done.training.images_seen,
            train_seconds=round(done.training.seconds, 3),
            total_seconds=round(seconds + earlier, 3),
            parameters=parameters,
            trials=self.config.tuned.trials,
        )

    def _require_space(self, detector: nn.Module) -> None:
        weights = sum(parameter.numel() * parameter.element_size() for parameter in detector.parameters())
        # Two states (the old stays until the new is written) of weights, average and two moments; best; final.
        require_space(self.folder, (2 * 4 + 2) * weights + _SPARE_BYTES)


def _set_up_torch(config: EntryConfig) -> None:
    if config.threads:
        torch.set_num_threads(config.threads)
    deterministic = isinstance(config, RunConfig) and config.deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.cudnn.deterministic = deterministic
    # Seeking the fastest convolution pays where all images have one size.
    torch.backends.cudnn.benchmark = isinstance(config, RunConfig) and not deterministic
