"""Settings of the network's input and of augmentation; importable without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detectors.config import Config
from detectors.search_range import PredictionSetting, Range

Side = Annotated[int, Field(ge=8, le=8192)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class ImageConfig(Config):
    """How an image becomes the network's input."""

    size: tuple[Side, Side] = (320, 320)
    """(height, width) of the network's input, in pixels."""
    pixels: Annotated[int, Field(ge=64**2, le=8192**2)] | None = None
    """Number of pixels of the network's input, if `size` is to follow the data: it gets the median aspect ratio of the
    training images, and sides that are multiples of 32. none: `size` as given. A later source that gives `size`
    replaces it."""
    resize: Literal["letterbox", "stretch"] = "letterbox"
    """`letterbox` keeps the aspect ratio and pads; `stretch` changes the aspect ratio."""
    fill: Annotated[int, Field(ge=0, le=255)] = 114
    """Grey value of the padding."""
    prediction_scale: Annotated[float, Field(ge=0.25, le=8), Range(1, 2), PredictionSetting()] = 1.0
    """Sides of the network's input in the final evaluation and in prediction, as a multiple of `size`. Above 1, small objects
    have more pixels than in training, at a higher cost; see also `evaluate.tile`."""

    @property
    def for_prediction(self) -> ImageConfig:
        """The same with the `size` of prediction."""
        sides = [max(round(side * self.prediction_scale), 8) for side in self.size]
        return self.model_copy(update={"size": (sides[0], sides[1]), "prediction_scale": 1.0})


class FileInput(ImageConfig):
    """The same for a file of another program, whose conventions differ."""

    corner: bool = False
    """Letterboxing pads at the right and bottom only."""
    antialias: bool = True
    """Images are filtered when they are made smaller."""


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
    """Largest change of hue, as a fraction of the colour circle; slower than all other changes together."""
    min_side: Annotated[float, Field(ge=1)] = 2.0
    """Smallest side of a training target in pixels of the network's input; smaller boxes are dropped."""
