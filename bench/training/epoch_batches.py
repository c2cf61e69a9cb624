"""Batches of the training images, and the groups of them that make one update of the weights."""

from __future__ import annotations

from collections.abc import Iterator

from accelerate import Accelerator

from bench.data.types import Split
from bench.pipeline.loader import Batch, Loader, make_loader
from bench.settings.config import RunConfig
from bench.training.checkpoint import Position
from detectors.registry import VARIANTS


def training_loader(split: Split, config: RunConfig, accelerator: Accelerator) -> Loader:
    """Batches of the training images with the settings of a run, for this process."""
    settings = config.train
    return make_loader(
        split,
        config.image,
        config.augment,
        batch_size=settings.batch,
        seed=config.seed,
        workers=config.workers,
        shuffle=True,
        # The part of one process in an incomplete batch could be empty, and would have no gradient.
        drop_last=accelerator.num_processes > 1,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        label_maps=VARIANTS[config.variant].label_maps,
        sampling=settings.sampling,
        multi_scale=settings.multi_scale,
    )


def update_batches(loader: Loader, accumulate: int, position: Position) -> Iterator[list[Batch]]:
    """The batches of each remaining update of the epoch at `position`."""
    # A stop after the last batch can precede the checkpoint of the epoch's end.
    if position.batch >= len(loader):
        return
    loader.state = position.epoch, position.batch
    group: list[Batch] = []
    for batch in loader:
        group.append(batch)
        if len(group) == accumulate:
            yield group
            group = []
    if group:
        yield group
