"""Validation during training, and the best weights by validation AP, or by mIoU where a variant predicts label maps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bench.data.types import Split
from bench.pipeline.batch_memory import BatchMemory
from bench.pipeline.inference import with_precision
from bench.pipeline.label_maps import LabelMapCounts
from bench.pipeline.predict import predict
from bench.settings.config import RunConfig
from bench.training.checkpoint import Position, best_weights, load_weights, save_weights
from bench.training.weight_average import WeightAverage
from detectors.registry import VARIANTS
from metrics.evaluator import evaluate
from metrics.measures.operating_point import score_curve
from metrics.tables import DetectionTable


class Validation:
    """Evaluates a network in training, and keeps the best weights on disk.

    Args:
        detector: network in training.
        average: its running average, which is evaluated instead; None for none.
        split: validation images.
        config: settings of the run.
        folder: for the best weights.
        device: of the network.
        writes: whether this process writes files.
    """

    def __init__(
        self,
        detector: nn.Module,
        average: WeightAverage | None,
        split: Split,
        config: RunConfig,
        folder: Path,
        device: torch.device,
        writes: bool,
    ) -> None:
        self.detector = detector
        self.average = average
        self.split = split
        self.config = config
        self.folder = folder
        self.device = device
        self.writes = writes
        self.notes: tuple[str, ...] = ()
        self._memory = BatchMemory()
        self._selects_by_masks = VARIANTS[config.variant].selection == "miou"

    def compile(self) -> None:
        """Compile the kernels of the evaluation, which takes seconds once per installation, before training is timed."""
        if not len(self.split):
            return
        truth = self.split.truth
        perfect = DetectionTable(truth.catalog, truth.image, truth.label, truth.xywh, np.ones(len(truth)))
        evaluate(truth, perfect, measures=("average_precision",))

    def is_due(self, epoch: int, is_last: bool) -> bool:
        """Whether the network is validated after this number of epochs, of which the last one may be cut short."""
        every = self.config.train.validate_every
        return is_last or (every > 0 and epoch % every == 0)

    def shares_before(self, share: float) -> int:
        """Number of equal shares of the training (`train.validations`) that end before or at `share`, in [0, 1]."""
        return int(share * self.config.train.validations + 1e-9)

    def __call__(self, position: Position, epochs: float) -> dict[str, float]:
        """``ap`` and ``ap50`` on the validation split, and ``miou`` where it chooses the best weights; empty without images.

        The weights are saved, and `position` updated, if AP is the best so far; or mIoU, for a variant that is selected by it.
        Without a pixel in the masks of the validation images AP is used there, too, which `notes` state.

        Args:
            position: of the training.
            epochs: passes over the training images until there.
        """
        if not len(self.split):
            return {}
        network: nn.Module = self.detector if self.average is None else self.average.module
        network.eval()
        masks = LabelMapCounts(self.split) if self._selects_by_masks and self.split.label_maps else None
        detections = predict(
            with_precision(network, self.config.evaluate.precision),
            self.split,
            self.config.image,
            batch=self.config.evaluate.batch,
            workers=self.config.workers,
            device=self.device,
            memory=self._memory,
            label_maps=masks,
        )
        evaluation = evaluate(self.split.truth, detections, measures=("average_precision",))
        headline = evaluation.headline
        measures = {"ap": headline["ap"], "ap50": headline["ap50"]}
        value = measures["ap"]
        if self._selects_by_masks:
            miou = math.nan if masks is None else masks.gather().overlap().mean_iou
            if math.isnan(miou):
                self.notes = (
                    "the validation images have no masks, so the weights with the best AP are kept",
                )
            else:
                value = measures["miou"] = miou
        if not math.isnan(value) and (position.best_value is None or value > position.best_value):
            position.best_value, position.best_epoch, position.best_step = value, epochs, position.step
            matches = evaluation.matches
            score, _ = score_curve(matches.at(matches.rule.iou_thresholds[0])).best()
            position.best_score = None if math.isnan(score) else score
            if self.writes:
                save_weights(best_weights(self.folder, position.step), network)
        return measures

    def load_best(self, position: Position) -> None:
        """Load the best weights into the network; the last ones (averaged) if it was never validated."""
        if position.best_step:
            load_weights(best_weights(self.folder, position.best_step), self.detector)
        elif self.average is not None and position.step:
            self.detector.load_state_dict(self.average.module.state_dict())
