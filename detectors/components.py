"""Detections from label maps: a box for each connected component of a class."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage
from torch import Tensor

from detectors.config import Config
from detectors.search_range import Choice, Range
from detectors.types import Detections


class ComponentsConfig(Config):
    """Connected components of a label map."""

    post_processing: ClassVar[bool] = True
    prediction_only: ClassVar[bool] = True

    connectivity: Annotated[Literal[4, 8], Choice(4, 8)] = 8
    """Neighbours of a pixel: 4, left, right, above and below; 8, the diagonal ones too."""
    min_area: Annotated[int, Field(ge=1), Range(1, 100, log=True)] = 16
    """Smallest number of pixels of a component, in pixels of the network's input; smaller ones are not detections."""


class Components(NamedTuple):
    """Connected components of an image, by decreasing score.

    Attributes:
        detections: a box, a score and a label for each.
        areas: (N,) int64 number of pixels, on the CPU.
    """

    detections: Detections
    areas: Tensor


def find_components(probabilities: Tensor, config: ComponentsConfig) -> Detections:
    """Objects in the most probable labels of an image, by decreasing score; arguments as in `measure_components`."""
    return measure_components(probabilities, config).detections


def measure_components(probabilities: Tensor, config: ComponentsConfig) -> Components:
    """Objects in the most probable labels of an image, and their areas, by decreasing score.

    Each connected component of the pixels of a class is a detection: its box is the smallest around the pixels, its score
    their mean probability of the class. Touching objects of one class are one component.

    Args:
        probabilities: (1 + C, H, W) of background and each class; equal ones count for the first of them.
        config: settings.

    Returns:
        Boxes in pixels, on the device of `probabilities`.
    """
    scores, labels = (each.cpu().numpy() for each in probabilities.float().max(dim=0))
    structure = ndimage.generate_binary_structure(2, 1 if config.connectivity == 4 else 2)
    boxes: list[tuple[int, int, int, int]] = []
    found: list[tuple[float, int, int]] = []
    for label in np.unique(labels[labels > 0]).tolist():
        numbers, _ = ndimage.label(labels == label, structure)
        places = ndimage.find_objects(numbers)
        for number, score, area in _large_enough(numbers, scores, config.min_area):
            rows, columns = places[number - 1]
            boxes.append((columns.start, rows.start, columns.stop, rows.stop))
            found.append((score, label - 1, area))
    order = sorted(range(len(found)), key=lambda k: -found[k][0])
    device = probabilities.device
    detections = Detections(
        torch.tensor([boxes[k] for k in order], dtype=torch.float32, device=device).reshape(-1, 4),
        torch.tensor([found[k][0] for k in order], dtype=torch.float32, device=device),
        torch.tensor([found[k][1] for k in order], dtype=torch.int64, device=device),
    )
    return Components(detections, torch.tensor([found[k][2] for k in order], dtype=torch.int64))


def _large_enough(
    numbers: NDArray[np.signedinteger], scores: NDArray[np.float32], min_area: int
) -> list[tuple[int, float, int]]:
    """Number, mean score and area of each component of at least `min_area` pixels; `numbers` is 0 outside components."""
    areas = np.bincount(numbers.ravel())
    totals = np.bincount(numbers.ravel(), weights=scores.ravel())
    large = np.flatnonzero(areas[1:] >= min_area) + 1
    return [(int(number), float(totals[number] / areas[number]), int(areas[number])) for number in large]
