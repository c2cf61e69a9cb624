"""Draws data sets the size of COCO, with detections on them, from a seed: what the evaluators are timed on.

Like a detector's output on photographs: Zipf's law among classes, log-normal sizes, a few crowds, classes without
objects, images without either; detections of objects with noise that differs from object to object, repeated ones, of
the wrong class, on nothing; ties of scores within and across images. Ids have gaps, objects stand in the file in any
order, detections image by image by falling score.

    python synthetic_data.py SCALE FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Scale:
    """How much is drawn.

    Attributes:
        images: how many.
        classes: how many; the last one has no objects if there are several.
        objects: of all images.
        detections: of each image.
        side: of a square image in pixels.
        size: mean and deviation of the logarithm of an object's side.
        seed: of all that is drawn.
    """

    images: int
    classes: int
    objects: int
    detections: int
    side: int = 560
    size: tuple[float, float] = (3.743, 1.218)
    seed: int = 0


DENSE = {"side": 4096, "size": (3.9, 0.45)}
SCALES = {
    "S": Scale(500, 80, 3_680, 100, seed=11),
    "M/2": Scale(2_500, 80, 18_390, 100, seed=22),
    "M": Scale(5_000, 80, 36_781, 100, seed=12),
    "2M": Scale(10_000, 80, 73_562, 100, seed=23),
    "4M": Scale(20_000, 80, 147_124, 100, seed=24),
    "L": Scale(80_000, 365, 1_200_000, 50, seed=13),
    "L/10": Scale(8_000, 365, 120_000, 50, seed=14),
    "dense": Scale(100, 1, 100_000, 3_000, **DENSE, seed=15),  # type: ignore[arg-type]
    "dense/10": Scale(10, 1, 10_000, 3_000, **DENSE, seed=16),  # type: ignore[arg-type]
}


def draw(scale: Scale) -> Columns:
    """The columns of a data set: ``image_id``; ``class_id``; ``object_*`` and ``found_*``, boxes as xywh."""
    rng = np.random.default_rng(scale.seed)
    many = scale.classes > 1
    image_id = np.sort(rng.choice(8 * max(scale.images, 75_000), scale.images, replace=False)) + 1
    class_id = np.sort(rng.choice(int(1.2 * scale.classes) + 1, scale.classes, replace=False)) + 1
    share = 1.0 / np.arange(1, scale.classes + 1)
    rng.shuffle(share)
    share[-1] = 0.0 if many else 1.0
    share /= share.sum()

    weight = rng.lognormal(0.0, 0.8 if many else 0.0, scale.images)
    weight[rng.random(scale.images) < 0.01 * many] = 0.0
    image = np.sort(rng.choice(scale.images, scale.objects, p=weight / weight.sum()))
    in_image = rng.choice(scale.classes, (scale.images, 8), p=share)  # the few classes of an image
    kinds = np.minimum(1 + rng.poisson(1.9, scale.images), 8)
    label = in_image[image, (rng.random(scale.objects) * kinds[image]).astype(int)]
    crowd = rng.random(scale.objects) < 0.012 * many
    box = _boxes(rng, scale, scale.objects, larger=1 + crowd)
    fill = rng.uniform(0.5, 0.95, scale.objects) if many else np.ones(scale.objects)

    parts = [_of_objects(rng, scale, image, label, box, crowd), _of_nothing(rng, scale, in_image, kinds)]
    found_image, found_label, found_box, score, order = (
        np.concatenate(same) for same in zip(*parts, strict=True)
    )
    # So many of each image: those of objects first, filled up by those of nothing.
    rows = np.lexsort((order, found_image))
    start = np.searchsorted(found_image[rows], np.arange(scale.images))
    rows = rows[np.arange(len(rows)) - start[found_image[rows]] < scale.detections]
    score = np.where(rng.random(len(score)) < 0.1, np.round(score, 2), np.round(score, 5)).clip(0.001, 1.0)
    shuffled = rng.permutation(scale.images)
    rows = rows[np.lexsort((-score[rows], shuffled[found_image[rows]]))]
    if many:  # a few images without detections
        rows = rows[rng.random(scale.images)[found_image[rows]] > 0.001]
    objects = rng.permutation(scale.objects)
    return {
        "image_id": image_id,
        "side": np.full(scale.images, scale.side),
        "class_id": class_id,
        "object_image": image_id[image[objects]],
        "object_class": class_id[label[objects]],
        "object_box": box[objects],
        "object_area": np.round(box[:, 2] * box[:, 3] * fill, 4)[objects],
        "object_crowd": crowd[objects].astype(np.int64),
        "found_image": image_id[found_image[rows]],
        "found_class": class_id[found_label[rows]],
        "found_box": np.round(found_box[rows], 3),
        "found_score": score[rows],
    }


def _boxes(
    rng: np.random.Generator, scale: Scale, count: int, larger: NDArray[np.generic]
) -> NDArray[np.float64]:
    size = rng.lognormal(*scale.size, count).clip(2, 600) * larger  # type: ignore[operator]
    shape = np.exp(rng.normal(0.0, 0.45, count))
    sides = np.stack([size * np.sqrt(shape), size / np.sqrt(shape)], axis=1).clip(1.0, scale.side - 1.0)
    corner = rng.random((count, 2)) * (scale.side - sides)
    return np.round(np.concatenate([corner, sides], axis=1), 2)


Part = tuple[NDArray[np.generic], ...]


def _of_objects(
    rng: np.random.Generator,
    scale: Scale,
    image: NDArray[np.int64],
    label: NDArray[np.int64],
    box: NDArray[np.float64],
    crowd: NDArray[np.bool_],
) -> Part:
    """Detections of objects: found, found again, taken for another class, and parts of crowds."""
    count = len(image)
    size = np.sqrt(box[:, 2] * box[:, 3])
    noticed = (0.45 + 0.12 * np.log2(size.clip(4) / 16)).clip(0.25, 0.97)
    noise = np.exp(rng.normal(-3.1, 0.7, count))
    groups = (
        (rng.random(count) < noticed * ~crowd, noise, rng.beta(4, 2, count) * (1.05 - noise), False),
        (rng.poisson(0.4, count) * ~crowd > 0, np.full(count, 0.12), rng.beta(2, 6, count), False),
        (rng.random(count) < 0.25 * (scale.classes > 1), np.full(count, 0.05), rng.beta(1.5, 5, count), True),
        (crowd, np.full(count, 0.3), rng.beta(3, 3, count), False),
    )
    rows = np.concatenate([np.flatnonzero(chosen) for chosen, *_ in groups])
    jitter = np.concatenate([spread[chosen] for chosen, spread, _, _ in groups])[:, None]
    score = np.concatenate([sure[chosen] for chosen, _, sure, _ in groups])
    wrong = np.concatenate([np.full(np.count_nonzero(chosen), other) for chosen, _, _, other in groups])
    moved = box[rows].copy()
    moved[:, :2] += rng.normal(size=(len(rows), 2)) * jitter * moved[:, 2:]
    moved[:, 2:] *= np.exp(rng.normal(size=(len(rows), 2)) * jitter * 1.2)
    other = rng.integers(0, scale.classes, len(rows))
    return (
        image[rows],
        np.where(wrong, other, label[rows]),
        moved,
        score.clip(0.01, 0.999),
        np.zeros(len(rows)),
    )


def _of_nothing(
    rng: np.random.Generator, scale: Scale, in_image: NDArray[np.int64], kinds: NDArray[np.int64]
) -> Part:
    """Detections anywhere, most of them of a class that the image has, and hardly sure."""
    image = np.repeat(np.arange(scale.images), scale.detections)
    count = len(image)
    likely = in_image[image, (rng.random(count) * kinds[image]).astype(int)]
    label = np.where(rng.random(count) < 0.6, likely, rng.integers(0, scale.classes, count))
    score = rng.beta(1.0, 14.0, count) * 0.9 + 0.0005
    return image, label, _boxes(rng, scale, count, np.ones(count)), score, 1 + rng.random(count)


def write(columns: Columns, folder: Path) -> None:
    """``arrays.npz``, ``truth.json`` and ``found.json``, with the same numbers to the last digit."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "arrays.npz", **columns)  # type: ignore[arg-type]
    plain = {name: column.tolist() for name, column in columns.items()}
    with (folder / "truth.json").open("w") as file:
        images = (
            f'{{"id": {i}, "width": {side}, "height": {side}, "file_name": "{i:012d}.jpg"}}'
            for i, side in zip(plain["image_id"], plain["side"], strict=True)
        )
        classes = (f'{{"id": {k}, "name": "class {k}"}}' for k in plain["class_id"])
        objects = (
            f'{{"id": {row}, "image_id": {i}, "category_id": {k}, "bbox": {b}, "area": {a}, "iscrowd": {c}}}'
            for row, (i, k, b, a, c) in enumerate(
                zip(
                    *(plain[f"object_{name}"] for name in ("image", "class", "box", "area", "crowd")),
                    strict=True,
                ),
                start=1,
            )
        )
        file.write('{"info": {}, "licenses": [], "images": [' + ", ".join(images))
        file.write('], "categories": [' + ", ".join(classes))
        file.write('], "annotations": [' + ", ".join(objects) + "]}")
    with (folder / "found.json").open("w") as file:
        rows = zip(*(plain[f"found_{name}"] for name in ("image", "class", "box", "score")), strict=True)
        file.write("[")
        for row, (i, k, b, s) in enumerate(rows):
            comma = ", " if row else ""
            file.write(f'{comma}{{"image_id": {i}, "category_id": {k}, "bbox": {b}, "score": {s}}}')
        file.write("]")


if __name__ == "__main__":
    write(draw(SCALES[sys.argv[1]]), Path(sys.argv[2]))
