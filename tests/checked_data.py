"""Tiny data sets for `bench data`, clean or with one defect, and their checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_data import Picture, write_coco

from bench.settings.config import RunConfig
from bench.survey.data_check import check_data
from bench.survey.opening import open_to_look
from bench.survey.subject import SplitSubject, subjects_of
from reports.records.data_check import DataCheck


@dataclass
class CheckedData:
    """A check with what it was made from."""

    check: DataCheck
    subjects: list[SplitSubject]
    settings: RunConfig


def look_at(folder: Path, fast: bool = False, sets: Sequence[str] = ()) -> CheckedData:
    """Check a data set with the default input of 320 x 320 pixels and strides from 8, without worker processes."""
    opened = open_to_look("ssd", {"data": str(folder), "sets": sets, "options": {}}, fast)
    settings = opened.settings
    subjects = subjects_of(opened.dataset, settings.image)
    check = check_data(
        opened.dataset,
        subjects,
        opened.reading,
        settings.image,
        settings.augment,
        [8, 16, 32, 64],
        decode=not fast,
    )
    return CheckedData(check, subjects, settings)


def noise(seed: int, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """An image of large random patches, which does not look like that of another seed."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (12, 16, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC))


def write_data(folder: Path, **changes: Callable[[dict], None]) -> Path:
    """A clean COCO data set with three splits; `changes` are functions of the parsed file of one split."""
    seed = 0
    for split, count in (("train", 6), ("val", 4), ("test", 4)):
        objects = [(0, (10, 10, 40, 50)), (1, (50, 20, 100, 60)), (1, (60, 60, 90, 90))]
        pictures = [Picture(f"{split}{k}", (96, 128), objects) for k in range(count)]
        file = write_coco(folder / f"instances_{split}.json", pictures, folder / split)
        for picture in pictures:
            seed += 1
            Image.fromarray(noise(seed)).save(folder / split / f"{picture.name}.png")
        if split in changes:
            content = json.loads(file.read_text())
            changes[split](content)
            file.write_text(json.dumps(content))
    return folder


def degenerate(content):
    content["annotations"][2]["bbox"][2] = 0
    content["annotations"][2]["area"] = 0


def outside(content):
    content["annotations"][2]["bbox"] = [200, 10, 20, 20]


def beyond(content):
    content["annotations"][2]["bbox"] = [100, 10, 40, 20]


def repeated(content):
    content["annotations"][2] |= {"bbox": [50, 20, 50, 40]}


def contradictory(content):
    content["annotations"][2] |= {"bbox": [10, 10, 30, 40]}


def crowd(content):
    content["annotations"][2]["iscrowd"] = 1


def without_objects(content):
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] != 1]


def too_small(content):
    content["annotations"][2]["bbox"] = [60, 60, 0.5, 20]


def tiny(content):
    content["annotations"][2]["bbox"] = [60, 60, 3, 3]
