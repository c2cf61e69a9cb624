"""One pass over the image files: format, colour mode, EXIF orientation, readability, and a perceptual hash of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset, Sampler

from bench.data.images import read_content
from bench.pipeline.workers import WorkerBatches, default_workers
from bench.process.progress import Progress
from bench.survey.perceptual_hash import HASH_SIDE, ImageHash, hash_image
from bench.survey.subject import SplitSubject
from metrics.errors import InputError
from reports.records.data_check import MAX_EXAMPLES, Example, Finding, SplitFacts

BATCH = 16
"""Images per message of a worker process."""

_WORTH_WORKERS = 200
"""Number of images below which starting processes takes longer than decoding."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageLook:
    """What one image file is.

    Attributes:
        problem: why it cannot be read; empty if it can.
        format: Pillow's name of the format; empty for drawn images.
        mode: Pillow's name of the colour mode.
        orientation: EXIF orientation, 1 is upright.
        hash: perceptual hash; None if it cannot be read or is nearly of one colour.
        blank: whether it is nearly of one colour.
    """

    problem: str = ""
    format: str = ""
    mode: str = ""
    orientation: int = 1
    hash: ImageHash | None = None
    blank: bool = False


def look_at_images(
    subjects: Sequence[SplitSubject], workers: int, progress: Progress
) -> dict[str, list[ImageLook]]:
    """Decode every image of each split, in worker processes.

    Args:
        subjects: the splits.
        workers: number of processes; 0 decodes in this process, -1 chooses by machine and number of images.
        progress: shows one stage.

    Returns:
        For each split what its images are, in the order of its catalog.
    """
    tasks = [(subject, index) for subject in subjects for index in range(len(subject))]
    looks: list[ImageLook] = []
    order = _Order(len(tasks))
    if workers < 0:
        workers = default_workers() if len(tasks) >= _WORTH_WORKERS else 0
    batches: WorkerBatches[ImageLook, list[ImageLook]] = WorkerBatches(
        _Looks(tasks), order, list, min(workers, len(order)), BATCH * 4096
    )
    with progress.stage("decoding images", len(tasks)) as stage:
        for batch in batches:
            order.done += 1
            looks += batch
            stage.advance(len(batch))
    result, start = {}, 0
    for subject in subjects:
        result[subject.name] = looks[start : start + len(subject)]
        start += len(subject)
    return result


def look_at_file(path: Path) -> ImageLook:
    """Look at one file. It is decoded as fast as its format allows, at reduced size if it is a JPEG."""
    try:
        content = read_content(path, 2 * HASH_SIDE)
    except InputError as error:
        return ImageLook(str(error))
    return _look(content.grey, content.format, content.mode, content.orientation)


def look_at_pixels(pixels: NDArray[np.uint8]) -> ImageLook:
    """Look at an image that was drawn, (H, W, 3)."""
    return _look(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"), "", "RGB", 1)


def file_facts(facts: SplitFacts, looks: Sequence[ImageLook]) -> SplitFacts:
    """The facts of a split with what its image files are."""
    read = [look for look in looks if not look.problem]

    def counted(value: Callable[[ImageLook], Any]) -> dict[Any, int]:
        counts = Counter(map(value, read))
        return dict(sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))))

    return facts.model_copy(
        update={
            "formats": counted(lambda look: look.format or "drawn"),
            "modes": counted(lambda look: look.mode),
            "orientations": counted(lambda look: look.orientation),
        }
    )


def file_findings(subject: SplitSubject, looks: Sequence[ImageLook]) -> list[Finding]:
    """Unreadable images, images of one colour, and images with EXIF rotation or other colours than 8-bit RGB."""
    found = []
    unreadable = [index for index, look in enumerate(looks) if look.problem]
    if unreadable:
        examples = tuple(
            Example(images=(subject.ref(index),), problem=looks[index].problem)
            for index in unreadable[:MAX_EXAMPLES]
        )
        found.append(
            Finding(
                kind="unreadable_images",
                severity="error",
                subject=subject.name,
                count=len(unreadable),
                of=len(looks),
                examples=examples,
            )
        )
    rotated = [index for index, look in enumerate(looks) if look.orientation != 1]
    blank = [index for index, look in enumerate(looks) if look.blank]
    other = [index for index, look in enumerate(looks) if look.mode not in ("RGB", "")]
    for kind, severity, images in (
        ("blank_images", "warning", blank),
        ("rotated_images", "information", rotated),
        ("converted_images", "information", other),
    ):
        if images:
            modes = Counter(looks[index].mode for index in images) if kind == "converted_images" else {}
            found.append(
                Finding(
                    kind=kind,
                    severity="warning" if severity == "warning" else "information",
                    subject=subject.name,
                    count=len(images),
                    of=len(looks),
                    values={mode: float(count) for mode, count in sorted(modes.items())},
                    examples=subject.image_examples(images),
                )
            )
    return found


def _look(grey: Image.Image, kind: str, mode: str, orientation: int) -> ImageLook:
    code = hash_image(grey)
    return ImageLook("", kind, mode, orientation, code, code is None)


class _Looks(Dataset[ImageLook]):
    """What an image is, by its index among all tasks."""

    def __init__(self, tasks: Sequence[tuple[SplitSubject, int]]) -> None:
        self._files = [
            subject.split.files[index] if subject.split.files else None for subject, index in tasks
        ]
        self._loads = [(subject.split.load, index) for subject, index in tasks]

    def __getitem__(self, item: int) -> ImageLook:
        file = self._files[item]
        if file is not None:
            return look_at_file(file)
        load, index = self._loads[item]
        return look_at_pixels(load(index))


class _Order(Sampler[list[int]]):
    """Indices of each batch that the caller has not received yet."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.done = 0

    def __len__(self) -> int:
        return -(-self.count // BATCH)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in range(self.done, len(self)):
            yield list(range(batch * BATCH, min((batch + 1) * BATCH, self.count)))
