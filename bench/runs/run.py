"""One run, from settings to run folder: train, predict, evaluate, save."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pandas as pd
from torch import nn

from bench.callbacks import FinishedRun, StartedRun
from bench.data.types import Dataset, Split
from bench.pipeline.configured_prediction import predict_configured
from bench.pipeline.inference import network_input, wrap_predictor
from bench.pipeline.predict import predict
from bench.process import distributed
from bench.process.log import Log, collect_warnings
from bench.runs.context import RunContext
from bench.runs.detector import build_detector, load_teacher
from bench.runs.disk_space import training_bytes
from bench.runs.finished_run import image_loader, label_map_loader, load_network
from bench.runs.folders import CHECKPOINT, create_run_folder, is_done, require_space
from bench.runs.label_maps import PredictedLabelMaps
from bench.runs.model_file import model_file_facts
from bench.runs.naming import run_name
from bench.runs.provenance import environment, shorten_path, shorten_paths
from bench.runs.stored_detections import read_stored_detections
from bench.runs.training_facts import TrainingFacts, facts_of_training, facts_of_weights
from bench.settings.config import EntryConfig, RunConfig, find_model
from bench.settings.resolution import open_run_data
from bench.training.checkpoint import save_weights
from bench.training.device import configure_torch, pick_device
from bench.training.loop import train
from bench.training.run_events import RunEvents
from bench.training.training_result import TrainingResult
from detectors.external.registry import DETECTIONS, external_model
from detectors.safetensors_metadata import make_metadata
from detectors.types import Predictor
from metrics.atomic_files import atomic_write
from metrics.evaluator import evaluate
from metrics.match_rule import MatchRule
from metrics.notes import Note, report
from metrics.score_ties import detection_notes
from metrics.tables import DetectionTable
from reports.records.run import DataFacts, RunFolder, RunResult, save_result


def run(
    config: EntryConfig,
    out: str | Path = "runs",
    dataset: Dataset | None = None,
    context: RunContext | None = None,
    trained: RunFolder | None = None,
) -> RunFolder:
    """Do a run, continue an interrupted one, or reuse a finished one.

    An external model is evaluated without training; its folder has no weights and no history. Stored detections are evaluated
    without prediction.

    The folder's name ends in a digest of everything that changes the result: settings, contents of data and weights,
    versions. It has the suffix ``.partial`` until the run is finished.

    Args:
        config: all settings.
        out: parent folder of run folders.
        dataset: data set of `config`, if it is open already.
        context: progress, interruption and output options.
        trained: finished run whose weights predict, instead of training; see `bench.runs.reevaluation`.

    Returns:
        The run; tables and matches of a run that was just made are in memory.

    Raises:
        InputError: settings or data are invalid.
        MachineError: disk, device or memory is insufficient, or another process works on the run.
        LossNotFinite: training diverged.
        Stopped: stopped by a signal; the same call continues the run.
    """
    context = context or RunContext()
    distributed.initialize(cpu=pick_device(config.device).type == "cpu")
    dataset = dataset or open_run_data(config)
    out = Path(out)
    folder = out / run_name(config, dataset, trained)
    saved: RunFolder | None = None
    if context.fresh or not distributed.from_main(lambda: is_done(folder)):
        with ExitStack() as stack:
            partial = distributed.from_main(
                lambda: stack.enter_context(create_run_folder(folder, replace=context.fresh))
            )
            if partial is not None:
                messages = stack.enter_context(collect_warnings())
                execution = _Execution(config, dataset, partial, folder.name, context, messages, trained)
                with execution.events.until_finished():
                    saved = execution.run()
    distributed.wait_for_everyone()
    if saved is not None:
        return saved.replace(path=folder)
    if distributed.is_main_process():
        context.progress.message(f"{folder.name}: reusing the finished run")
    return RunFolder.open(folder)


@dataclass(frozen=True, slots=True, eq=False)
class _Predicted:
    """Detections of the evaluated split, and what made them.

    Attributes:
        predictor: without wrappers; None for stored detections.
        detections: of the evaluated split.
        training: None if nothing was trained.
        masks: measures of predicted label maps; empty if there are none.
    """

    predictor: Predictor | None
    detections: DetectionTable
    training: TrainingResult | None = None
    masks: dict[str, float] = field(default_factory=dict)


class _Execution:
    def __init__(
        self,
        config: EntryConfig,
        dataset: Dataset,
        folder: Path,
        name: str,
        context: RunContext,
        messages: Sequence[str],
        trained: RunFolder | None,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.folder = folder
        self.name = name
        self.context = context
        self.messages = messages
        self.trained = trained
        self.log = Log(folder / "log.jsonl" if distributed.is_main_process() else None)
        self.device = pick_device(config.device)
        tree = config.tree()
        self.events = RunEvents(
            context.callbacks if distributed.is_main_process() else {},
            StartedRun(name, folder, tree if context.show_paths else shorten_paths(tree)),
            self.log,
        )
        self.started = datetime.now(UTC)
        self.began = time.monotonic()

    def run(self) -> RunFolder | None:
        """Train, predict and save; the run in the main process, None in the others."""
        configure_torch(self.config)
        if distributed.is_main_process():
            atomic_write(self.folder / RunFolder.CONFIG, self.config.toml())
        self.log.write("started", name=self.name, device=str(self.device))
        splits = self._splits()
        split = splits[self.config.evaluate.split]
        if distributed.from_main(lambda: is_done(self.folder)):  # stopped after its results were saved
            return self._finish(RunFolder.open(self.folder), split) if distributed.is_main_process() else None
        if self.config.variant.startswith(DETECTIONS):
            predicted = _Predicted(None, read_stored_detections(self.config, split))
        elif not isinstance(self.config, RunConfig):
            predicted = self._predict_external(split)
        elif self.trained is None:
            predicted = self._train(self.config, splits)
        else:
            network = load_network(self.trained, self.config.tree())
            predicted = self._predict(self.config, network, split)
        return self._save(predicted, split) if distributed.is_main_process() else None

    def _train(self, config: RunConfig, splits: Mapping[str, Split]) -> _Predicted:
        detector = build_detector(config, len(self.dataset.classes))
        if distributed.is_main_process():
            require_space(self.folder, training_bytes(detector))
        training = train(
            detector,
            splits["train"],
            splits["val"],
            config,
            self.folder / CHECKPOINT,
            progress=self.context.progress,
            log=self.log,
            stop=self.context.stop,
            teacher=load_teacher(config, self.dataset.classes),
            events=self.events,
        )
        network = cast(Predictor, detector)
        return self._predict(config, network, splits[config.evaluate.split], training)

    def _predict(
        self, config: RunConfig, network: Predictor, split: Split, training: TrainingResult | None = None
    ) -> _Predicted:
        """Predict with a variant's network."""
        cast(nn.Module, network).to(self.device)
        wrapped = wrap_predictor(network, config.evaluate)
        label_maps = self._label_maps(network, wrapped, split)
        detections = predict_configured(
            wrapped,
            split,
            config,
            device=self.device,
            candidates=self.folder / RunFolder.CANDIDATES if config.evaluate.save_candidates else None,
            candidates_per_image=config.evaluate.candidates,
            progress=self.context.progress,
            label_maps=label_maps,
        )
        masks = {} if label_maps is None else label_maps.finish()
        return _Predicted(network, detections, training, masks)

    def _label_maps(self, network: Predictor, wrapped: Predictor, split: Split) -> PredictedLabelMaps | None:
        """Receiver of label maps, if the detector predicts them and the data has masks."""
        if split.label_maps is None or not hasattr(network, "class_probabilities"):
            return None
        if not hasattr(wrapped, "class_probabilities"):
            text = "label maps are not predicted with evaluate.flip or evaluate.tile, which fuse detections; only boxes are evaluated"
            report(Note("no_label_maps", text))
            return None
        return PredictedLabelMaps(split, self.folder)

    def _predict_external(self, split: Split) -> _Predicted:
        """Predict with an external model, which gets images in their own size, or of its file's size."""
        predictor = external_model(self.config.variant).build(
            self.config.model_settings, self.dataset.classes
        )
        if isinstance(predictor, nn.Module):
            predictor.to(self.device)
        wrapped = wrap_predictor(predictor, self.config.evaluate)
        image = network_input(predictor, self.config.evaluate)
        detections = predict(
            wrapped,
            split,
            image,
            batch=self.config.evaluate.batch,
            device=self.device,
            progress=self.context.progress,
        )
        return _Predicted(predictor, detections)

    def _splits(self) -> dict[str, Split]:
        """All splits; a synthetic data set is rendered here."""
        with self.context.progress.stage(
            f"preparing data set {self.dataset.name}", len(self.dataset.splits)
        ) as stage:
            splits = {}
            for name in self.dataset.splits:
                splits[name] = self.dataset.splits[name]
                stage.advance()
        return splits

    def _save(self, predicted: _Predicted, split: Split) -> RunFolder:
        """Evaluate, and write all files of the run."""
        with self.context.progress.stage("evaluating", 1) as stage:
            settings = self.config.evaluate
            rule = MatchRule(max_dets=settings.max_dets)
            evaluation = evaluate(split.truth, predicted.detections, settings.measures, rule)
            headline = evaluation.headline
            if predicted.predictor is None:
                for note in detection_notes(evaluation.matches):
                    report(note)
            stage.advance(ap=headline["ap"])
        history = None
        if self.trained is not None:
            history = self.trained.history if len(self.trained.history) else None
            shutil.copyfile(self.trained.path / RunFolder.WEIGHTS, self.folder / RunFolder.WEIGHTS)
        if predicted.training is not None:
            save_weights(
                self.folder / RunFolder.WEIGHTS,
                cast(nn.Module, predicted.predictor),
                make_metadata(self.config.variant, self.dataset.classes, self.name),
            )
            history = pd.DataFrame(predicted.training.history) if predicted.training.history else None
        result = self._result(predicted, split, headline)
        saved = save_result(
            self.folder, result, split.truth, predicted.detections, history, evaluation.matches
        )
        return self._finish(saved, split)

    def _finish(self, saved: RunFolder, split: Split) -> RunFolder:
        """Write the page of a saved run, and remove what only its training needed."""
        if self.context.page:
            with self.context.progress.stage("writing the report", 1) as stage:
                from reports.pages import write_report  # imports Matplotlib

                write_report(
                    [saved],
                    self.folder,
                    image_loader(split),
                    show_paths=self.context.show_paths,
                    label_maps=label_map_loader(split),
                )
                stage.advance()
        if isinstance(self.config, RunConfig) and not self.config.train.keep_checkpoint:
            shutil.rmtree(self.folder / CHECKPOINT, ignore_errors=True)
        self.log.write("finished", **saved.result.headline)
        values = {name: math.nan if value is None else value for name, value in saved.result.headline.items()}
        self.events.finish(FinishedRun(self.folder, values))
        return saved

    def _result(self, predicted: _Predicted, split: Split, headline: dict[str, float]) -> RunResult:
        config, training = self.config, predicted.training
        tree = config.tree()
        source = find_model(config.variant).source
        trained_here = isinstance(config, RunConfig)
        return RunResult(
            name=self.name,
            variant=config.variant if self.context.show_paths else shorten_path(config.variant),
            variant_source=source if trained_here else f"{source}; not trained here".removeprefix("; "),
            data=self._data_facts(split, [] if training is None else training.notes),
            seed=config.seed if isinstance(config, RunConfig) else None,
            config=tree if self.context.show_paths else shorten_paths(tree),
            headline=dict(headline),
            score_threshold=training.best_score if training else None,
            masks=dict(predicted.masks),
            model_file=model_file_facts(predicted.predictor),
            environment=environment(str(self.device)),
            command=self.context.command,
            warnings=tuple(self.messages),
            started=self.started,
            finished=datetime.now(UTC),
            **self._training_facts(predicted),
        )

    def _training_facts(self, predicted: _Predicted) -> TrainingFacts:
        if self.trained is not None:
            return facts_of_weights(self.trained.result)
        return facts_of_training(
            self.config,
            predicted.predictor,
            predicted.training,
            classes=len(self.dataset.classes),
            seconds=time.monotonic() - self.began,
        )

    def _data_facts(self, split: Split, of_training: Sequence[str]) -> DataFacts:
        """What the run was evaluated and trained on; a note that is said twice is stored once."""
        dataset, trained_here = self.dataset, isinstance(self.config, RunConfig)
        notes = [str(note) for note in [*dataset.notes, *self.config.notes]]
        if self.trained is not None:
            notes.append(f"not trained again: weights of {self.trained.result.name}")
        return DataFacts(
            name=dataset.name,
            format=dataset.format,
            split=split.name,
            fingerprint=split.truth.fingerprint,
            content=split.fingerprint,
            images=len(split),
            objects=len(split.truth),
            classes=len(dataset.classes),
            train_images=len(dataset.splits["train"]) if trained_here else None,
            leaked=dataset.leaked.get(split.name, 0) if trained_here else 0,
            notes=tuple(dict.fromkeys([*notes, *of_training])),
        )
