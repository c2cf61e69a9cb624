"""The base of all settings: frozen, and closed to names that it does not know."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A section of settings. Unknown keys and NaN are refused; defaults are checked like given values."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    post_processing: ClassVar[bool] = False
    """Whether the section only affects how candidates become detections, so that saved candidates can be reused."""
