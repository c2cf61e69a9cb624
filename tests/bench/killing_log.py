"""A training that dies when it saves its state, as a killed process would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bench.process.log import Log


class Killed(BaseException):
    """The end of a process, as far as this one can play it."""


class KillingLog(Log):
    """Dies at the n-th state that is saved, of those for which `when` holds.

    Args:
        after: n.
        when: called with what the event says of the state: ``epoch`` and ``batch``.
    """

    def __init__(
        self, after: int = 1, when: Callable[[Mapping[str, Any]], bool] = lambda facts: True
    ) -> None:
        super().__init__()
        self.left = after
        self.when = when

    def write(self, event: str, **facts: Any) -> None:
        if event == "saved" and self.when(facts):
            self.left -= 1
            if self.left == 0:
                raise Killed
