"""Order of the images of a training: a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler


class Order(Sampler[list[tuple[int, int]]]):
    """Images of each batch as (epoch, index), from `batch` of `epoch` to the end of the epoch."""

    def __init__(
        self, count: int, batch_size: int, seed: int, shuffle: bool, drop_last: bool, rank: int, world: int
    ) -> None:
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.rank = rank
        self.world = world
        self.epoch = 0
        self.batch = 0

    def __len__(self) -> int:
        full = self.count // self.batch_size
        return full if self.drop_last and full else -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, first = self.epoch, self.batch
        indices: Sequence[int] = range(self.count)
        if self.shuffle:
            key = np.random.SeedSequence(self.seed, spawn_key=(epoch,)).generate_state(1, np.uint64)[0] >> 1
            generator = torch.Generator().manual_seed(int(key))
            indices = torch.randperm(self.count, generator=generator).tolist()
        for batch in range(first, len(self)):
            chosen = indices[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(epoch, index) for index in chosen[self.rank :: self.world]]
