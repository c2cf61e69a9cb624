"""What happened in a run and when, one JSON object a line: `log.jsonl`."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Log:
    """Appends events to a file; a process that dies leaves every line but perhaps its last.

    Args:
        path: the file, made with its folder at the first event; None keeps nothing.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path

    def write(self, event: str, **facts: Any) -> None:
        """One line: the time (UTC), the event's name, and facts that JSON can say (NaN becomes null)."""
        if self.path is None:
            return
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | _plain(facts), ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
