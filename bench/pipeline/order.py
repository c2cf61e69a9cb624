"""Order of the images of a training: a function of seed and epoch alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from bench.pipeline.input_sizes import Size, draw_size
from bench.pipeline.sampling import draw_images

MIXED = 16
"""Number of successive images of an epoch that are mixed with one another (mosaic, mixup): each is decoded once for all of them."""


class Use(NamedTuple):
    """One use of an image.

    Attributes:
        epoch: counted from 0.
        image: its index in the split.
        repeat: number of earlier uses in the epoch.
        size: (height, width) of the network's input, that of all images of the batch; None for that of the settings.
        alone: whether no other images are mixed into it.
        others: images of the split, of which some are mixed into it; None for all of the split.
    """

    epoch: int
    image: int
    repeat: int = 0
    size: Size | None = None
    alone: bool = False
    others: tuple[int, ...] | None = None


class Order(Sampler[list[Use]]):
    """Uses of images in each batch, from `batch` of `epoch` to the end of the epoch.

    Args:
        uses: (I,) expected number of uses of each image in an epoch, of which the sum is a whole number; or the number of
            images, each of which is used once. See `bench.pipeline.sampling`.
        batch_size: images per batch, over all processes.
        seed: of the order.
        shuffle: draw a new order each epoch; otherwise that of the split.
        drop_last: leave out the last batch of an epoch if it is not full, unless it is the only one.
        rank: number of this process, which gets uses rank, rank + world, ... of each batch.
        world: number of processes.
        sizes: of the network's input, of which one is drawn for each batch; empty for that of the settings.

    Attributes:
        is_closing: whether no images are mixed in a batch of an epoch (`augment.close_mosaic`), asked when the batch is
            requested.
    """

    def __init__(
        self,
        uses: int | NDArray[np.float64],
        batch_size: int,
        seed: int,
        shuffle: bool,
        drop_last: bool,
        rank: int,
        world: int,
        sizes: tuple[Size, ...] = (),
    ) -> None:
        self.uses = None if isinstance(uses, int) else uses
        self.count = uses if isinstance(uses, int) else round(float(uses.sum()))
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.rank = rank
        self.world = world
        self.sizes = sizes
        self.epoch = 0
        self.batch = 0
        self.is_closing: Callable[[int, int], bool] = lambda epoch, batch: False

    @property
    def batch_images(self) -> list[int]:
        """Images of each batch of an epoch, over all processes."""
        return [min(self.batch_size, self.count - k * self.batch_size) for k in range(len(self))]

    def __len__(self) -> int:
        full = self.count // self.batch_size
        return full if self.drop_last and full else -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[list[Use]]:
        epoch, first = self.epoch, self.batch
        indices = self._indices(epoch)
        seen: Counter[int] = Counter()
        others = _mixed(indices)
        for batch in range(len(self)):
            uses = []
            size = draw_size(self.sizes, self.seed, epoch, batch) if self.sizes else None
            alone = batch >= first and self.is_closing(epoch, batch)
            start = batch * self.batch_size
            for place, index in enumerate(indices[start : start + self.batch_size], start):
                uses.append(Use(epoch, index, seen[index], size, alone, others[place // MIXED]))
                seen[index] += 1
            if batch >= first:
                yield uses[self.rank :: self.world]

    def _indices(self, epoch: int) -> Sequence[int]:
        if not self.shuffle:
            return range(self.count)
        key = np.random.SeedSequence(self.seed, spawn_key=(epoch,)).generate_state(1, np.uint64)[0] >> 1
        generator = torch.Generator().manual_seed(int(key))
        indices: list[int]
        if self.uses is None:
            indices = torch.randperm(self.count, generator=generator).tolist()
        else:
            shuffled = torch.randperm(len(self.uses), generator=generator).numpy()
            offset = float(torch.rand((), generator=generator, dtype=torch.float64))
            drawn = torch.from_numpy(draw_images(self.uses, shuffled, offset))
            indices = drawn[torch.randperm(len(drawn), generator=generator)].tolist()
        return indices


def _mixed(indices: Sequence[int]) -> list[tuple[int, ...]]:
    """The parts of an epoch, each of `MIXED` images that are mixed with one another; the last one begins before its place."""
    last = max(len(indices) - MIXED, 0)
    starts = (min(start, last) for start in range(0, len(indices), MIXED))
    return [tuple(indices[start : start + MIXED]) for start in starts]
