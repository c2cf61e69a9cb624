"""The training loop: epochs, steps, checkpoints, and resuming with bit-identical results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.callbacks import StartedRun
from bench.data.image_cache import cache_images
from bench.data.types import Split
from bench.pipeline.loader import Batch
from bench.process.allocator import keep_freed_memory
from bench.process.interrupts import StopRequest
from bench.process.log import Log
from bench.process.progress import Progress, Stage
from bench.settings.config import RunConfig
from bench.training.checkpoint import Position, best_weights, drop_other_weights, load_state, save_state
from bench.training.clock import TrainingClock
from bench.training.decoding import decode_for_training
from bench.training.early_stop import early_stop_note, is_stopped_early
from bench.training.epoch_batches import update_batches
from bench.training.history import history_row
from bench.training.length import TimeLength, updates_per_epoch
from bench.training.preparation import detector_notes
from bench.training.run_events import RunEvents
from bench.training.seeding import seed_batch
from bench.training.setup import set_up_training
from bench.training.training_result import TrainingResult
from bench.training.validation import Validation
from metrics.plurals import plural

Report = Callable[[int, float, Mapping[str, float]], None]
"""Called with the images seen, the share of the training that they are, and the measures of a validation."""


def train(
    detector: nn.Module,
    train_split: Split,
    val_split: Split,
    config: RunConfig,
    folder: Path,
    *,
    progress: Progress | None = None,
    log: Log | None = None,
    stop: StopRequest | None = None,
    report: Report | None = None,
    teacher: nn.Module | None = None,
    events: RunEvents | None = None,
) -> TrainingResult:
    """Train a detector, from the start or from the checkpoint in `folder`.

    The same settings and data give the same weights on the same machine, with and without interruptions. On a GPU this
    needs ``deterministic``, and a detector that uses only deterministic algorithms.

    Args:
        detector: a `detectors.types.Detector`. Afterwards it is in evaluation mode, on its device, with the best weights
            by validation AP, or by mIoU where the variant says so (the earliest of equal ones), or the last weights if none
            were validated.
        config: all settings of the run.
        train_split: training images.
        val_split: images that select the best weights.
        folder: for checkpoints.
        progress: display of the progress.
        log: log of events.
        stop: checked after every step.
        report: called after every validation, when the state has been saved; an exception ends the training.
        teacher: dense detector that is imitated; see `detectors.distillation`.
        events: tells callbacks what happens.

    Raises:
        InputError: the teacher cannot be imitated by this detector, or the budget is less than one update.
        LossNotFinite: see `bench.training.step`.
        MachineError: the device does not exist, or memory or disk is full.
        Stopped: a stop was requested; the state is saved.
    """
    keep_freed_memory()
    progress = progress or Progress()
    train_split, reduced = decode_for_training(train_split, config)
    splits = (train_split, val_split)
    (train_split, val_split), remarks = cache_images(splits, config.train.cache, config.train.cache_gb)
    for remark in (*([] if reduced is None else [reduced.text]), *remarks):
        progress.message(remark)
    training = _Training(
        detector,
        train_split,
        val_split,
        config,
        folder,
        progress,
        log or Log(),
        stop or StopRequest(),
        report,
        teacher,
        events or RunEvents({}, StartedRun("", folder)),
    )
    return training.run()


class _Training:
    def __init__(
        self,
        detector: nn.Module,
        train_split: Split,
        val_split: Split,
        config: RunConfig,
        folder: Path,
        progress: Progress,
        log: Log,
        stop: StopRequest,
        report: Report | None,
        teacher: nn.Module | None,
        events: RunEvents,
    ) -> None:
        self.detector = detector
        self.config = config
        self.folder = folder
        self.progress = progress
        self.log = log
        self.stop = stop
        self.report = report
        self.events = events
        saved = load_state(folder)
        self.resumed = saved is not None
        self.position, states = saved or (Position(), None)
        made = set_up_training(
            detector, train_split, config, teacher=teacher, position=self.position, states=states, log=log
        )
        self.settings, self.accelerator, self.loader = made.settings, made.accelerator, made.loader
        self.length, self.image_flops = made.length, made.image_flops
        self.networks, self.stepper, self.batch = made.networks, made.stepper, made.batch
        self.image_losses = made.image_losses
        self.notes = (*self.loader.notes, *detector_notes(detector, self.loader.objects, config))
        for note in self.notes:
            progress.message(f"note: {note}")
        if self.position.pass_bytes and not self.resumed:
            images = -(-self.batch // self.position.parts)
            progress.message(
                f"train.micro_batch=auto: {images} of {plural(self.batch, 'image')} of a batch at once"
            )
        if self.resumed:
            log.write("resumed", epoch=self.position.epoch, batch=self.position.batch)
            progress.message(f"resuming after epoch {self.position.epoch}, batch {self.position.batch}")
        self.validation = Validation(
            detector,
            self.networks.average,
            val_split,
            config,
            folder,
            self.accelerator.device,
            self.accelerator.is_main_process,
        )
        self.validation.compile()
        self.clock = TrainingClock(self.accelerator, agreed=isinstance(self.length, TimeLength))
        self.sums: dict[str, Tensor] = {}

    def run(self) -> TrainingResult:
        position = self.position
        steps = 0 if isinstance(self.length, TimeLength) else round(self.length.steps(position))
        self.events.start(position.step, position.epoch, steps, self.resumed)
        with (
            self.progress.stage("training", self.length.total) as stage,
            self.stop.deferred(),
        ):
            stage.resume(self.length.done(position))
            # A stop after the last update can precede the end of its epoch.
            while (position.batch or not self.length.is_over(position)) and not self._stopped_early():
                self._epoch(stage)
        self.accelerator.wait_for_everyone()
        self.validation.load_best(position)
        self.networks.freeze_backbone(False)
        self.detector.eval()
        return TrainingResult(
            position.rows,
            self._passes(),
            position.images_seen,
            position.seconds,
            position.step_seconds,
            position.best_epoch,
            position.best_score,
            (*self.notes, *self._note_of_stop(), *self.validation.notes),
            None if self.image_flops is None else self.image_flops * position.images_seen,
            batch=self.batch,
            parts=self.stepper.parts,
            pass_bytes=position.pass_bytes,
            precision=position.precision,
            precision_seconds=position.precision_seconds,
        )

    def _stopped_early(self) -> bool:
        return is_stopped_early(self.position, self.settings)

    def _note_of_stop(self) -> tuple[str, ...]:
        if not self._stopped_early():
            return ()
        note = early_stop_note(self.position, self.settings, self.length, self._passes())
        self.progress.message(f"note: {note}")
        return (note,)

    def _passes(self) -> float:
        """Passes over the training images so far; an int after whole epochs."""
        passes = self.position.step / max(updates_per_epoch(len(self.loader), self.settings.accumulate), 1)
        return int(passes) if passes.is_integer() else round(passes, 6)

    def _epoch(self, stage: Stage) -> None:
        """Train to the end of an epoch, or to that of the training within it."""
        position = self.position
        self.detector.train()
        self.networks.freeze_backbone(position.epoch < self.settings.freeze_epochs)
        if self.image_losses is not None:
            self.image_losses.start_epoch(position.batch)
        device = self.accelerator.device
        self.sums = {name: torch.tensor(value, device=device) for name, value in position.sums.items()}
        self.clock.start_update()
        self._validate_within_epoch(
            stage
        )  # a stop after an update can precede the validation that follows it
        for batches in self._updates():
            seed_batch(self.config.seed, position.epoch, position.batch, self.accelerator.process_index)
            position.factor = self.length.factor(position)
            result = self.stepper(batches, position.factor)
            if self.image_losses is not None:
                self.image_losses.add(batches, self.stepper.image_losses)
            if result.taken:
                self.networks.update_average()
                for name, term in result.terms.items():
                    self.sums[name] = self.sums[name] + term if name in self.sums else term
            done = self.length.done(position)
            position.images_seen += sum(
                self.loader.batch_images[position.batch : position.batch + len(batches)]
            )
            position.batch += len(batches)
            position.step += 1
            self.clock.add_update(position)
            self._after_step(stage, self.length.done(position) - done, result.terms)
            self._validate_within_epoch(stage)
        if position.batch < len(self.loader) and self._stopped_early():
            return
        position.epoch, position.batch = position.epoch + 1, 0
        is_due = self.validation.is_due(position.epoch, self.length.is_over(position))
        self._end_row(stage, is_due or self._is_at_share())

    def _updates(self) -> Iterator[list[Batch]]:
        """The batches of each remaining update of this epoch."""
        if self.length.is_over(self.position) or self._stopped_early():
            return
        for batches in update_batches(self.loader, self.settings.accumulate, self.position):
            yield batches
            if self.length.is_over(self.position) or self._stopped_early():
                return

    def _after_step(self, stage: Stage, advanced: int, terms: dict[str, Tensor]) -> None:
        if self.stepper.checks_each or self.position.step % self.settings.log_every == 0:
            self.stepper.check()
            stage.advance(advanced, epoch=self.position.epoch + 1, loss=float(sum(terms.values())))
        else:
            stage.advance(advanced)
        if self.position.step % self.settings.log_every == 0 and self.events.wanted:
            values = {name: float(term) for name, term in terms.items()}
            rate = self.settings.lr * self.position.factor
            self.events.step_logged(self.position.step, {"loss": sum(values.values()), **values, "lr": rate})
        if self._stop_requested():
            self._save()
            self.accelerator.wait_for_everyone()
            self.stop.raise_if_stopped("training is saved; the same command resumes it")
        if time.monotonic() - self.clock.saved > 60 * self.settings.checkpoint_minutes:
            self._save()

    def _stop_requested(self) -> bool:
        """All processes must stop at the same step, or one would wait for the gradients of another."""
        if self.accelerator.num_processes == 1:
            return self.stop.signum is not None
        if self.position.step % self.settings.log_every:
            return False
        own = torch.tensor([self.stop.signum or 0], device=self.accelerator.device)
        signum = int(self.accelerator.gather(own).max())
        self.stop.signum = signum or None
        return signum > 0

    def _is_at_share(self) -> bool:
        """Whether a share of the training at which it is validated (`train.validations`) has passed since the last one."""
        return self.validation.shares_before(self.length.share(self.position)) > self.position.shares

    def _validate_within_epoch(self, stage: Stage) -> None:
        position = self.position
        within = 0 < position.batch < len(self.loader) and not self.length.is_over(position)
        if within and self._is_at_share():
            self._end_row(stage, validates=True)
            self.detector.train()

    def _end_row(self, stage: Stage, validates: bool) -> None:
        """Add the updates since the last row to the history, with a validation if it is due, and save."""
        self.stepper.check()
        position = self.position
        updates = max(position.step - position.row_step, 1)
        terms = {name: float(total) / updates for name, total in self.sums.items()}
        self.sums = {}
        measures = self.validation(position, self._passes()) if validates else {}
        is_best = bool(measures) and position.best_step == position.step
        if measures and position.best_step:
            position.stale = 0 if is_best else position.stale + 1
        position.shares = self.validation.shares_before(self.length.share(position))
        position.row_step = position.step
        if measures:
            stage.advance(0, **{name: value for name, value in measures.items() if name != "ap50"})
        row = history_row(
            self.config, position, self._passes(), self.clock.seconds(position), terms, measures
        )
        position.rows.append(row)
        self._save()
        self.log.write("epoch", **row)
        if is_best:
            self.events.best_weights_changed(position.step, best_weights(self.folder, position.step))
        self.events.epoch_ended(position.step, row)
        if measures and self.report is not None:
            self.report(position.images_seen, self.length.share(position), measures)

    def _save(self) -> None:
        self.stepper.check()  # weights after a loss that is not finite are not saved
        position = self.position
        self.clock.add(position)
        position.parts, position.skipped = self.stepper.parts, self.stepper.skipped
        position.sums = {name: float(total) for name, total in self.sums.items()}
        if self.accelerator.is_main_process:
            states = self.networks.states()
            if self.image_losses is not None:
                states["image_losses"] = self.image_losses.state()
            save_state(self.folder, position, states)
            drop_other_weights(self.folder, position.best_step)
            self.log.write("saved", epoch=position.epoch, batch=position.batch)
        self.clock.start_update()
