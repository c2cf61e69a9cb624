"""Images and targets in batches: the same for every variant, the same for any number of worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional

from bench.data.types import Split
from bench.pipeline.augmentation import Augment, AugmentConfig, make_augment, randomness_of
from detectors.config import Config
from detectors.types import Targets
from metrics.errors import InputError
from metrics.tables import AnnotationTable

Side = Annotated[int, Field(ge=8, le=8192)]


class ImageConfig(Config):
    """How an image becomes the network's input."""

    size: tuple[Side, Side] = (320, 320)
    """(height, width) of the network's input in pixels."""
    resize: Literal["letterbox", "stretch"] = "letterbox"
    """letterbox keeps the ratio of the sides and fills the rest; stretch does neither."""
    fill: Annotated[int, Field(ge=0, le=255)] = 114
    """Grey of what letterbox leaves empty."""


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Where each of a batch's images lies in the network's input: x' = x * scale + offset.

    Attributes:
        scale: (B, 2) float64, of x and of y.
        offset: (B, 2) float64, pixels of the network's input, of x and of y.
        sizes: (B, 2) int64 (height, width) of the images as they were before; of an augmented image, after it was
            cut and zoomed.
    """

    scale: Tensor
    offset: Tensor
    sizes: Tensor

    def to_original(self, boxes: Tensor, i: int, clip: bool = True) -> Tensor:
        """Boxes in pixels of the network's input, brought back to those of image `i` of the batch.

        Args:
            boxes: (N, 4) xyxy.
            i: the image's place in the batch.
            clip: cut them off at the image's border: nothing of it lies beyond.

        Returns:
            (N, 4) float64 xyxy, on the device of `boxes`; it is the inverse of `to_input` up to rounding.
        """
        scale, offset = (t[i].repeat(2).to(boxes.device) for t in (self.scale, self.offset))
        original = (boxes.to(torch.float64) - offset) / scale
        if not clip:
            return original
        height, width = self.sizes[i].tolist()
        limit = torch.tensor([width, height, width, height], dtype=torch.float64, device=boxes.device)
        return original.clamp(min=0).minimum(limit)

    def to_input(self, boxes: Tensor, i: int) -> Tensor:
        """(N, 4) xyxy pixels of image `i` of the batch to (N, 4) float64 pixels of the network's input."""
        scale, offset = (t[i].repeat(2).to(boxes.device) for t in (self.scale, self.offset))
        return boxes.to(torch.float64) * scale + offset


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Images of one size, what a detector must find in them, and which images they are.

    Attributes:
        images: (B, 3, H, W) float32 RGB in [0, 1].
        targets: of each image.
        index: (B,) int64 index of each image in the split.
        placement: from the network's input back to the images.
    """

    images: Tensor
    targets: list[Targets]
    index: Tensor
    placement: Placement

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Images and targets on another device; `index` and `placement` stay on the CPU."""
        targets = [
            Targets(
                t.boxes.to(device, non_blocking=non_blocking), t.labels.to(device, non_blocking=non_blocking)
            )
            for t in self.targets
        ]
        return Batch(self.images.to(device, non_blocking=non_blocking), targets, self.index, self.placement)


class LoaderState(NamedTuple):
    """What comes next: batch number `batch` of pass number `epoch`, both counted from 0."""

    epoch: int
    batch: int


def place(size: tuple[int, int], image: ImageConfig) -> tuple[tuple[int, int], tuple[int, int]]:
    """How large an image of (height, width) `size` becomes, and where its (top, left) corner then lies.

    Letterbox fits the longer side and centres the shorter, which is at least one pixel.
    """
    height, width = image.size
    if image.resize == "stretch":
        return (height, width), (0, 0)
    ratio = min(height / size[0], width / size[1])
    new_height = min(max(round(size[0] * ratio), 1), height)
    new_width = min(max(round(size[1] * ratio), 1), width)
    return (new_height, new_width), ((height - new_height) // 2, (width - new_width) // 2)


def fit_images(pixels: Sequence[NDArray[np.uint8]], image: ImageConfig) -> tuple[Tensor, Placement]:
    """Images as a network's input, just as a loader without augmentation gives them.

    Args:
        pixels: (H, W, 3) RGB of each of B images.
        image: the network's input.

    Returns:
        (B, 3, height, width) float32 in [0, 1], and the way back.
    """
    boxes, labels = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    samples = [_fit(image, at, _to_tensor(one), boxes, labels) for at, one in enumerate(pixels)]
    images, _, _, _, placement = _collate(samples)
    return images.to(torch.float32).div_(255), Placement(*placement)


class Loader:
    """Batches of a split, epoch after epoch; made by `make_loader`.

    Iterating yields what is left of the epoch that `state` names. `state` moves on when a batch is handed out: taken
    down while that batch is being used, it names the next, and after the last one it names the next epoch. A
    loader that is given this state goes on exactly as this one would have.

    Attributes:
        notes: what was left out of the targets, and why.
    """

    def __init__(
        self, samples: _Samples, order: _Order, batches: DataLoader[Any], image: ImageConfig, notes: list[str]
    ) -> None:
        self._samples = samples
        self._order = order
        self._batches = batches
        self._image = image
        self.notes = notes

    @property
    def split(self) -> Split:
        """What the batches are made of."""
        return self._samples.split

    @property
    def batch_size(self) -> int:
        """Images of a full batch, over all processes."""
        return self._order.batch_size

    @property
    def state(self) -> LoaderState:
        """What comes next."""
        return LoaderState(self._order.epoch, self._order.batch)

    @state.setter
    def state(self, state: Sequence[int]) -> None:
        epoch, batch = state
        if epoch < 0 or not 0 <= batch < max(len(self), 1):
            raise InputError(
                f"Loader.state: epoch {epoch}, batch {batch}: an epoch has batches 0 to {len(self) - 1}; "
                f"resume with the batch size and the data set that it was broken off with"
            )
        self._order.epoch, self._order.batch = int(epoch), int(batch)

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        epoch, first = self.state
        for number, (pixels, boxes, labels, index, placement) in enumerate(self._batches, start=first + 1):
            done = number == len(self)
            self._order.epoch, self._order.batch = (epoch + 1, 0) if done else (epoch, number)
            images = pixels.to(torch.float32).div_(255)
            targets = [Targets(b, n) for b, n in zip(boxes, labels, strict=True)]
            yield Batch(images, targets, index, Placement(*placement))


def make_loader(
    split: Split,
    image: ImageConfig,
    augment: AugmentConfig | None = None,
    batch_size: int = 16,
    seed: int = 0,
    workers: int = -1,
    shuffle: bool = False,
    drop_last: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Loader:
    """Batches of a split.

    Objects that are crowd, ignored, of no width or height, or wholly outside their image are no targets; the others
    are cut off at the image's border. `Loader.notes` has the counts.

    Args:
        split: images and truth.
        image: the network's input.
        augment: random changes of images; None for none.
        batch_size: images of a batch, over all processes.
        seed: of order and augmentation.
        workers: processes that read images; 0 for none beside this one; -1 for none where the images are in memory,
            otherwise one for each processor, at most 8. They change speed and nothing else.
        shuffle: another order each epoch; otherwise the split's own.
        drop_last: leave out the last batch of an epoch where it is not full, unless it is the only one.
        rank: number of this process: of each batch it gets images rank, rank + world, ...
        world: how many processes there are.
    """
    if batch_size < 1 or not 0 <= rank < world:
        raise InputError(
            f"make_loader: batch_size {batch_size}, rank {rank} of {world}: expected batch_size >= 1"
        )
    objects, notes = trainable(split)
    samples = _Samples(split, objects, image, make_augment(augment, image.fill) if augment else None, seed)
    order = _Order(len(split), batch_size, seed, shuffle, drop_last, rank, world)
    if workers < 0:
        workers = 0 if split.in_memory else min(_processors(), 8)
    batches: DataLoader[Any] = DataLoader(
        samples,
        batch_sampler=order,
        num_workers=min(workers, max(len(order), 1)),
        collate_fn=_collate,
        persistent_workers=workers > 0,
        # Its own, so that making an iterator takes nothing from torch's global randomness: resuming would.
        generator=torch.Generator(),
    )
    return Loader(samples, order, batches, image, notes)


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """What a detector is taught of a split, image by image.

    Attributes:
        boxes: (G, 4) xyxy in pixels of the images, cut off at their borders.
        labels: (G,) class indices.
        first: (I + 1,) the objects of image i are rows ``first[i]:first[i + 1]``.
        rows: (G,) where each is in the split's truth.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    first: NDArray[np.int64]
    rows: NDArray[np.int64]


def trainable(split: Split) -> tuple[Objects, list[str]]:
    """The objects of a split that training uses, and notes on those it does not and on those that are cut off."""
    truth: AnnotationTable = split.truth
    left_top, sides = truth.xywh[:, :2], truth.xywh[:, 2:]
    corners = np.concatenate([left_top, left_top + sides], axis=1)
    limits = truth.catalog.sizes[truth.image][:, ::-1].astype(np.float64)
    # An image's size is not always known before it is read; then nothing is cut off here.
    limits[(limits == 0).any(1)] = np.inf
    clipped = corners.clip(0, np.concatenate([limits, limits], axis=1))

    excluded = truth.crowd | truth.ignored
    flat = ~excluded & (sides <= 0).any(1)
    outside = ~excluded & ~flat & (clipped[:, 2:] <= clipped[:, :2]).any(1)
    kept = ~(excluded | flat | outside)
    cut = kept & (clipped != corners).any(1)

    counts = {
        "crowd": truth.crowd,
        "ignored": truth.ignored & ~truth.crowd,
        "without width or height": flat,
        "outside their image": outside,
    }
    left_out = [f"{int(mask.sum())} {what}" for what, mask in counts.items() if mask.any()]
    notes = []
    if left_out:
        notes.append(f"{split.name}: of {len(kept)} objects not trained on: {', '.join(left_out)}")
    if cut.any():
        notes.append(
            f"{split.name}: {int(cut.sum())} boxes reach beyond their image and are cut off for training"
        )

    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(truth.image[rows], kind="stable")]
    first = np.searchsorted(truth.image[rows], np.arange(len(split) + 1))
    return Objects(clipped[rows].astype(np.float32), truth.label[rows].astype(np.int64), first, rows), notes


class _Sample(NamedTuple):
    pixels: Tensor
    boxes: Tensor
    labels: Tensor
    image: int
    scale: tuple[float, float]
    offset: tuple[int, int]
    size: tuple[int, int]


class _Samples(Dataset[_Sample]):
    """One image and its targets at a time, for (epoch, index)."""

    def __init__(
        self, split: Split, objects: Objects, image: ImageConfig, augment: Augment | None, seed: int
    ) -> None:
        self.split = split
        self._objects = objects
        self._image = image
        self._augment = augment
        self._seed = seed

    def __getitem__(self, item: tuple[int, int]) -> _Sample:
        epoch, index = item
        pixels = _to_tensor(self.split.load(index))
        rows = slice(self._objects.first[index], self._objects.first[index + 1])
        boxes = torch.from_numpy(self._objects.boxes[rows])
        labels = torch.from_numpy(self._objects.labels[rows])
        if self._augment is None:
            return _fit(self._image, index, pixels, boxes, labels)
        key = np.random.SeedSequence(self._seed, spawn_key=(epoch, index))
        with randomness_of(int(key.generate_state(1, np.uint64)[0] >> 1)):
            sample = _fit(self._image, index, *self._augment.move(pixels, boxes, labels))
            boxes, labels = self._augment.sanitize(sample.boxes, sample.labels)
            return sample._replace(pixels=self._augment.recolor(sample.pixels), boxes=boxes, labels=labels)


def _to_tensor(image: NDArray[np.uint8]) -> Tensor:
    if not image.flags.writeable:  # torch warns of arrays that it could write to but must not
        image = image.copy()
    return torch.from_numpy(image).permute(2, 0, 1)


def _fit(image: ImageConfig, index: int, pixels: Tensor, boxes: Tensor, labels: Tensor) -> _Sample:
    """Resize and centre one image and its boxes."""
    height, width = pixels.shape[-2:]
    (new_height, new_width), (top, left) = place((height, width), image)
    if (new_height, new_width) != (height, width):
        pixels = functional.resize_image(pixels, [new_height, new_width], antialias=True)
    scale_x, scale_y = new_width / width, new_height / height
    if (new_height, new_width) != image.size:
        canvas = torch.full((3, *image.size), image.fill, dtype=torch.uint8)
        canvas[:, top : top + new_height, left : left + new_width] = pixels
        pixels = canvas
    if (scale_x, scale_y, top, left) != (1, 1, 0, 0):
        scale = torch.tensor([scale_x, scale_y, scale_x, scale_y])
        boxes = boxes * scale + torch.tensor([left, top, left, top])
    return _Sample(pixels, boxes, labels, index, (scale_x, scale_y), (left, top), (height, width))


def _collate(
    samples: list[_Sample],
) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Bytes, not floats, go from a worker to the main process: a quarter of the memory."""
    placement = (
        torch.tensor([s.scale for s in samples], dtype=torch.float64),
        torch.tensor([s.offset for s in samples], dtype=torch.float64),
        torch.tensor([s.size for s in samples], dtype=torch.int64),
    )
    return (
        torch.stack([s.pixels for s in samples]),
        [s.boxes for s in samples],
        [s.labels for s in samples],
        torch.tensor([s.image for s in samples], dtype=torch.int64),
        placement,
    )


class _Order:
    """Which images stand in which batch: (epoch, index) of each, from `batch` of `epoch` to the epoch's end."""

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


def _processors() -> int:
    """Processors that this process may use, which a container can limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
