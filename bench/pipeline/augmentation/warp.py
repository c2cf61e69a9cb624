"""Rotation, shear, translation, scale and perspective as one projective map, by which an image is resampled once.

Maps are 3 x 3 matrices of homogeneous coordinates (x, y, 1), in which the centre of the first pixel is at (0.5, 0.5).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.labelled_image import LabelledImage, clip_boxes
from bench.pipeline.augmentation.warp_kernel import WarpSizes, warp_pixels
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.objects import IGNORED_REGION
from bench.pipeline.placement import place
from metrics.pixel_labels import IGNORED

Matrix = NDArray[np.float64]


def draw_warp(config: AugmentConfig, size: tuple[int, int], enlarge: bool = False) -> Matrix:
    """A random map of the network's input of (height, width) `size` to itself, around its centre.

    Args:
        config: the settings.
        size: of the input.
        enlarge: do not make it smaller.
    """
    turn, x_shear, y_shear, x_shift, y_shift, zoom, x_tilt, y_tilt = (2 * torch.rand(8) - 1).tolist()
    height, width = size
    angle = math.radians(config.rotate * turn)
    factor = (1 + config.rescale) ** (abs(zoom) if enlarge else zoom)
    cosine, sine = factor * math.cos(angle), factor * math.sin(angle)
    rotation = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    x_shear, y_shear = (math.tan(math.radians(config.shear * value)) for value in (x_shear, y_shear))
    shear = np.array([[1, x_shear, 0], [y_shear, 1, 0], [0, 0, 1]])
    tilt = np.eye(3)
    tilt[2, :2] = config.perspective * x_tilt / width, config.perspective * y_tilt / height
    center = shift(width / 2, height / 2)
    moved = shift(width * (0.5 + config.translate * x_shift), height * (0.5 + config.translate * y_shift))
    whole: Matrix = moved @ rotation @ shear @ tilt @ np.linalg.inv(center)
    return whole


def fit_map(size: tuple[int, int], image: ImageConfig) -> Matrix:
    """The map of an image of (height, width) `size` to the network's input."""
    (new_height, new_width), (top, left) = place(size, image)
    scale = np.diag([new_width / size[1], new_height / size[0], 1])
    placed: Matrix = shift(left, top) @ scale
    return placed


def shift(x: float, y: float) -> Matrix:
    """The translation by (x, y)."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=np.float64)


def warp(
    image: LabelledImage,
    matrix: Matrix,
    size: tuple[int, int],
    fill: int,
    min_visible: float,
    shape: Literal["ellipse", "box"],
) -> LabelledImage:
    """The image mapped to a canvas, with its boxes and label map.

    Pixels are interpolated bilinearly, after the image was averaged over squares where it becomes less than half as large.
    A pixel of the label map has the value of the one that its centre is mapped from, and is `IGNORED` outside the image.

    Args:
        image: the image.
        matrix: from its pixels to those of the canvas; the third homogeneous coordinate is positive in the image.
        size: (height, width) of the canvas.
        fill: grey value of the canvas outside the image.
        min_visible: see `clip_boxes`.
        shape: see `warp_boxes`; ignored regions are boxes.
    """
    height, width = size
    boxes = warp_boxes(image.boxes, matrix, shape)
    regions = (image.labels == IGNORED_REGION).nonzero().squeeze(1)
    boxes[regions] = warp_boxes(image.boxes[regions], matrix, "box")
    boxes, labels = clip_boxes(boxes, image.labels, (0, 0, width, height), min_visible)
    pixels = image.image.permute(1, 2, 0).numpy()
    # Local scale in the middle of the image.
    (old_height, old_width), middle = image.size, np.array([image.size[1] / 2, image.size[0] / 2, 1.0])
    depth = float(matrix[2] @ middle)
    scale = math.sqrt(abs(float(np.linalg.det(matrix))) / abs(depth) ** 3)
    step = max(int(1 / scale + 1e-6), 1)  # an exact factor may have been rounded down
    inverse = np.linalg.inv(matrix)
    if step > 1:
        pixels = np.asarray(Image.fromarray(pixels).reduce(step))
    canvas = np.empty((3, height, width), np.uint8)
    old_map, label_map = np.empty((0, 0), np.uint8), np.empty((0, 0), np.uint8)
    if image.label_map is not None:
        old_map, label_map = image.label_map.numpy(), np.empty(size, np.uint8)
    warp_pixels(
        np.ascontiguousarray(pixels),
        np.ascontiguousarray(old_map),
        np.ascontiguousarray(inverse).reshape(-1),
        WarpSizes(old_width, old_height, step, fill, IGNORED),
        canvas,
        label_map,
    )
    return LabelledImage(
        torch.from_numpy(canvas),
        boxes,
        labels,
        None if image.label_map is None else torch.from_numpy(label_map),
    )


def warp_boxes(boxes: Tensor, matrix: Matrix, shape: Literal["ellipse", "box"]) -> Tensor:
    """Smallest boxes around mapped shapes, which are exact.

    An ellipse is mapped by its dual conic (Hartley and Zisserman 2004, section 2.2.3). Boxes around the corners of mapped
    boxes are too large for objects that do not fill them; ellipses are closer to the boxes that annotators draw (Kalra et al.
    2021, "Towards Rotation Invariance in Object Detection").

    Args:
        boxes: (G, 4) xyxy.
        matrix: the map; its third homogeneous coordinate is positive in all boxes.
        shape: of the object in its box: the ellipse that touches all its sides, or all of the box.

    Returns:
        (G, 4) float32 xyxy, not clipped.
    """
    left, top, right, bottom = boxes.numpy().astype(np.float64).T
    ones = np.ones_like(left)
    if shape == "box":
        corners = np.stack(
            [
                np.stack([left, right, right, left], 1),
                np.stack([top, top, bottom, bottom], 1),
                np.stack([ones] * 4, 1),
            ],
            1,
        )
        mapped = matrix @ corners
        points = mapped[:, :2] / mapped[:, 2:]
        found = np.concatenate([points.min(2), points.max(2)], 1)
    else:
        x, y, a, b = (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2
        placed = np.zeros((len(x), 3, 3))
        placed[:, 0, 0], placed[:, 1, 1], placed[:, 2, 2] = a, b, 1
        placed[:, 0, 2], placed[:, 1, 2] = x, y
        mapped = matrix @ placed
        dual = mapped * np.array([1.0, 1.0, -1.0]) @ mapped.transpose(0, 2, 1)
        # The vertical line x = t touches the ellipse if (1, 0, -t) D (1, 0, -t)' = 0.
        middle = dual[:, :2, 2] / dual[:, 2:, 2]
        own = np.stack([dual[:, 0, 0], dual[:, 1, 1]], 1) / dual[:, 2:, 2]
        reach = np.sqrt(np.maximum(middle**2 - own, 0))
        found = np.concatenate([middle - reach, middle + reach], 1)
    return torch.from_numpy(found.astype(np.float32))
