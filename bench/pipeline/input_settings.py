"""Settings of the network's input; importable without torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from detectors.config import Config
from detectors.search_range import PredictionSetting, Range

Side = Annotated[int, Field(ge=8, le=8192)]


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
