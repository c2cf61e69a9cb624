"""Everything that updates of the weights need, made from settings and training images: loader, networks, optimizer, length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator
from torch import nn

from bench.data.types import Split
from bench.pipeline.loader import Loader
from bench.process.log import Log
from bench.settings.config import RunConfig
from bench.settings.sections import TrainConfig
from bench.training.checkpoint import Position
from bench.training.device import make_accelerator
from bench.training.epoch_batches import training_loader
from bench.training.image_losses import ImageLosses
from bench.training.length import TrainingLength, training_flops, training_length
from bench.training.micro_batch import choose_parts
from bench.training.networks import Networks
from bench.training.precision import training_precision
from bench.training.preparation import prepare_detector
from bench.training.step import Stepper


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSetup:
    """A training before its next update.

    Attributes:
        settings: of training, with the precision that was chosen.
        accelerator: of the run.
        loader: of the training images.
        image_flops: FLOPs of training with one image; None without a budget.
        length: of the training.
        networks: what is trained.
        stepper: updates the weights.
        batch: images of the largest batch in one process.
        image_losses: by which images are used more often; None for other rules of `train.sampling`.
    """

    settings: TrainConfig
    accelerator: Accelerator
    loader: Loader
    image_flops: int | None
    length: TrainingLength
    networks: Networks
    stepper: Stepper
    batch: int
    image_losses: ImageLosses | None


def set_up_training(
    detector: nn.Module,
    split: Split,
    config: RunConfig,
    *,
    teacher: nn.Module | None = None,
    position: Position | None = None,
    states: Mapping[str, Any] | None = None,
    log: Log | None = None,
    show_images: bool = True,
) -> TrainingSetup:
    """Prepare a detector, and make all that its updates need.

    Args:
        detector: to train; it is moved to its device and prepared, or gets the saved weights.
        split: training images.
        config: settings of the run.
        teacher: dense detector that is imitated; None for none.
        position: of the training; what is measured before the first update is written into it. None: the start.
        states: of a checkpoint at `position`, see `Networks.states`; None for a new training.
        log: log of events.
        show_images: whether a new training begins with `DenseDetector.prepare`, without which it takes the same time.

    Raises:
        InputError: the teacher cannot be imitated by this detector, the budget is less than one update, or the detector has no
            output for images of the network's input size, or for the smallest of multi-scale training.
        MachineError: the device does not exist.
    """
    position, log = position or Position(), log or Log()
    precision = training_precision(detector, split, config, position)
    settings = config.train.model_copy(update={"precision": precision})
    accelerator = make_accelerator(config.device, precision)
    prepare_detector(detector, split, config, accelerator, log, resumed=states is not None or not show_images)
    loader = training_loader(split, config, accelerator)
    has_limit = settings.budget.limit is not None
    image_flops = training_flops(detector, config.image.size, accelerator.device) if has_limit else None
    length = training_length(settings, config.augment.close_mosaic, loader.batch_images, image_flops or 1)
    loader.close_mosaic_when(lambda epoch, batch: length.is_closing(epoch, batch, position))
    networks = Networks(detector, teacher, config, accelerator, lambda: length.steps(position))
    batch = -(-max(loader.batch_images, default=0) // accelerator.num_processes)
    hard = settings.sampling.rule == "hard"
    losses = ImageLosses(loader, settings.sampling, accelerator, config.variant) if hard else None
    if states is not None:
        networks.load_states(states)
        if losses is not None:
            losses.load_state(states["image_losses"])
    else:
        choose_parts(networks.trained, split, config, accelerator, position, batch)
        if position.parts > 1 or position.pass_bytes:
            log.write("micro_batch", parts=position.parts, batch=batch, bytes=position.pass_bytes)
    stepper = Stepper(
        networks.trained,
        accelerator.prepare(networks.optimizer),
        accelerator,
        settings,
        split.truth.catalog.image_ids,
        log,
        position.parts,
        position.skipped,
    )
    return TrainingSetup(settings, accelerator, loader, image_flops, length, networks, stepper, batch, losses)
