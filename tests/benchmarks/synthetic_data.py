"""Synthetic data sets of the size of COCO with detections, generated from a seed, as input of the benchmarks.

The statistics resemble those of a detector on photographs: class frequencies follow Zipf's law, sizes are log-normal,
and there are a few crowds, classes without objects and images without objects or detections. Detections are noisy
objects, duplicates, objects with a wrong class and false positives on background; scores tie within and across images.
Ids have gaps, objects are in random order, detections are grouped by image in descending order of score.

    python -m tests.benchmarks.synthetic_data S my_folder
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Scale:
    """Size of a data set.

    Attributes:
        images: number of images.
        classes: number of classes; the last of several classes has no objects.
        objects: number of objects in all images together.
        detections: maximum number of detections per image.
        side: side of a square image, in pixels.
        size: mean and standard deviation of the logarithm of an object's side.
        seed: seed of the random generator.
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
    """Draw a data set: columns ``image_id``, ``side``, ``class_id``, ``object_*`` and ``detection_*``, boxes as xywh."""
    rng = np.random.default_rng(scale.seed)
    several = scale.classes > 1
    image_id = np.sort(rng.choice(8 * max(scale.images, 75_000), scale.images, replace=False)) + 1
    class_id = np.sort(rng.choice(int(1.2 * scale.classes) + 1, scale.classes, replace=False)) + 1
    share = 1.0 / np.arange(1, scale.classes + 1)
    rng.shuffle(share)
    share[-1] = 0.0 if several else 1.0
    share /= share.sum()

    weight = rng.lognormal(0.0, 0.8 if several else 0.0, scale.images)
    weight[rng.random(scale.images) < 0.01 * several] = 0.0
    image = np.sort(rng.choice(scale.images, scale.objects, p=weight / weight.sum()))
    image_classes = rng.choice(scale.classes, (scale.images, 8), p=share)  # most images have few classes
    class_counts = np.minimum(1 + rng.poisson(1.9, scale.images), 8)
    label = image_classes[image, (rng.random(scale.objects) * class_counts[image]).astype(int)]
    crowd = rng.random(scale.objects) < 0.012 * several
    box = _boxes(rng, scale, scale.objects, larger=1 + crowd)
    fill = rng.uniform(0.5, 0.95, scale.objects) if several else np.ones(scale.objects)

    parts = [
        _detections_of_objects(rng, scale, image, label, box, crowd),
        _detections_of_background(rng, scale, image_classes, class_counts),
    ]
    detected_image, detected_label, detected_box, score, order = (
        np.concatenate(columns) for columns in zip(*parts, strict=True)
    )
    # Up to `scale.detections` of each image: detections of objects first, then those of background.
    rows = np.lexsort((order, detected_image))
    start = np.searchsorted(detected_image[rows], np.arange(scale.images))
    rows = rows[np.arange(len(rows)) - start[detected_image[rows]] < scale.detections]
    score = np.where(rng.random(len(score)) < 0.1, np.round(score, 2), np.round(score, 5)).clip(0.001, 1.0)
    shuffled = rng.permutation(scale.images)
    rows = rows[np.lexsort((-score[rows], shuffled[detected_image[rows]]))]
    if several:  # a few images without detections
        rows = rows[rng.random(scale.images)[detected_image[rows]] > 0.001]
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
        "detection_image": image_id[detected_image[rows]],
        "detection_class": class_id[detected_label[rows]],
        "detection_box": np.round(detected_box[rows], 3),
        "detection_score": score[rows],
    }


def perturb(columns: Columns) -> Columns:
    """Return the same truth with the detections of another model: 5 % are removed, scores have noise of 10 %."""
    rng = np.random.default_rng(0)
    rows = np.flatnonzero(rng.random(len(columns["detection_score"])) < 0.95)
    perturbed = {
        name: column[rows] if name.startswith("detection") else column for name, column in columns.items()
    }
    scores = np.asarray(perturbed["detection_score"], np.float64) * np.exp(rng.normal(0, 0.1, len(rows)))
    perturbed["detection_score"] = np.round(np.clip(scores, 0.001, 1), 5)
    return perturbed


def write_truth(columns: Columns, file: Path) -> None:
    """Write images, classes and objects as a COCO file, with all digits."""
    plain = {name: column.tolist() for name, column in columns.items() if not name.startswith("detection")}
    images = (
        f'{{"id": {i}, "width": {side}, "height": {side}, "file_name": "{i:012d}.jpg"}}'
        for i, side in zip(plain["image_id"], plain["side"], strict=True)
    )
    classes = (f'{{"id": {k}, "name": "class {k}"}}' for k in plain["class_id"])
    object_columns = (plain[f"object_{name}"] for name in ("image", "class", "box", "area", "crowd"))
    objects = (
        f'{{"id": {row}, "image_id": {i}, "category_id": {k}, "bbox": {b}, "area": {a}, "iscrowd": {c}}}'
        for row, (i, k, b, a, c) in enumerate(zip(*object_columns, strict=True), start=1)
    )
    with file.open("w") as out:
        out.write('{"info": {}, "licenses": [], "images": [' + ", ".join(images))
        out.write('], "categories": [' + ", ".join(classes))
        out.write('], "annotations": [' + ", ".join(objects) + "]}")


def write_detections(columns: Columns, file: Path) -> None:
    """Write detections as a COCO result file, with all digits."""
    names = ("image", "class", "box", "score")
    rows = zip(*(columns[f"detection_{name}"].tolist() for name in names), strict=True)
    with file.open("w") as out:
        out.write("[")
        for row, (i, k, b, s) in enumerate(rows):
            comma = ", " if row else ""
            out.write(f'{comma}{{"image_id": {i}, "category_id": {k}, "bbox": {b}, "score": {s}}}')
        out.write("]")


def _boxes(
    rng: np.random.Generator, scale: Scale, count: int, larger: NDArray[np.generic]
) -> NDArray[np.float64]:
    size = rng.lognormal(*scale.size, count).clip(2, 600) * larger  # type: ignore[operator]
    shape = np.exp(rng.normal(0.0, 0.45, count))
    sides = np.stack([size * np.sqrt(shape), size / np.sqrt(shape)], axis=1).clip(1.0, scale.side - 1.0)
    corner = rng.random((count, 2)) * (scale.side - sides)
    return np.round(np.concatenate([corner, sides], axis=1), 2)


Part = tuple[NDArray[np.generic], ...]
"""Images, labels, boxes, scores, and a rank: parts of higher rank are cut off first."""


def _detections_of_objects(
    rng: np.random.Generator,
    scale: Scale,
    image: NDArray[np.int64],
    label: NDArray[np.int64],
    box: NDArray[np.float64],
    crowd: NDArray[np.bool_],
) -> Part:
    """Detections of objects: localized, duplicated, with another class, and parts of crowds."""
    count = len(image)
    size = np.sqrt(box[:, 2] * box[:, 3])
    recall = (0.45 + 0.12 * np.log2(size.clip(4) / 16)).clip(0.25, 0.97)
    noise = np.exp(rng.normal(-3.1, 0.7, count))
    several = scale.classes > 1
    groups = (  # which objects, noise of the box, score, whether the class is another
        (rng.random(count) < recall * ~crowd, noise, rng.beta(4, 2, count) * (1.05 - noise), False),
        (rng.poisson(0.4, count) * ~crowd > 0, np.full(count, 0.12), rng.beta(2, 6, count), False),
        (rng.random(count) < 0.25 * several, np.full(count, 0.05), rng.beta(1.5, 5, count), True),
        (crowd, np.full(count, 0.3), rng.beta(3, 3, count), False),
    )
    rows = np.concatenate([np.flatnonzero(chosen) for chosen, *_ in groups])
    jitter = np.concatenate([spread[chosen] for chosen, spread, _, _ in groups])[:, None]
    score = np.concatenate([scores[chosen] for chosen, _, scores, _ in groups])
    confused = np.concatenate([np.full(np.count_nonzero(chosen), other) for chosen, _, _, other in groups])
    moved = box[rows].copy()
    moved[:, :2] += rng.normal(size=(len(rows), 2)) * jitter * moved[:, 2:]
    moved[:, 2:] *= np.exp(rng.normal(size=(len(rows), 2)) * jitter * 1.2)
    random_label = rng.integers(0, scale.classes, len(rows))
    labels = np.where(confused, random_label, label[rows])
    return image[rows], labels, moved, score.clip(0.01, 0.999), np.zeros(len(rows))


def _detections_of_background(
    rng: np.random.Generator,
    scale: Scale,
    image_classes: NDArray[np.int64],
    class_counts: NDArray[np.int64],
) -> Part:
    """Detections at random positions with low scores, most of them of a class that occurs in the image."""
    image = np.repeat(np.arange(scale.images), scale.detections)
    count = len(image)
    likely = image_classes[image, (rng.random(count) * class_counts[image]).astype(int)]
    label = np.where(rng.random(count) < 0.6, likely, rng.integers(0, scale.classes, count))
    score = rng.beta(1.0, 14.0, count) * 0.9 + 0.0005
    return image, label, _boxes(rng, scale, count, np.ones(count)), score, 1 + rng.random(count)


def main() -> None:
    """Write a data set to a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scale", choices=SCALES, help="name of the size")
    parser.add_argument("folder", type=Path, help="folder for arrays.npz, truth.json and detections.json")
    parser.add_argument(
        "--perturbed", action="store_true", help="add perturbed.json, detections of another model"
    )
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    columns = draw(SCALES[args.scale])
    np.savez(args.folder / "arrays.npz", **columns)  # type: ignore[arg-type]
    write_truth(columns, args.folder / "truth.json")
    write_detections(columns, args.folder / "detections.json")
    if args.perturbed:
        write_detections(perturb(columns), args.folder / "perturbed.json")


if __name__ == "__main__":
    main()
