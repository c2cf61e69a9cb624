"""The runner: settings, data, training, evaluation, and the command line.

`load` makes a function of a finished run: ``bench.load("runs/ssd-shapes-0-1a2b3c4d5e")("photo.jpg")`` are the detections in an
image. It imports torch. See docs/prediction.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.prediction.trained_detector import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from bench.prediction.trained_detector import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
