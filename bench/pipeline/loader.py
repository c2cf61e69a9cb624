"""Batches of images and targets, independent of the variant and of the number of worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from bench.data.types import MAX_MASK_CLASSES, Split, require_label_maps
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.augment import Augment, make_augment
from bench.pipeline.augmentation.augmented_images import AugmentedImages
from bench.pipeline.augmentation.labelled_image import LabelledImage
from bench.pipeline.augmentation.randomness import randomness_of
from bench.pipeline.fitted_images import FittedImages
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.input_sizes import Size, sizes_around
from bench.pipeline.objects import IGNORED_REGION, TrainingObjects, training_objects
from bench.pipeline.order import Order, Use
from bench.pipeline.placement import Placement, Sample, Samples, collate, fit_image, to_tensor
from bench.pipeline.recent_images import RecentImages
from bench.pipeline.sampling import SamplingConfig, expected_uses
from bench.pipeline.unit_range import to_unit_range
from bench.pipeline.workers import WorkerBatches, default_workers
from detectors.types import Targets
from metrics.errors import InputError

RECENT_BYTES = 128_000_000
"""Limit of the decoded images that each process keeps while it mixes images."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Images of one size and their targets.

    Attributes:
        images: (B, 3, H, W) float32 RGB in [0, 1].
        targets: of each image.
        index: (B,) int64 index of each image in the split.
        placement: of the images in the network's input.
    """

    images: Tensor
    targets: list[Targets]
    index: Tensor
    placement: Placement

    def __len__(self) -> int:
        return len(self.index)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Images and targets on another device; `index` and `placement` stay on the CPU."""
        targets = [each.to(device, non_blocking) for each in self.targets]
        return Batch(self.images.to(device, non_blocking=non_blocking), targets, self.index, self.placement)


class LoaderState(NamedTuple):
    """The next batch: number `batch` of epoch `epoch`, both counted from 0."""

    epoch: int
    batch: int


class Loader:
    """Batches of a split, epoch after epoch; made by `make_loader`.

    Iterating yields the remaining batches of the epoch in `state`. `state` advances when a batch is yielded: while the
    batch is in use, `state` is the next one, and after the last batch it is the start of the next epoch. A loader with
    a restored state continues exactly as the original would have.

    Attributes:
        notes: which objects are excluded from the targets, and why.
    """

    def __init__(
        self,
        samples: SplitSamples,
        order: Order,
        batches: WorkerBatches[Sample, Samples],
        image: ImageConfig,
        notes: list[str],
    ) -> None:
        self._samples = samples
        self._order = order
        self._batches = batches
        self._image = image
        self.notes = notes

    @property
    def split(self) -> Split:
        """The split that is loaded."""
        return self._samples.split

    @property
    def objects(self) -> list[int]:
        """Number of training objects of each image of the split."""
        counts: list[int] = np.diff(self._samples.objects.first).tolist()
        return counts

    @property
    def batch_size(self) -> int:
        """Images in a full batch, over all processes."""
        return self._order.batch_size

    @property
    def batch_images(self) -> list[int]:
        """Images of each batch of an epoch, over all processes."""
        return self._order.batch_images

    @property
    def uses(self) -> NDArray[np.float64]:
        """(I,) expected number of uses of each image in an epoch."""
        return np.ones(len(self.split)) if self._order.uses is None else self._order.uses

    @uses.setter
    def uses(self, uses: NDArray[np.float64]) -> None:
        """Draw the coming epochs by other numbers, of the same sum."""
        self._order.uses = uses

    def close_mosaic_when(self, is_closing: Callable[[int, int], bool]) -> None:
        """Mix no images (mosaic, mixup, copy_paste) in the batches of which `is_closing`, given epoch and batch, is true.

        It is called in this process when a batch is requested, which workers do two batches ahead.
        """
        self._order.is_closing = is_closing

    @property
    def state(self) -> LoaderState:
        """The next batch."""
        return LoaderState(self._order.epoch, self._order.batch)

    @state.setter
    def state(self, state: Sequence[int]) -> None:
        epoch, batch = state
        if epoch < 0 or not 0 <= batch < max(len(self), 1):
            raise InputError(
                f"Loader.state: epoch {epoch}, batch {batch}: an epoch has batches 0 to {len(self) - 1}; "
                f"resume with the same batch size and data set"
            )
        self._order.epoch, self._order.batch = int(epoch), int(batch)

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return len(self._order)

    def __iter__(self) -> Iterator[Batch]:
        epoch, first = self.state
        for number, batch in enumerate(self._batches, start=first + 1):
            end = number == len(self)
            self._order.epoch, self._order.batch = (epoch + 1, 0) if end else (epoch, number)
            images = to_unit_range(batch.pixels)
            maps = [None] * len(batch.boxes) if batch.label_maps is None else batch.label_maps.unbind()
            targets = [_targets(*each) for each in zip(batch.boxes, batch.labels, maps, strict=True)]
            yield Batch(images, targets, batch.images, batch.placement)


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
    label_maps: bool = False,
    sampling: SamplingConfig | None = None,
    multi_scale: float = 0.0,
) -> Loader:
    """Batches of a split, with the targets of `bench.pipeline.objects.training_objects`.

    Args:
        split: images and ground truth.
        image: settings of the network's input.
        augment: random changes of the images; None for none.
        batch_size: images per batch, over all processes.
        seed: of order and augmentation.
        workers: processes that read images; 0 reads in this process; -1 is 0 if the images are in memory, otherwise
            one per processor, at most 8. It changes only the speed; see
            `bench.pipeline.workers.WorkerBatches` for what happens if they fail.
        shuffle: draw a new order each epoch; otherwise the order of the split.
        drop_last: leave out the last batch of an epoch if it is not full, unless it is the only one.
        rank: number of this process, which gets images rank, rank + world, ... of each batch.
        world: number of processes.
        label_maps: give the targets their label maps; otherwise nothing is read of them, except for pasted objects.
        sampling: how often each image is used in an epoch, if `shuffle`; None for once.
        multi_scale: largest relative change of the size of the network's input, which is drawn for each batch; see
            `bench.pipeline.input_sizes`.

    Raises:
        InputError: label maps are asked for, but the split has no masks; a transform of albumentations is unknown; or a share of
            images without objects is asked for, but all images are of one kind.
    """
    if batch_size < 1 or not 0 <= rank < world:
        raise InputError(
            f"make_loader: batch_size {batch_size}, rank {rank} of {world}: expected batch_size >= 1"
        )
    objects, notes = training_objects(split)
    if label_maps:
        describe = require_label_maps(split).describe_masks
        notes += describe().notes if describe else ()
    changes = make_augment(augment, image.fill) if augment else None
    samples = SplitSamples(split, objects, image, changes, seed, label_maps)
    uses = _uses(objects, sampling)
    sizes = sizes_around(image.size, multi_scale) if multi_scale else ()
    order = Order(uses, batch_size, seed, shuffle, drop_last, rank, world, sizes)
    if workers < 0:
        workers = 0 if split.in_memory else default_workers()
    height, width = sizes[-1] if sizes else image.size
    channels = 4 if label_maps else 3
    batches = WorkerBatches(
        samples, order, collate, min(workers, max(len(order), 1)), channels * height * width * batch_size
    )
    return Loader(samples, order, batches, image, notes)


def images_per_epoch(split: Split, sampling: SamplingConfig) -> int:
    """Number of training images of an epoch, each as often as it is used.

    Raises:
        InputError: a share of images without objects is asked for, but all images are of one kind.
    """
    if sampling == SamplingConfig():
        return len(split)
    uses = _uses(training_objects(split)[0], sampling)
    return uses if isinstance(uses, int) else round(float(uses.sum()))


def _uses(objects: TrainingObjects, sampling: SamplingConfig | None) -> int | NDArray[np.float64]:
    """Expected number of uses of each image in an epoch; or the number of images, each of which is used once."""
    if sampling is None or sampling == SamplingConfig():
        return len(objects.first) - 1
    return expected_uses(objects.labels, objects.first, sampling)


class SplitSamples(Dataset[Sample]):
    """One image and its targets as the network gets them, by its use.

    Args:
        split: images and ground truth.
        objects: training targets of the split.
        image: settings of the network's input.
        augment: random changes; None for none.
        seed: of the changes, which depend only on it, the epoch, the image and how often it was used in the epoch before.
        label_maps: give the samples their label maps, which the split must have.
    """

    def __init__(
        self,
        split: Split,
        objects: TrainingObjects,
        image: ImageConfig,
        augment: Augment | None,
        seed: int,
        label_maps: bool = False,
    ) -> None:
        self.split = split
        self._load_map = split.label_maps if label_maps else None
        self.objects = objects
        self._image = image
        self._augment = augment
        mixes = augment is not None and (augment.config.mosaic > 0 or augment.config.mixup > 0)
        self._recent = RecentImages(self._read, RECENT_BYTES if mixes else 0)
        room = split.spare_bytes // (3 * image.size[0] * image.size[1])
        self._whole = FittedImages(image.size, min(room, len(split))) if room else None
        self._by_size: dict[Size | None, tuple[ImageConfig, AugmentedImages | None]] = {}
        self._seed = seed

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, item: Use) -> Sample:
        epoch, index, repeat, size, alone, others = item
        image, augmented = self._at(size)
        if augmented is None:
            return fit_image(image, index, *self.read(index), self._whole if size is None else None)
        key = np.random.SeedSequence(self._seed, spawn_key=(epoch, index, repeat)[: 3 if repeat else 2])
        with randomness_of(int(key.generate_state(1, np.uint64)[0] >> 1)):
            return augmented(index, not alone, others)

    def _at(self, size: Size | None) -> tuple[ImageConfig, AugmentedImages | None]:
        """Settings and augmentation for this size of the network's input."""
        if size not in self._by_size:
            whole = self._whole if size is None else None
            image = self._image if size is None else self._image.model_copy(update={"size": size})
            augmented = None if self._augment is None else AugmentedImages(self, image, self._augment, whole)
            self._by_size[size] = image, augmented
        return self._by_size[size]

    def read(self, index: int) -> LabelledImage:
        """An image of the split with its objects, and its label map if the samples have one."""
        return self._recent(index)

    def _read(self, index: int) -> LabelledImage:
        pixels = to_tensor(self.split.load(index))
        boxes, labels = map(torch.from_numpy, self.objects.of_image(index))
        label_map = None if self._load_map is None else _map_tensor(self._load_map(index), pixels.shape[-2:])
        return LabelledImage(pixels, boxes, labels, label_map)

    def read_masks(self, index: int) -> Tensor | None:
        """(H, W) uint8 label map of an image, also if the samples have none; None if the data set has no masks.

        Pixels of classes beyond `MAX_MASK_CLASSES` cannot be told apart; such data sets count as without masks.
        """
        maps = self.split.label_maps
        if maps is None or len(self.split.truth.catalog.classes) > MAX_MASK_CLASSES:
            return None
        return _map_tensor(maps(index), None)


def _targets(boxes: Tensor, labels: Tensor, label_map: Tensor | None) -> Targets:
    """Targets of boxes, of which those with the label `IGNORED_REGION` are ignored regions."""
    if not (
        labels.numpy() == IGNORED_REGION
    ).any():  # NumPy's small operations take a third of the time of torch's
        return Targets(boxes, labels, label_map)
    regions = labels == IGNORED_REGION
    return Targets(boxes[~regions], labels[~regions], label_map, boxes[regions])


def _map_tensor(label_map: NDArray[np.uint8], size: Sequence[int] | None) -> Tensor:
    """(H, W) tensor of a label map, which must have the size of its image if that is given."""
    assert size is None or label_map.shape == tuple(size), f"label map {label_map.shape} of an image {size}"
    return torch.from_numpy(label_map if label_map.flags.writeable else label_map.copy())
