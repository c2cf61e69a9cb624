"""Network of a run before training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import nn

from bench.runs.finished_run import load_network, require_weights
from bench.settings.config import RunConfig
from bench.training.seeding import seed_batch
from detectors.compression.fake_quantization import fake_quantize, without_fake_quantization
from detectors.compression.pruning import prune_channels, prune_weights
from detectors.registry import VARIANTS
from metrics.errors import InputError
from metrics.plurals import plural
from reports.records.run import RunFolder


def build_detector(config: RunConfig, classes: int) -> nn.Module:
    """The variant's network for `classes` classes: initialised by the run's seed, or the compressed one of a finished run.

    Raises:
        InputError: the finished run does not exist, has no weights, or is of another variant or number of classes; or its
            network cannot be compressed.
        MachineError: a package of the extra `compress` is missing.
    """
    seed_batch(config.seed, 0, 0, 2**31)  # a random stream that no batch uses
    if config.compression.run is None:
        return VARIANTS[config.variant].build(config.detector, classes)
    return _compressed(config, classes, config.compression.run)


def _compressed(config: RunConfig, classes: int, path: str) -> nn.Module:
    parent = open_weights(path, "compression.run")
    known = parent.result
    if (known.variant, known.data.classes) != (config.variant, classes):
        raise InputError(
            f"compression.run: {path} is a run of {known.variant} for {plural(known.data.classes, 'class')}, not of {config.variant} for "
            f"{classes}; give one of the same variant and data"
        )
    network = without_fake_quantization(cast(nn.Module, load_network(parent, config.tree())))
    settings = config.compression
    if settings.prune:
        prune_channels(network, settings.prune, config.image.size)
    if settings.sparsity:
        prune_weights(network, settings.sparsity)
    if settings.quantize != "none":
        fake_quantize(network)
    return network


def load_teacher(config: RunConfig, classes: Sequence[str]) -> nn.Module | None:
    """The network that is imitated in training, on the CPU and in evaluation mode; None without distillation.

    Raises:
        InputError: the teacher's run does not exist, has no weights, or has other classes.
    """
    path = config.distill.teacher
    if path is None:
        return None
    run = open_weights(path, "distill.teacher")
    known = run.truth.catalog.classes
    if tuple(known) != tuple(classes):
        raise InputError(
            f"distill.teacher: {path} has the classes {', '.join(known)}, and the data {', '.join(classes)}; they must be equal, "
            "in the same order"
        )
    return cast(nn.Module, load_network(run, run.result.config))


def open_weights(path: str, setting: str) -> RunFolder:
    """Open a run of a variant that was trained here; `setting` names it in errors.

    Raises:
        InputError: there is no finished run, or it has no weights.
    """
    try:
        run = RunFolder.open(path)
    except InputError as error:
        raise InputError(f"{setting}: {error}") from None
    require_weights(run, place=f"{setting}: {path}")
    return run
