"""Data sets with one object per image, opened and compared with the pixels."""

from __future__ import annotations

import warnings
from pathlib import Path

from tiny_data import Picture

from bench.data.types import Dataset
from bench.datasets import open_dataset
from metrics.errors import InputWarning


def opened(path: Path, **options: object) -> tuple[Dataset, set[str]]:
    """A data set and the kinds of its notes; warnings are allowed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        data = open_dataset(path, **options)
    for split in data.splits.values():
        for index in range(len(split)):  # each box is on the white rectangle of its image
            image = split.load(index)
            for box, label in zip(
                split.truth.boxes[split.truth.image == index].round().astype(int),
                split.truth.label[split.truth.image == index],
                strict=True,
            ):
                assert (image[box[1] + 2 : box[3] - 2, box[0] + 2 : box[2] - 2, label] > 200).all()
    return data, {note.kind for note in data.notes}


def size(data: Dataset) -> int:
    return sum(map(len, data.splits.values()))


def with_places(pictures_: list[Picture]) -> list[Picture]:
    """Each picture has its object at another place, so that a box of another image would show."""
    for k, picture in enumerate(pictures_):
        x = 2 + 5 * (k % 8)
        picture.objects = [(k % 2, (x, 4 + (k % 3) * 8, x + 16, 26 + (k % 3) * 8))]
    return pictures_
