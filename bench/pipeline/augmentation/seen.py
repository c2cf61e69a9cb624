"""Random views of an image, of its boxes and labels: zooming out and flips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.pipeline.view import View


class Seen(NamedTuple):
    """What is seen of an image.

    Attributes:
        view: the part of the image.
        boxes: (G, 4) float32 xyxy in pixels of the view.
        labels: (G,) int64.
    """

    view: View
    boxes: Tensor
    labels: Tensor


Change = Callable[[Seen], Seen]
"""A random change of what is seen."""


@dataclass(frozen=True, slots=True)
class ZoomOut:
    """Place the view on a larger canvas (SSD, section 3.6), by the random numbers of `v2.RandomZoomOut`.

    Attributes:
        probability: of a change.
        largest: largest side of the canvas, as a multiple of the view's.
    """

    probability: float
    largest: float

    def __call__(self, seen: Seen) -> Seen:
        if float(torch.rand(())) >= self.probability:
            return seen
        view = seen.view
        factor = 1 + torch.rand(()) * (self.largest - 1)
        width, height = int(view.width * factor), int(view.height * factor)
        places = torch.rand(2)
        left = int((width - view.width) * places[0])
        top = int((height - view.height) * places[1])
        boxes = torch.from_numpy(seen.boxes.numpy() + np.array([left, top] * 2, np.float32))
        view = view._replace(left=view.left - left, top=view.top - top, width=width, height=height)
        return Seen(view, boxes, seen.labels)


@dataclass(frozen=True, slots=True)
class Flip:
    """Flip the view, after all other changes.

    Attributes:
        probability: of a change.
        vertical: rows instead of columns.
    """

    probability: float
    vertical: bool = False

    def __call__(self, seen: Seen) -> Seen:
        if float(torch.rand(())) >= self.probability:
            return seen
        view, corners = seen.view, seen.boxes.numpy()
        axis, length = (1, view.height) if self.vertical else (0, view.width)
        boxes = corners.copy()
        boxes[:, axis], boxes[:, axis + 2] = length - corners[:, axis + 2], length - corners[:, axis]
        view = view._replace(upside_down=True) if self.vertical else view._replace(mirrored=True)
        return Seen(view, torch.from_numpy(boxes), seen.labels)
