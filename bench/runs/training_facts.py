"""Facts of a run's training for its result: those of its own, or those of the run whose weights predict."""

from __future__ import annotations

from typing import TypedDict, cast

from torch import nn

from bench.runs.finished_run import network_of_settings
from bench.runs.model_file import model_file_facts
from bench.settings.config import EntryConfig, RunConfig
from bench.training.training_result import TrainingResult
from detectors.compression.shapes import changed_shapes
from detectors.types import Predictor
from reports.analysis.models import model_digest
from reports.analysis.other_runs import PARENT, TEACHER, OtherRun
from reports.records.run import Budget, BudgetLimit, MicroBatchFacts, PrecisionFacts, RunFolder, RunResult


class TrainingFacts(TypedDict):
    """Fields of `RunResult` that training decides; see there."""

    trained_by: str | None
    parent: str | None
    parent_model: str
    teacher: str | None
    teacher_model: str
    pruned: dict[str, tuple[int, ...]]
    budget: Budget
    precision: PrecisionFacts | None
    micro_batch: MicroBatchFacts | None


def facts_of_weights(trained: RunResult) -> TrainingFacts:
    """Facts of a run that predicts with the weights of another run: what that run recorded.

    Args:
        trained: the result of the run with the weights.
    """
    return {
        "trained_by": trained.name,
        "parent": trained.parent,
        "parent_model": trained.parent_model,
        "teacher": trained.teacher,
        "teacher_model": trained.teacher_model,
        "pruned": dict(trained.pruned),
        "budget": trained.budget,
        "precision": trained.precision,
        "micro_batch": trained.micro_batch,
    }


def facts_of_training(
    config: EntryConfig,
    predictor: Predictor | None,
    training: TrainingResult | None,
    *,
    classes: int,
    seconds: float,
) -> TrainingFacts:
    """Facts of a run that trained its own network, or of one without training.

    Args:
        config: settings of the run.
        predictor: without wrappers; None for stored detections.
        training: None if nothing was trained.
        classes: number of classes of the data set.
        seconds: since the run was started or continued.

    Raises:
        InputError: the folder of the parent or of the teacher cannot be read.
    """
    parent, parent_model = _source(config, PARENT)
    teacher, teacher_model = _source(config, TEACHER)
    return {
        "trained_by": None,
        "parent": parent,
        "parent_model": parent_model,
        "teacher": teacher,
        "teacher_model": teacher_model,
        "pruned": _pruned(config, predictor, classes),
        "budget": _budget(config, predictor, training, seconds),
        "precision": _precision(training),
        "micro_batch": _micro_batch(training),
    }


def _source(config: EntryConfig, other: OtherRun) -> tuple[str | None, str]:
    """Name of a run that this one was made of, and digest of its model."""
    path = config.get(other.path) if isinstance(config, RunConfig) else None
    if path is None:
        return None, ""
    result = RunFolder.open(path).result
    return result.name, model_digest(result)


def _pruned(config: EntryConfig, predictor: Predictor | None, classes: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the network's tensors that differ from those of the settings."""
    if not isinstance(config, RunConfig) or config.compression.run is None:
        return {}
    return changed_shapes(cast(nn.Module, predictor), network_of_settings(config.tree(), classes))


def _precision(training: TrainingResult | None) -> PrecisionFacts | None:
    """The chosen precision of training; None if it was not chosen."""
    if training is None or not training.precision:
        return None
    facts = {"chosen": training.precision, "seconds": dict(training.precision_seconds)}
    return PrecisionFacts.model_validate(facts)


def _micro_batch(training: TrainingResult | None) -> MicroBatchFacts | None:
    """How batches were divided in training; None if they were not."""
    if training is None or (training.parts == 1 and not training.pass_bytes):
        return None
    return MicroBatchFacts(
        images=-(-training.batch // training.parts),
        batch=training.batch,
        bytes={str(size): peak for size, peak in training.pass_bytes.items()},
    )


def _budget(
    config: EntryConfig, predictor: Predictor | None, training: TrainingResult | None, seconds: float
) -> Budget:
    """Training, time and size; without training only size and time."""
    parameters = _parameters(predictor)
    if not isinstance(config, RunConfig) or training is None:
        return Budget(total_seconds=round(seconds, 3), parameters=parameters)
    earlier = max(training.seconds - seconds, 0.0)
    limit = config.train.budget.limit
    return Budget(
        epochs=training.epochs,
        limit=None if limit is None else BudgetLimit(unit=limit.unit, amount=limit.amount),
        images_seen=training.images_seen,
        train_seconds=round(training.seconds, 3),
        step_seconds=round(training.step_seconds, 3),
        train_flops=training.flops,
        total_seconds=round(seconds + earlier, 3),
        parameters=parameters,
        trials=config.tuned.trials,
    )


def _parameters(predictor: Predictor | None) -> int | None:
    """Number of parameters; None if it is not known."""
    network: object = predictor
    if isinstance(network, nn.Module):
        return sum(parameter.numel() for parameter in network.parameters())
    known = model_file_facts(predictor)
    return None if known is None else known.parameters
