"""Early stopping: a training ends when no validation has been better for a while."""

from __future__ import annotations

from bench.settings.sections import TrainConfig
from bench.training.checkpoint import Position
from bench.training.length import TrainingLength


def is_stopped_early(position: Position, settings: TrainConfig) -> bool:
    """Whether the last `train.patience` validations were not better than the best one before."""
    return 0 < settings.patience <= position.stale


def early_stop_note(position: Position, settings: TrainConfig, length: TrainingLength, epoch: float) -> str:
    """Sentence on a training that was stopped early, `epoch` passes after its start."""
    limit = settings.budget.limit
    planned = (
        f"of {settings.epochs}" if limit is None else f"at {format(length.share(position), '.0%')} of {limit}"
    )
    return (
        f"training stopped after epoch {epoch:.4g} {planned}, "
        f"{epoch - position.best_epoch:.4g} after the best one (train.patience={settings.patience})"
    )
