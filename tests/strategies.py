"""Hypothesis strategies: boxes, and scenes with the cases that evaluators get wrong.

Scenes are small and coarse, so that ties of scores and of IoU, empty images, crowds, boxes without area and areas
exactly on a boundary (1024, 9216) are common.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from metrics.tables import AnnotationTable, Catalog, DetectionTable

SIDES = (0.0, 1.0, 8.0, 31.5, 32.0, 33.0, 64.0, 96.0, 100.0)
"""Widths and heights. 32 x 32 = 1024; 96 x 96 = 288 x 32 = 9216."""

ON_A_BOUNDARY = ((32.0, 32.0), (16.0, 64.0), (96.0, 96.0), (64.0, 144.0))
"""Widths and heights of boxes whose own area is exactly 1024 or 9216."""

CORNERS = (-4.0, 0.0, 0.1, 8.0, 16.0, 32.0, 48.3)
"""Left and top sides: few, so that boxes coincide and overlap by simple fractions."""

SCORES = (0.0, 0.1, 0.25, 0.5, 0.5000001, 0.9, 1.0)
"""Few scores, so that ties within and across images are common."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A small data set with detections on it."""

    truth: AnnotationTable
    detections: DetectionTable

    def __repr__(self) -> str:
        truth, found = self.truth, self.detections
        ids, classes = truth.catalog.image_ids, truth.catalog.class_ids
        lines = [f"Scene(images={ids}, classes={classes}"]
        for row in range(len(truth)):
            flags = " crowd" * bool(truth.crowd[row]) + " ignored" * bool(truth.ignored[row])
            place = f"image {ids[truth.image[row]]} class {classes[truth.label[row]]}"
            lines.append(f"  object {place} {truth.xywh[row].tolist()} area {truth.area[row]}{flags}")
        for row in range(len(found)):
            place = f"image {ids[found.image[row]]} class {classes[found.label[row]]}"
            lines.append(f"  found  {place} {found.xywh[row].tolist()} score {found.score[row]}")
        return "\n".join(lines) + ")"


def boxes(least_side: float = 0.0) -> st.SearchStrategy[NDArray[np.float64]]:
    """One xywh box of coarse coordinates: many coincide, touch, or have no area (unless `least_side` is above 0)."""
    sides = [side for side in SIDES if side >= least_side]
    corner, side = st.sampled_from(CORNERS), st.sampled_from(sides)
    near = st.floats(1.0, 60.0, allow_nan=False).filter(lambda value: value >= least_side)
    shape = st.sampled_from(ON_A_BOUNDARY) | st.tuples(side | near, side | near)
    return st.tuples(corner, corner, shape).map(lambda drawn: np.array([*drawn[:2], *drawn[2]]))


@st.composite
def scenes(
    draw: st.DrawFn, most_objects: int = 10, most_detections: int = 24, ignored: bool = False
) -> Scene:
    """A scene of 1 to 5 images and 1 to 3 classes, any of which may be empty.

    Half of the detections are drawn near an object, so that matches are common.

    Args:
        draw: given by Hypothesis.
        most_objects: maximum number of objects.
        most_detections: maximum number of detections.
        ignored: whether some objects are ignored without being crowds, which pycocotools does not support.
    """
    image_ids = sorted(draw(st.lists(st.integers(0, 900), min_size=1, max_size=5, unique=True)))
    class_ids = sorted(draw(st.lists(st.integers(1, 90), min_size=1, max_size=3, unique=True)))
    catalog = Catalog.of(image_ids, [f"class {k}" for k in class_ids], class_ids=class_ids)
    place = st.tuples(st.integers(0, len(image_ids) - 1), st.integers(0, len(class_ids) - 1))

    objects = draw(st.lists(st.tuples(place, boxes(), st.integers(0, 9)), max_size=most_objects))
    xywh = np.array([box for _, box, _ in objects]).reshape(-1, 4)
    area = xywh[:, 2] * xywh[:, 3]
    for row, (_, _, kind) in enumerate(
        objects
    ):  # a mask's area is smaller than its box, and can be any number
        area[row] = {5: area[row] * 0.7, 6: 1024.0, 7: 9216.0, 8: 1e10}.get(kind, area[row])
    truth = AnnotationTable(
        catalog,
        np.array([where[0] for where, _, _ in objects], np.int32),
        np.array([where[1] for where, _, _ in objects], np.int32),
        xywh,
        area,
        np.array([kind == 9 for _, _, kind in objects], bool),
        np.array([ignored and kind in (3, 5) for _, _, kind in objects], bool),
        np.arange(1, len(objects) + 1),
    )

    free = st.tuples(place, boxes(), st.sampled_from(SCORES))
    shift = st.sampled_from((0.0, 0.0, 0.0, 1.0, 4.0, -4.0, 16.0))
    near = st.tuples(st.integers(0, max(len(objects) - 1, 0)), shift, shift, st.sampled_from(SCORES))
    detections = []
    for choice in draw(st.lists(free | near if objects else free, max_size=most_detections)):
        if len(choice) == 3:
            detections.append(choice)
        else:
            index, right, wider, score = choice
            box = xywh[index] + np.array([right, 0, max(wider, -xywh[index, 2]), 0])
            detections.append((objects[index][0], box, score))
    found = DetectionTable(
        catalog,
        np.array([where[0] for where, _, _ in detections], np.int32),
        np.array([where[1] for where, _, _ in detections], np.int32),
        np.array([box for _, box, _ in detections]).reshape(-1, 4),
        np.array([score for _, _, score in detections], float),
    )
    return Scene(truth, found)


def random_scene(
    seed: int,
    images: int = 20,
    classes: int = 4,
    objects: int = 120,
    detections: int = 600,
    side: float = 200.0,
    crowds: float = 0.05,
) -> Scene:
    """A scene of any size from a seed: uniform boxes on a square image, half of the detections near an object."""
    rng = np.random.default_rng(seed)
    catalog = Catalog.of(range(10, 10 + 3 * images, 3), [f"class {k}" for k in range(classes)])
    size = np.round(rng.lognormal(3.2, 0.8, (objects, 2)), 1)
    xywh = np.c_[np.round(rng.random((objects, 2)) * side, 1), size]
    image, label = rng.integers(0, images, objects), rng.integers(0, classes, objects)
    truth = AnnotationTable(
        catalog,
        image.astype(np.int32),
        label.astype(np.int32),
        xywh,
        xywh[:, 2] * xywh[:, 3] * rng.choice([1.0, 0.7], objects),
        rng.random(objects) < crowds,
        np.zeros(objects, bool),
        rng.permutation(objects) + 1,
    )
    near = rng.integers(0, max(objects, 1), detections)
    lone = rng.random(detections) < 0.5 if objects else np.ones(detections, bool)
    box = np.c_[rng.random((detections, 2)) * side, rng.lognormal(3.2, 0.8, (detections, 2))]
    if objects:
        jitter = xywh[near] + rng.normal(0, 0.1, (detections, 4)) * np.tile(xywh[near, 2:], 2)
        box = np.where(lone[:, None], box, jitter)
        box[:, 2:] = np.maximum(box[:, 2:], 0)
    free_image, free_label = rng.integers(0, images, detections), rng.integers(0, classes, detections)
    found = DetectionTable(
        catalog,
        np.where(lone, free_image, image[near] if objects else 0).astype(np.int32),
        np.where(lone, free_label, label[near] if objects else 0).astype(np.int32),
        np.round(box, 1),
        np.round(rng.random(detections), 2),
    )
    return Scene(truth, found)


def with_detections(scene: Scene, rows: NDArray[np.intp]) -> Scene:
    """The same scene with these rows of its detections, in this order."""
    found = scene.detections
    return replace(
        scene,
        detections=DetectionTable(
            found.catalog, found.image[rows], found.label[rows], found.xywh[rows], found.score[rows]
        ),
    )
