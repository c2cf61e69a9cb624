"""Result of a training: history, effort, and the best epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Row = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """Result of a training.

    Attributes:
        history: one row at the end of each epoch and at each validation within one: ``epoch`` (passes over the training images until
            there), ``images_seen``, ``seconds``, ``step_seconds``, ``loss`` and its terms (means over the updates since the last row),
            ``lr``, ``val_ap`` and ``val_ap50`` (None without a validation), and ``val_miou`` for variants whose best weights are
            chosen by it.
        epochs: passes over the training images; fewer than those of the settings if training was stopped early, and not a
            whole number if a budget ended it within an epoch.
        images_seen: training images in all epochs.
        seconds: wall clock time with validation, without the compilation of its kernels, summed over interruptions.
        step_seconds: the part of it that was spent on updates, with loading, without validation and saving.
        best_epoch: passes over the training images at the best weights; 0 if none were validated.
        best_score: score threshold with the best F1 on the validation images; None if none were validated.
        notes: which objects are excluded from the training targets, and why; remarks of the detector, and of validation.
        flops: of training, see `bench.training.length.training_flops`; None without a budget.
        batch: images of the largest batch in one process.
        parts: number of parts into which it was divided at the end.
        pass_bytes: peak memory of a forward and backward pass by number of images, from which ``train.micro_batch=auto`` chose.
        precision: that `train.precision=auto` chose; empty for other settings.
        precision_seconds: seconds of a step by precision, from which it was chosen.
    """

    history: list[Row]
    epochs: float
    images_seen: int
    seconds: float
    step_seconds: float
    best_epoch: float
    best_score: float | None = None
    notes: tuple[str, ...] = ()
    flops: int | None = None
    batch: int = 0
    parts: int = 1
    pass_bytes: Mapping[int, int] = field(default_factory=dict)
    precision: str = ""
    precision_seconds: Mapping[str, float] = field(default_factory=dict)
