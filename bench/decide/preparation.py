"""The preparation of a decision: data check, fitted priors, limits, measured times, and the plan of the rounds."""

from __future__ import annotations

from typing import Any

from bench.anchors.fit import fit_anchors
from bench.decide.costs import measure_cost
from bench.decide.ledger import Ledger
from bench.decide.models import Models
from bench.decide.rounds import SEEDS, plan_rounds
from bench.decide.task import DecisionTask
from bench.process.interrupts import StopRequest
from bench.process.progress import Progress
from bench.runs.detector import build_detector
from bench.survey.data_check import check_data
from bench.survey.subject import subjects_of
from bench.training.device import pick_device
from bench.tune.limits import LimitCheck, describe
from detectors.registry import VARIANTS
from metrics.atomic_files import atomic_write
from metrics.compare.pairwise import FEW_IMAGES
from metrics.errors import InputError, PartialError
from metrics.plurals import plural
from reports.records.decision import PriorChoice

PRIORS_GAIN = 0.01
"""Fitted priors are used if they raise the recall of validation objects, or their mean best IoU, by at least this much."""

DECODED_PER_SECOND = 200
CHECK_SHARE = 0.05
"""Images are decoded for the data check if this takes at most this share of the time."""


class Preparation:
    """The preparation of a decision.

    Args:
        task: what is to be decided.
        ledger: of the decision.
        models: of the decision.
        progress: shows what is found.
        stop: checked while a model is timed.
    """

    def __init__(
        self,
        task: DecisionTask,
        ledger: Ledger,
        models: Models,
        progress: Progress,
        stop: StopRequest | None,
    ) -> None:
        self.task = task
        self.ledger = ledger
        self.models = models
        self.progress = progress
        self.stop = stop

    def run(self) -> None:
        """Check the data, fit priors, measure limits and times, and plan."""
        if not (self.task.folder / "check.json").is_file():
            with self.ledger.spend("check"):
                self._check_data()
        for name in self.ledger.decision.active:
            known = self.ledger.decision.model(name)
            if known.priors is None and self._fits_priors(name):
                with self.ledger.spend("priors", name):
                    self._fit_priors(name)
            if known.epoch_seconds == 0:
                with self.ledger.spend("timing", name):
                    self._measure(name)
        if len(self.ledger.decision.active) < 2 and not self.ledger.decision.plan:
            states = ", ".join(
                f"{model.name}: {model.reason}" for model in self.ledger.decision.models if model.reason
            )
            raise PartialError(
                f"fewer than two models are left to decide between ({states}); name others, or raise the limit"
            )
        if not self.ledger.decision.plan:
            plan = plan_rounds(
                self.models.costs,
                60 * self.ledger.decision.minutes,
                self.models.most_epochs,
                self.models.reserved(self.ledger.decision.active),
                self.ledger.decision.spent_seconds,
            )
            self.ledger.update(plan=tuple(plan))
            texts = [f"{plural(each.models, 'model')} for {plural(each.epochs, 'epoch')}" for each in plan]
            self.progress.message(f"plan, with {SEEDS} seeds each: {', then '.join(texts)}")

    def _check_data(self) -> None:
        config = self.task.entrants[0].config
        images = sum(len(split) for split in self.task.dataset.splits.values())
        detector: Any = build_detector(config, len(self.task.dataset.classes))
        check = check_data(
            self.task.dataset,
            subjects_of(self.task.dataset, config.image),
            [(note, False) for note in self.task.dataset.notes],
            config.image,
            config.augment,
            sorted(detector.neck.strides) if hasattr(detector, "neck") else [16],
            decode=images / DECODED_PER_SECOND <= CHECK_SHARE * 60 * self.ledger.decision.minutes,
            workers=config.workers,
            progress=self.progress,
        )
        errors, warned = check.count("error"), check.count("warning")
        self.ledger.update(data_errors=errors, data_warnings=warned)
        atomic_write(self.task.folder / "check.json", check.to_json())
        if errors or warned:
            self.progress.message(
                f"data check: {plural(errors, 'error')} and {plural(warned, 'warning')}; `python -m bench data` shows them"
            )
        val = len(self.task.dataset.splits["val"])
        if val < FEW_IMAGES:
            self.progress.message(
                f"note: nothing can be eliminated with {plural(val, 'validation image')} (at least {FEW_IMAGES} are needed)"
            )

    def _fits_priors(self, name: str) -> bool:
        config = self.models.entrants[name].config
        settings = VARIANTS[config.variant].prior_settings
        return self.task.priors and bool(settings) and not any(config.is_given(path) for path in settings)

    def _fit_priors(self, name: str) -> None:
        try:
            fit = fit_anchors(self.models.entrants[name].config, self.task.dataset, progress=self.progress)
        except InputError as error:
            self.progress.message(f"{name}: priors are not fitted: {error}")
            choice = PriorChoice(
                used=False, recall_before=None, recall_after=None, iou_before=None, iou_after=None
            )
        else:
            before, after = fit.before["val"], fit.after["val"]
            gain = max(after.recall - before.recall, after.mean - before.mean)
            choice = PriorChoice(
                used=bool(gain >= PRIORS_GAIN and after.objective > before.objective),
                recall_before=before.recall,
                recall_after=after.recall,
                iou_before=before.mean,
                iou_after=after.mean,
                settings=fit.found,
            )
        self.ledger.change(name, priors=choice)

    def _measure(self, name: str) -> None:
        """Measure limited quantities, and the time of training unless a limit is exceeded."""
        config = self.models.config(name, 1)
        limits = self.task.limits
        if limits:
            check = LimitCheck(
                limits,
                self.task.dataset.splits["val"],
                config.image.for_prediction,
                pick_device(config.device),
                config.evaluate.precision,
            )
            measured = check.measure(build_detector(config, len(self.task.dataset.classes)))
            exceeded = check.exceeded(measured)
            self.ledger.change(name, measured=measured)
            if exceeded:
                text = describe(exceeded, measured)
                self.ledger.change(name, state="over_limit", reason=text)
                self.progress.message(f"{name}: over the limit: {text}")
                return
        with self.progress.stage(f"timing {name}", 1) as stage:
            try:
                measured_cost = measure_cost(config, self.task.dataset, self.stop)
            except (InputError, PartialError) as error:
                self.models.fail(name, error)
                return
            stage.advance()
        self.ledger.change(
            name,
            run_seconds=measured_cost.cost.run,
            epoch_seconds=max(measured_cost.cost.epoch, 1e-3),
            test_seconds=measured_cost.test,
        )
