"""Results as JSON values."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from metrics.messages import ascii_controls


def json_value(value: Any) -> Any:
    """Records and dataclasses as objects, NaN and infinities as null, everything else that JSON lacks as text."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: json_value(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_value(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, (str, int, type(None))) else str(value)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    print(ascii_controls(json.dumps(json_value(value), indent=2, ensure_ascii=False, allow_nan=False)))
