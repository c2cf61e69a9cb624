"""Settings of a model of Hugging Face's transformers as an external model, importable without torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from detectors.config import Config


class HuggingFaceConfig(Config):
    """Settings of a model of transformers."""

    revision: str = "main"
    """Branch, tag or commit of a model that is downloaded; without effect for a folder."""
    score: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Score threshold. transformers' own default of 0.5 cuts the precision-recall curve off, which lowers AP."""
    max_dets: Annotated[int, Field(ge=1)] | None = None
    """Largest number of detections per image; none: as many as the model has queries."""
    classes: dict[str, str] = Field(default_factory=dict)
    """The data set's name for a class of the model, where they differ: `classes.person=face`. Other classes are matched by
    name."""
