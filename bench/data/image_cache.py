"""Decoded images kept in memory or on disk, so that later epochs do not decode them again."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.data.contents import content_digests
from bench.data.types import Split
from metrics.plurals import agree, plural

Load = Callable[[int], NDArray[np.uint8]]
Place = Literal["none", "memory", "disk"]


def cache_images(
    splits: Sequence[Split], place: Place, gigabytes: float, folder: Path | None = None
) -> tuple[list[Split], list[str]]:
    """Splits that load each image file once, as far as the images fit into the limit.

    Args:
        splits: images. Those that are in memory already, and images of unknown size, are left as they are.
        place: ``memory``: worker processes that are forked share it, others have each their own. ``disk``: files by the content
            of the image, which all runs share.
        gigabytes: limit of all splits together, in 10**9 bytes; the first images are kept. With ``memory``, what is left of it
            is for images at the size of the network's input (`Split.spare_bytes`).
        folder: of the files; by default in the user's cache folder.

    Returns:
        The splits, and for each one that is cached a sentence on how many images are kept and how large they are.
    """
    left = int(gigabytes * 1e9)
    cached, notes = [], []
    for split in splits:
        count, size = _fitting(split, left)
        if place != "none" and count:
            left -= size
            notes.append(
                f"{split.name}: {count:,} of {plural(len(split), 'decoded image')} {agree(count, 'is', 'are')} kept {'in memory' if place == 'memory' else 'on disk'}, "
                f"{size / 1e9:.2f} GB"
            )
            split = replace(split, load=_kept(split, place, count, folder or _user_folder()))
        cached.append(split)
    if place == "memory":
        share = left / max(sum(map(len, splits)), 1)
        cached = [_with_room(split, int(share * len(split))) for split in cached]
    return cached, notes


def _fitting(split: Split, limit: int) -> tuple[int, int]:
    """Number of images of a split that fit into `limit` bytes, and their size."""
    if split.in_memory or not split.files:
        return 0, 0
    sizes = split.truth.catalog.sizes.astype(np.int64).prod(1) * 3
    ends = np.cumsum(sizes)
    count = min(
        int(np.searchsorted(ends, limit, side="right")),
        int(np.append(np.flatnonzero(sizes == 0), len(sizes))[0]),
    )
    return count, int(ends[count - 1]) if count else 0


def _with_room(split: Split, size: int) -> Split:
    """The split with `size` bytes for images at the size of the network's input, if its images are kept in memory."""
    return replace(split, spare_bytes=size) if isinstance(split.load, _InMemory) else split


def _kept(split: Split, place: Place, count: int, folder: Path) -> Load:
    sizes = split.truth.catalog.sizes[:count].astype(np.int64)
    if place == "memory":
        return _InMemory(split.load, sizes)
    digests = tuple(digest.hex() for digest in content_digests(split.files[:count]))
    decoders = "-".join(f"{name}{version(name)}" for name in ("pillow", "torchvision"))
    return _OnDisk(split.load, sizes, digests, folder / decoders)


def _user_folder() -> Path:
    user = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return user / "detbench" / "images"


class _InMemory:
    """Loads image i; the first images stay in memory that forked processes share.

    Args:
        load: of images that are not kept yet.
        sizes: (I, 2) height and width of the images to keep.
    """

    def __init__(self, load: Load, sizes: NDArray[np.int64]) -> None:
        self._load = load
        self._sizes = sizes
        ends = np.cumsum(sizes.prod(1) * 3)
        self._starts = np.append(0, ends)
        # The system provides a page when it is written for the first time.
        self._pixels = np.frombuffer(mmap.mmap(-1, int(ends[-1])), np.uint8)
        self._known = np.frombuffer(mmap.mmap(-1, len(sizes)), np.uint8)

    def __call__(self, index: int) -> NDArray[np.uint8]:
        if index >= len(self._sizes):
            return self._load(index)
        height, width = self._sizes[index].tolist()
        place = self._pixels[self._starts[index] : self._starts[index + 1]].reshape(height, width, 3)
        if not self._known[index]:
            place[:] = self._load(index)
            self._known[index] = 1
        return place

    def __reduce__(self) -> tuple[Any, ...]:
        """For processes that are not forked, which begin with an empty memory."""
        return type(self), (self._load, self._sizes)


@dataclass(frozen=True, slots=True, eq=False)
class _OnDisk:
    """Loads image i; the first images are kept as files.

    Attributes:
        load: of images that are not kept yet.
        sizes: (I, 2) height and width of the images to keep; together with the content they tell whether EXIF rotation is applied.
        digests: of the content of each image to keep.
        folder: of the files.
    """

    load: Load
    sizes: NDArray[np.int64]
    digests: tuple[str, ...]
    folder: Path

    def __call__(self, index: int) -> NDArray[np.uint8]:
        if index >= len(self.digests):
            return self.load(index)
        height, width = self.sizes[index].tolist()
        digest = self.digests[index]
        file = self.folder / digest[:2] / f"{digest}-{height}x{width}.rgb"
        with suppress(OSError):
            pixels = np.fromfile(file, np.uint8)
            if pixels.size == height * width * 3:
                return pixels.reshape(height, width, 3)
        image = self.load(index)
        part = file.with_suffix(f".{os.getpid()}.part")
        with suppress(OSError):  # without space or rights, images are decoded
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                image.tofile(part)
                part.replace(file)
            finally:
                part.unlink(missing_ok=True)
        return image
