"""Text of YOLO data sets: the label file of an image, and the YAML file of the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def label_text(xywh: NDArray[np.float64], labels: NDArray[np.int32], size: tuple[int, int]) -> str:
    """The label file of an image: lines ``class cx cy w h`` with all digits, so that boxes read back to rounding of doubles.

    Args:
        xywh: (G, 4) in pixels, within the image.
        labels: (G,).
        size: (height, width) of the image in pixels, not 0.
    """
    height, width = size
    scale = np.array([width, height], np.float64)
    center = (xywh[:, :2] + xywh[:, 2:] / 2) / scale
    columns = np.concatenate([center, xywh[:, 2:] / scale], axis=1)
    return "".join(
        f"{label} {' '.join(map(repr, row))}\n"
        for label, row in zip(labels.tolist(), columns.tolist(), strict=True)
    )


def description_text(names: Sequence[str], splits: Mapping[str, str]) -> str:
    """The YAML file of a data set, beside which its folders are.

    It has no ``path``: Ultralytics takes a relative one to start at its own folder of data sets, and the folder of the file
    without one.

    Args:
        names: C class names in the order of labels.
        splits: folder of the images of ``train``, ``val``, ``test``; may be empty.
    """
    import yaml

    document = {**splits, "nc": len(names), "names": dict(enumerate(names))}
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=10_000)
    return text
