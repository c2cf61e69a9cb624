"""``python -m bench`` whose second process is killed in its fifth step of training; a program for a launcher."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from bench.cli import main
from bench.training.step import Stepper

LAST = 4
"""Steps that are done."""


def die_in_training() -> None:
    """Let this process be killed before step `LAST` + 1."""
    step = Stepper.__call__
    done = []

    def counted(self: Stepper, *args: Any, **kwargs: Any) -> Any:
        if len(done) == LAST:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(None)
        return step(self, *args, **kwargs)

    Stepper.__call__ = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    if os.environ["RANK"] == "1":
        die_in_training()
    sys.exit(main())
