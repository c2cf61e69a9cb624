"""EXIF rotations that the size of an image does not show: they are applied, and reported."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.opening import open_dataset
from metrics.notes import note_of


def dataset(folder: Path, orientation: int, size: tuple[int, int]) -> Path:
    """Six images of (width, height) with an EXIF orientation, annotated with their upright size."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    width, height = size[::-1] if orientation >= 5 else size
    rng = np.random.default_rng(orientation)
    for k in range(6):
        pixels = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.jpg", exif=exif)
    document = {
        "images": [{"id": k, "file_name": f"{k}.jpg", "width": width, "height": height} for k in range(6)],
        "annotations": [
            {"id": k + 1, "image_id": k, "category_id": 1, "bbox": [2, 3, 10, 12], "area": 120, "iscrowd": 0}
            for k in range(6)
        ],
        "categories": [{"id": 1, "name": "c"}],
    }
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder / "annotations.json"


@pytest.mark.parametrize(
    ("orientation", "size", "undecided"),
    [
        (1, (40, 40), False),
        (1, (40, 32), False),
        (2, (40, 32), True),
        (3, (40, 32), True),
        (6, (40, 32), False),
        (6, (40, 40), True),
        (8, (40, 40), True),
    ],
)
def test_fault_80_a_rotation_that_the_size_does_not_show_is_reported(
    tmp_path: Path, orientation: int, size: tuple[int, int], undecided: bool
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened = open_dataset(str(dataset(tmp_path, orientation, size)))
    notes = [*map(note_of, (each.message for each in caught)), *opened.notes]
    found = [note for note in notes if note.kind == "undecided_orientation"]
    assert bool(found) is undecided
    assert all(
        "turned by 180 degrees, mirrored, or square and turned, by EXIF" in note.text for note in found
    )
