"""Settings of augmentation; importable without torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from detectors.config import Config
from detectors.search_range import Range

Fraction = Annotated[float, Field(ge=0, le=1)]


class AugmentConfig(Config):
    """Random changes of training images, drawn independently for each image and epoch."""

    flip: Annotated[Fraction, Range(0, 0.5)] = 0.5
    """Probability of a horizontal flip; 0 if left and right differ, as in text."""
    flip_vertical: Annotated[Fraction, Range(0, 0.5)] = 0.0
    """Probability of a vertical flip, for aerial and microscope images."""
    zoom_out: Annotated[Fraction, Range(0, 0.5)] = 0.2
    """Probability of placing the image on a larger canvas, which makes objects smaller (SSD, section 3.6)."""
    zoom_out_to: Annotated[float, Field(ge=1, le=8), Range(1.5, 4)] = 2.0
    """Largest side of that canvas, as a multiple of the image's side."""
    iou_crop: Annotated[Fraction, Range(0, 0.8)] = 0.5
    """Probability of a crop that contains the centre of an object and has a random minimum IoU with one (SSD, section
    2.2). Objects with their centre outside are dropped, the others are clipped."""
    crop_from: Annotated[float, Field(ge=0.1, lt=1), Range(0.3, 0.8)] = 0.5
    """Smallest side of the crop, as a fraction of the image's side."""
    photometric: Annotated[Fraction, Range(0, 0.8)] = 0.5
    """Probability of changing brightness, contrast, saturation and hue."""
    strength: Annotated[float, Field(ge=0, le=0.9), Range(0.1, 0.5)] = 0.25
    """Largest relative change of brightness, contrast and saturation; 0.25 is a factor of 0.75 to 1.25."""
    hue: Annotated[float, Field(ge=0, le=0.5), Range(0, 0.1)] = 0.0
    """Largest change of hue, as a fraction of the colour circle."""
    min_side: Annotated[float, Field(ge=1)] = 2.0
    """Smallest side of a training target in pixels of the network's input; smaller boxes are dropped."""
