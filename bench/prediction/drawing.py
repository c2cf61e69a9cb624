"""Images with their detections drawn on them, and detections cut out of their image."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bench.prediction.trained_detector import ImageDetections
from reports.elements.palette import PHOTO

_OUTLINE = "#101418"


def draw_detections(pixels: NDArray[np.uint8], detections: ImageDetections) -> Image.Image:
    """The image with a box, the class and the score of each detection; the highest-scoring ones are on top.

    A class has the same colour in all images; line width and text grow with the image.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        detections: of this image.
    """
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    width = max(1, round(min(image.size) / 240))
    font = ImageFont.load_default(max(10.0, min(image.size) / 32))
    for k in reversed(range(len(detections))):
        x1, y1, x2, y2 = detections.boxes[k].tolist()
        color = PHOTO[int(detections.labels[k]) % len(PHOTO)]
        draw.rectangle((x1 - width, y1 - width, x2 + width, y2 + width), outline=_OUTLINE, width=3 * width)
        draw.rectangle((x1, y1, x2, y2), outline=color, width=width)
        text = f"{detections.names[k]} {detections.scores[k]:.2f}"
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        height = bottom - top + 2 * width
        x = max(0.0, min(x1, image.width - (right - left) - 2 * width))
        y = y1 - height if y1 >= height else y1
        draw.rectangle((x, y, x + right - left + 2 * width, y + height), fill=_OUTLINE)
        draw.text((x + width - left, y + width - top), text, fill=color, font=font)
    return image


def crops(pixels: NDArray[np.uint8], detections: ImageDetections) -> Iterator[tuple[str, Image.Image]]:
    """Class name and pixels of each detection, by decreasing score; boxes are widened to whole pixels.

    Detections without a pixel are left out.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        detections: of this image.
    """
    for name, _, (x1, y1, x2, y2) in detections:
        part = pixels[math.floor(y1) : math.ceil(y2), math.floor(x1) : math.ceil(x2)]
        if part.size:
            yield name, Image.fromarray(part)
