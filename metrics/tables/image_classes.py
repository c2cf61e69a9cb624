"""Pairs of an image and a class, as one number each: those of rows, and those that a catalog lists."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.tables.catalog import Catalog


def image_class_pairs(
    catalog: Catalog, image: NDArray[np.int32], label: NDArray[np.int32]
) -> NDArray[np.int64]:
    """(N,) one number for each image and class of N rows."""
    return image.astype(np.int64) * len(catalog.classes) + label


def listed_pairs(catalog: Catalog, name: str) -> NDArray[np.int64]:
    """The images and classes of a list in `Catalog.image_classes`, numbered alike; ids that are no class are left out."""
    label = {class_id: index for index, class_id in enumerate(catalog.class_ids)}
    lists = catalog.image_classes.get(name, ())
    rows = [(image, label[each]) for image, ids in enumerate(lists) for each in ids if each in label]
    images, labels = np.array(rows, np.int32).reshape(-1, 2).T
    return image_class_pairs(catalog, images, labels)
