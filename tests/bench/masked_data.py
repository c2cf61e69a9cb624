"""Data sets with polygons as masks, and the pixels that these fill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as pycocotools_mask

from bench.data.types import MaskFacts, Split
from bench.datasets import Dataset, open_dataset
from metrics.formats.mask_objects import MaskObject

SIZE = (40, 56)
STAR = [4.0, 4, 30, 8, 26, 30, 12, 34, 14, 18]
TRIANGLE = [20.0, 20, 50, 24, 36, 38]


def map_of(split: Split, index: int = 0) -> NDArray[np.uint8]:
    assert split.label_maps is not None
    return split.label_maps(index)


def facts(split: Split) -> MaskFacts:
    assert split.describe_masks is not None
    return split.describe_masks()


def filled(points: Sequence[float], size: tuple[int, int] = SIZE) -> NDArray[np.bool_]:
    """Pixels whose centre is in a polygon: a ray to the right crosses an odd number of its sides."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    inside = np.zeros(size, np.bool_)
    for (x0, y0), (x1, y1) in sides(points):
        if y0 != y1:
            crossed = (rows >= min(y0, y1)) & (rows < max(y0, y1))
            inside ^= crossed & (columns < x0 + (rows - y0) * (x1 - x0) / (y1 - y0))
    return inside


def sides(points: Sequence[float]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    corners = np.array(points, np.float64).reshape(-1, 2)
    return list(zip(corners, np.roll(corners, -1, axis=0), strict=True))


def assert_fills(found: NDArray[np.bool_], *polygons: Sequence[float]) -> None:
    """All pixels agree but those whose centre is within a pixel of a side."""
    centers = np.stack(np.mgrid[: found.shape[0], : found.shape[1]][::-1], -1) + 0.5
    away = np.ones(found.shape, np.bool_)
    for points in polygons:
        for a, b in sides(points):
            along = ((centers - a) @ (b - a) / max((b - a) @ (b - a), 1e-12)).clip(0, 1)
            away &= np.linalg.norm(centers - (a + along[..., None] * (b - a)), axis=-1) > 1
    expected = np.logical_or.reduce([filled(points, found.shape) for points in polygons])
    assert (expected & away).any()
    np.testing.assert_array_equal(found[away], expected[away])


def write_coco(
    folder: Path,
    segmentations: Sequence[dict[str, Any]],
    count: int = 6,
    classes: Sequence[str] = ("cat", "dog", "emu"),
) -> Path:
    """A COCO folder of `count` images of `SIZE`, of which all have the annotations `segmentations`."""
    images, rows = [], []
    for k in range(count):
        pixels = np.full((*SIZE, 3), 30 + k, np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
        images.append({"id": k, "file_name": f"{k}.png", "height": SIZE[0], "width": SIZE[1]})
        for row in segmentations:
            given = {"id": len(rows) + 1, "image_id": k, "iscrowd": 0, "bbox": [2, 2, 20, 20], "area": 400}
            rows.append(given | row)
    categories = [{"id": 10 * k, "name": name} for k, name in enumerate(classes, 1)]
    file = folder / "annotations.json"
    file.write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))
    return file


def opened(folder: Path, segmentations: Sequence[dict[str, Any]], **options: Any) -> Dataset:
    return open_dataset(write_coco(folder, segmentations), **options)


def runs_of(mask: NDArray[np.bool_], compressed: bool) -> dict[str, Any]:
    """The run-length code of pycocotools, or its counts worked out from the pixels."""
    if compressed:
        code = pycocotools_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        return {"size": list(mask.shape), "counts": code["counts"].decode()}
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *lengths] if flat[0] else lengths}


def square(label: int, x: int, y: int, side: int, crowd: bool = False) -> MaskObject:
    points = np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]], np.float64)
    return MaskObject(label, crowd, (x, y, side, side), (points,))
