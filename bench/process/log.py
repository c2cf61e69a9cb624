"""Events of a run, one JSON object per line (`log.jsonl`), and the warnings issued during it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.process.json_value import json_value
from metrics.errors import InputWarning


class Log:
    """Event log, appended to line by line; a killed process loses at most the last line.

    Args:
        path: file, created with its folder at the first event; None disables the log.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path

    def write(self, event: str, **facts: Any) -> None:
        """Append one line: time (UTC), event name and facts as JSON (NaN becomes null)."""
        if self.path is None:
            return
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | json_value(facts), ensure_ascii=False) + "\n")


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Collect the texts of all `InputWarning` of the block, without duplicates; they are shown as usual."""
    messages: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def collect(message: Warning | str, category: type[Warning], *position: Any, **options: Any) -> None:
            if issubclass(category, InputWarning) and str(message) not in messages:
                messages.append(str(message))
            show(message, category, *position, **options)

        warnings.showwarning = collect
        yield messages
