"""What happened in a run and when, one JSON object a line: `log.jsonl`; and what it was warned of."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metrics.errors import InputWarning


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


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """The texts of all `InputWarning` of the block, which are shown as before."""
    told: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def keep(message: Warning | str, category: type[Warning], *place: Any, **further: Any) -> None:
            if issubclass(category, InputWarning) and str(message) not in told:
                told.append(str(message))
            show(message, category, *place, **further)

        warnings.showwarning = keep
        yield told


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
