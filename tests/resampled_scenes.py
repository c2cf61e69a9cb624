"""Physically resampled data sets, in which each image occurs as often as it was drawn."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import Scene

from metrics.tables import AnnotationTable, Catalog, DetectionTable


def physically_resampled(scene: Scene, counts: NDArray[np.uint8]) -> Scene:
    """The scene with each image `counts` times, under new ids; the copies of an image are adjacent."""
    catalog = scene.truth.catalog
    copies = np.repeat(np.arange(len(counts)), counts)
    new = Catalog.of(range(len(copies)), catalog.classes, class_ids=catalog.class_ids)

    def rows_of(image: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        rows = [np.flatnonzero(image == old) for old in copies]
        place = np.repeat(np.arange(len(copies)), [len(part) for part in rows])
        return np.concatenate([np.zeros(0, np.intp), *rows]).astype(np.intp), place

    truth, found = scene.truth, scene.detections
    rows, image = rows_of(truth.image)
    annotations = AnnotationTable(
        new,
        image,
        truth.label[rows],
        truth.xywh[rows],
        truth.area[rows],
        truth.crowd[rows],
        truth.ignored[rows],
        np.arange(1, len(rows) + 1),
    )
    rows, image = rows_of(found.image)
    return Scene(
        annotations, DetectionTable(new, image, found.label[rows], found.xywh[rows], found.score[rows])
    )


def drawn_counts(scene: Scene, data: st.DataObject) -> NDArray[np.uint8]:
    images = len(scene.truth.catalog.image_ids)
    return np.array(data.draw(st.lists(st.integers(0, 3), min_size=images, max_size=images)), np.uint8)
