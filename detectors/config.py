"""Base class of all settings: frozen, without unknown names."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Config(BaseModel):
    """A section of settings. Unknown keys and NaN are refused; defaults are checked like given values."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    post_processing: ClassVar[bool] = False
    """Whether the section only affects how candidates become detections, so that saved candidates can be reused."""
    prediction_only: ClassVar[bool] = False
    """Whether the section only affects prediction, so that trained weights can be reused; see also `PredictionSetting`."""

    @field_validator("*", mode="before")
    @classmethod
    def _none_of_text(cls, value: Any, info: ValidationInfo) -> Any:
        """Read the text "none" as None where the setting may be None: TOML has no null."""
        if isinstance(value, str) and value.lower() in ("none", "null"):
            assert info.field_name is not None
            if type(None) in get_args(cls.model_fields[info.field_name].annotation):
                return None
        return value
